package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	absent := filepath.Join(dir, "none.toml")
	_, _, err := Load(absent, env(nil))
	equal(t, "absent", err.Error(), absent+": can't be read: no such file or directory; name an existing file")
	_, _, err = Load(dir, env(nil))
	equal(t, "directory", err.Error(), dir+": can't be read: is a directory; check the path and its permissions")
	large := filepath.Join(dir, "app.log")
	must(t, os.WriteFile(large, bytes.Repeat([]byte("#"), 1<<20+1), 0o600))
	_, _, err = Load(large, env(nil))
	equal(t, "large", err.Error(), large+": can't be read: larger than 1MiB; check the path and its permissions")
}

// Problems in conf.d name their own file and line; the main file's come first.
func TestProblemsInConfD(t *testing.T) {
	path := write(t, inputPart+"[s3]\nbuckets = 1\n", map[string]string{
		"a.toml": "# a\n[s3]\nbucket = \"events\"\n[[input]]\nname = \"app\"\ninclude = [\"/a\"]\n",
		"b.toml": "\n\n[[input]]\nname = \"b\"\ninclude = [\n  \"/b\",\n  \"c\"]\n",
		"c.toml": "[inputs]\n",
	})
	_, _, err := Load(path, env(nil))
	dir := filepath.Dir(path)
	got := strings.ReplaceAll(err.Error(), dir+"/", "")
	want := `spoolship.toml:4: s3.bucket: is missing; add the line: bucket = "NAME"
spoolship.toml:5: s3.buckets: is not a known key; did you mean "bucket"?
conf.d/a.toml:2: s3: does not belong in conf.d, which may hold [[input]] tables only; move it to spoolship.toml
conf.d/a.toml:5: input[1].name: is the name of another input (got "app"); choose another: the first is at spoolship.toml:2
conf.d/b.toml:7: input[2].include[1]: must be an absolute pattern (got "c"); begin it with "/"; "/**/*.gz" matches in every directory
conf.d/c.toml:1: inputs: does not belong in conf.d, which may hold [[input]] tables only; move it to spoolship.toml`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Broken TOML in one file hides what only seems to be missing because of it.
func TestSyntaxErrorsOfAllFiles(t *testing.T) {
	path := write(t, "x", map[string]string{"a.toml": "y", "b.toml": "[[input]]\nname = 1\n"})
	_, _, err := Load(path, env(nil))
	if ps := problems(t, err); len(ps) != 2 || ps[0].File != path || filepath.Base(ps[1].File) != "a.toml" {
		t.Errorf("got %v", err)
	}
}

func TestWhere(t *testing.T) {
	path := write(t, "# first\n"+minimal+"[input.chunk]\nlevel = 2\n", map[string]string{
		"x.toml": "\n[[input]]\nname = \"x\"\ninclude = [\"/x\"]\nkey = \"x\"\n",
	})
	c, _, err := Load(path, env(nil))
	must(t, err)
	extra := filepath.Join(filepath.Dir(path), "conf.d", "x.toml")
	for key, want := range map[string]place{
		"s3":                   {path, 2},
		"s3.bucket":            {path, 3},
		"s3.key":               {path, 2},
		"spool.max_size":       {path, 0},
		"":                     {path, 0},
		"input[0]":             {path, 4},
		"input[0].key":         {path, 4},
		"input[0].include[0]":  {path, 6},
		"input[0].chunk.level": {path, 8},
		"input[1].key":         {extra, 5},
		"input[1].chunk.level": {extra, 2},
	} {
		file, line := c.Where(key)
		equal(t, key, place{file, line}, want)
	}
}
