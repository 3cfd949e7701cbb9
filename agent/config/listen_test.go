package config

import (
	"strconv"
	"testing"
)

// What other hosts can ask is warned of; what is no address is refused.
func TestListen(t *testing.T) {
	const fine, warned, refused = "fine", "warned", "refused"
	for value, want := range map[string]string{
		"":                         fine,
		"127.0.0.1:9464":           fine,
		"127.9.9.9:1":              fine,
		"[::1]:65535":              fine,
		"[::ffff:127.0.0.1]:9464":  fine,
		"localhost:9464":           fine,
		":9464":                    warned,
		"0.0.0.0:9464":             warned,
		"[::]:9464":                warned,
		"192.0.2.7:9464":           warned,
		"[fe80::1%eth0]:9464":      warned,
		"web1.example.com:9464":    warned,
		"9464":                     refused,
		"127.0.0.1":                refused,
		"127.0.0.1:":               refused,
		"127.0.0.1:0":              refused,
		"127.0.0.1:65536":          refused,
		"127.0.0.1:-1":             refused,
		"127.0.0.1:http":           refused,
		"::1:9464":                 refused,
		"http://127.0.0.1:9464":    refused,
		"127.0.0.1:9464/metrics":   refused,
		"user:secret@10.0.0.1:946": refused,
		"bad host:9464":            refused,
	} {
		path := write(t, s3Part+inputPart+"[telemetry]\nlisten = "+strconv.Quote(value)+"\n", nil)
		_, warnings, err := Load(path, env(nil))
		got := fine
		switch {
		case err != nil:
			got = refused
		case len(warnings) > 0:
			got = warned
			equal(t, "warning", warnings[0].String(), path+":7: telemetry.listen: can be asked by other hosts, without authentication: "+
				"they see figures, problems and names of files (got "+strconv.Quote(value)+"); listen on 127.0.0.1, or have a firewall or proxy let in whom you want")
		}
		if got != want {
			t.Errorf("%q is %s, want %s: %v", value, got, want, err)
		}
	}
}
