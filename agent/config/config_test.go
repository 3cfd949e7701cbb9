package config

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is an environment for Load.
func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// minimal is the least that is valid.
const minimal = `[s3]
bucket = "events"
[[input]]
name = "app"
include = ["/var/log/app/*.log"]
`

// write makes files in a new directory and returns the path of the main one.
func write(t *testing.T, main string, confd map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "spoolship.toml")
	must(t, os.WriteFile(path, []byte(main), 0o600))
	if confd != nil {
		must(t, os.Mkdir(filepath.Join(dir, "conf.d"), 0o700))
	}
	for name, text := range confd {
		must(t, os.WriteFile(filepath.Join(dir, "conf.d", name), []byte(text), 0o600))
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// load loads text that must be valid.
func load(t *testing.T, main string, confd map[string]string) *Config {
	t.Helper()
	c, _, err := Load(write(t, main, confd), env(nil))
	must(t, err)
	return c
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// leaves calls f with the rule key and value of every setting under v.
func leaves(v reflect.Value, f func(key string, value any)) {
	for key, i := range fieldsOf(v.Type()) {
		switch field := v.Field(i); field.Kind() {
		case reflect.Struct:
			leaves(field, f)
		default:
			f(ruleKey(v.Type(), key), field.Interface())
		}
	}
}

// Every default obeys its rule, and every rule is that of a key.
func TestDefaultsObeyRules(t *testing.T) {
	required := map[string]bool{"s3.bucket": true, "input.name": true, "input.include": true}
	seen := map[string]bool{}
	check := func(key string, value any) {
		seen[key], seen[key+"[]"] = true, true
		if r := rules[key]; r != nil && (r(value) != complaint{}) != required[key] {
			t.Errorf("%s = %v: %v", key, value, r(value).what)
		}
	}
	c := Default()
	leaves(reflect.ValueOf(c.Agent), check)
	leaves(reflect.ValueOf(c.Spool), check)
	leaves(reflect.ValueOf(c.Chunk), check)
	leaves(reflect.ValueOf(c.S3), check)
	leaves(reflect.ValueOf(c.Telemetry), check)
	leaves(reflect.ValueOf(defaultInput(c)), check)
	for key := range rules {
		if !seen[key] {
			t.Errorf("rule %s is of no key", key)
		}
	}
}

func TestMinimalIsDefault(t *testing.T) {
	c := load(t, minimal, nil)
	want := Default()
	want.S3.Bucket = "events"
	want.Agent.Host, _ = os.Hostname()
	in := defaultInput(want)
	in.Name, in.Include = "app", []string{"/var/log/app/*.log"}
	want.Inputs = []Input{in}
	want.at = c.at
	equal(t, "config", c, want)
}

func TestInputsInherit(t *testing.T) {
	c := load(t, `
[chunk]
max_size = "2MiB"
compression = "zstd"
level = 15
[s3]
bucket = "events"
key = "K"
[[input]]
name = "a"
include = ["/a"]
key = ""
[[input]]
name = "b"
include = ["/b"]
key = "B"
[input.chunk]
max_age = "5s"
compression = "gzip"
level = 6
`, map[string]string{
		"20.toml":   "input = [{name = \"d\", include = [\"/d\"], chunk.level = 3}]\n",
		"10.toml":   "[[input]]\nname = \"c\"\ninclude = [\"/c\"]\n[input.chunk]\ncompression = \"none\"\n",
		"off.txt":   "not read",
		".tmp.toml": "not read",
	})
	base := Chunk{MaxSize: 2 * mib, MaxAge: 60 * sec, MaxOpen: 64, MaxNew: 600, Compression: "zstd", Level: 15}
	for i, want := range []struct {
		name, key string
		chunk     Chunk
	}{
		{"a", "K", base},
		{"b", "B", Chunk{2 * mib, 5 * sec, 64, 600, "gzip", 6}},
		{"c", "K", Chunk{2 * mib, 60 * sec, 64, 600, "none", 15}},
		{"d", "K", Chunk{2 * mib, 60 * sec, 64, 600, "zstd", 3}},
	} {
		equal(t, "name", c.Inputs[i].Name, want.name)
		equal(t, want.name+".key", c.Inputs[i].Key, want.key)
		equal(t, want.name+".chunk", c.Inputs[i].Chunk, want.chunk)
	}
}

// A small spool lowers the default of segment_size, silently.
func TestSegmentSizeFollowsMaxSize(t *testing.T) {
	c := load(t, minimal+"[spool]\nmax_size = \"80MiB\"\n", nil)
	equal(t, "segment_size", c.Spool.SegmentSize, 10*mib)
}

func TestVariables(t *testing.T) {
	path := write(t, `
[agent]
host = "${HOST}-1"
scan_interval = "${SCAN:-20s}"
[spool]
max_size = "${SIZE}GiB"
[s3]
bucket = "${BUCKET:-events}"
prefix = "$${x}$"
access_key_id = "${EMPTY:-}"
secret_access_key = "${NONE:-}"
[[input]]
name = "app"
include = ["/var/log/${APP}/*.log"]
`, nil)
	// A prefix may not have braces, so the literal ${ must show in the problem.
	_, _, err := Load(path, env(map[string]string{
		"HOST": "web", "SIZE": "2", "BUCKET": "", "EMPTY": "", "APP": "shop",
	}))
	if p := problems(t, err); len(p) != 1 || p[0].Key != "s3.prefix" {
		t.Fatalf("got %v", err)
	}
	text, rerr := os.ReadFile(path)
	must(t, rerr)
	must(t, os.WriteFile(path, append([]byte("# prefix\n"), removeLine(text, "prefix")...), 0o600))
	c, _, err := Load(path, env(map[string]string{"HOST": "web", "SIZE": "2", "APP": "shop\"]\nname = \"x"}))
	must(t, err)
	equal(t, "host", c.Agent.Host, "web-1")
	equal(t, "scan_interval", c.Agent.ScanInterval, 20*sec)
	equal(t, "max_size", c.Spool.MaxSize, 2*gib)
	equal(t, "bucket", c.S3.Bucket, "events")
	equal(t, "include", c.Inputs[0].Include, []string{"/var/log/shop\"]\nname = \"x/*.log"})
}
