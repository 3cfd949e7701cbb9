//go:build e2e

package hostile

import (
	"os"
	"slices"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// A mistake in the configuration is exit code 2 and one line that begins with
// the file, of check and of run alike.
func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace []string // in the text of a good configuration
		says    []string
	}{
		{"no bucket", []string{"bucket = \"events\"\n", ""}, []string{"s3.bucket: is missing", `bucket = "NAME"`}},
		{"no input", []string{"[[input]]", "[input]"}, []string{"input", "[[input]]"}},
		{"input without files", []string{"include =", "exclude ="}, []string{"input[0].include: is missing", "include = ["}},
		{"unknown key", []string{"[spool]\n", "[spool]\nmax_siez = \"1GiB\"\n"}, []string{"spool.max_siez: is not a known key", "max_size"}},
		{"unknown table", []string{"[spool]\n", "[spol]\n"}, []string{": spol: is not a known key", "did you mean \"spool\""}},
		{"wrong type", []string{"path_style = true", "path_style = 1"}, []string{"s3.path_style", "(got 1)", "true"}},
		{"out of range", []string{"[spool]\n", "[spool]\nmax_size = \"1KiB\"\n"}, []string{"spool.max_size", `(got "1KiB")`, "8MiB"}},
		{"relative glob", []string{"include = [\"/", "include = [\""}, []string{"input[0].include[0]", `begin it with "/"`}},
		{"glob of brackets", []string{"*.log", "[*.log"}, []string{"input[0].include[0]", "not a valid pattern", "close"}},
		{"half a key pair", []string{"secret_access_key", "# "}, []string{"s3.access_key_id", "secret_access_key", "set both"}},
		{"unset variable", []string{`"e2e-access"`, `"${NOT_SET_ANYWHERE}"`}, []string{"s3.access_key_id", "NOT_SET_ANYWHERE"}},
		{"key without the four", []string{"[s3]\n", "[s3]\nkey = \"{input}/{chunk}\"\n"}, []string{"s3.key", "{queue}", `(got "{input}/{chunk}")`}},
		{"no port", []string{"[telemetry]\n", "[telemetry]\nlisten = \"127.0.0.1\"\n"}, []string{"telemetry.listen", `(got "127.0.0.1")`, `"127.0.0.1:9464"`}},
		{"not TOML", []string{"[spool]\n", "[spool\n"}, []string{"TOML"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.log("a.log", events(10))
			w.configure(c.replace...)
			says := slices.Concat(c.says, []string{"spoolship: error: " + w.Agent.Config + ":"})
			w.command("check").exits(2).complaint(says...)
			w.command("run", "--once").exits(2).complaint(says...)
			w.configure()
			w.ships()
		})
	}
}

// Every mistake is reported at once, each on its line.
func TestConfigAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure("bucket = \"events\"", "bucket = \"a/b\"", "[spool]\n", "[spool]\nmax_siez = 1\n", "include =", "exclude =")
	p := w.command("check").exits(2)
	for _, key := range []string{"spool.max_siez", "s3.bucket", "input[0].include"} {
		if matching(p.err.String(), []string{"spoolship: error: " + w.Agent.Config + ":", ": " + key + ": "}) != 1 {
			t.Errorf("no line about %s:\n%s", key, p.err.String())
		}
	}
}

func TestNoConfigFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.command("run").exits(2).complaint(w.Agent.Config, "no such file", "name an existing file")
	w.configure()
	os.Chmod(w.Agent.Config, 0)
	w.command("run").exits(2).complaint(w.Agent.Config, "permission denied")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"rum"}, {"run", "now"}, {"run", "--twice"}, {"run", "--flush-partial"}, {"spool", "list"}, {"spool", "export"}} {
		start(t, args...).exits(2).complaint("spoolship: error: ", "--help")
	}
}
