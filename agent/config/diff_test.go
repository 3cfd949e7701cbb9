package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const diffBase = `
[s3]
bucket = "my-events"
secret_access_key = "old"
access_key_id = "id"
[[input]]
name = "app"
include = ["/a/*.log"]
[[input]]
name = "gone"
include = ["/b/*.log"]
`

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string // of the text
		want     []string
	}{
		{"nothing", "", "", nil},
		{"a comment", "[s3]", "# s3\n[s3]", nil},
		{"an empty list", `name = "app"`, "name = \"app\"\nexclude = []", nil},
		{"a secret", `"old"`, `"new"`, []string{"s3.secret_access_key"}},
		{"a table", "[s3]", "[agent]\nlog_level = \"debug\"\n[s3]", []string{"agent.log_level"}},
		{"what inputs inherit", "[s3]", "[chunk]\nmax_age = \"5s\"\n[s3]\nkey = \"{queue}/{chunk}-{records}-{id}\"", []string{"chunk.max_age", "s3.key"}},
		{"what an input overrides", `name = "app"`, "name = \"app\"\n[input.chunk]\nmax_age = \"5s\"", []string{"input.app.include", "input.app.chunk.max_age"}},
		{"a renamed input", `name = "gone"`, `name = "here"`, []string{"input.gone", "input.here"}},
		{"patterns", `"/a/*.log"`, `"/c/*.log"`, []string{"input.app.include"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := load(t, diffBase, nil)
			text := strings.Replace(diffBase, c.from, c.to, 1)
			if strings.Contains(c.to, "[input.chunk]") { // the table ends the input
				text = strings.Replace(text, "[input.chunk]\nmax_age = \"5s\"\ninclude = [\"/a/*.log\"]", "include = [\"/d/*.log\"]\n[input.chunk]\nmax_age = \"5s\"", 1)
			}
			b := load(t, text, nil)
			slices.Sort(c.want)
			if got := Diff(a, b); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Every key that WithFixed keeps back is one that NeedsRestart names, and the
// other way round.
func TestFixedKeys(t *testing.T) {
	a, b := Default(), Default()
	for _, table := range []any{&b.Agent, &b.Spool, &b.Chunk, &b.S3, &b.Telemetry} {
		v := reflect.ValueOf(table).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString(f.String() + "x")
			case reflect.Bool:
				f.SetBool(!f.Bool())
			default:
				f.SetInt(f.Int() + 1)
			}
		}
	}
	all := Diff(a, b)
	kept := Diff(a, b.WithFixed(a))
	for _, key := range all {
		if changed := slices.Contains(kept, key); changed == NeedsRestart(key) {
			t.Errorf("%s is taken on: %v, needs a restart: %v", key, changed, NeedsRestart(key))
		}
	}
	if len(all) < 40 {
		t.Errorf("only %d keys", len(all))
	}
}
