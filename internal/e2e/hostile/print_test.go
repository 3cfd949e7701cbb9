//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// unsafe counts the characters of text that a terminal or a reader could take for
// something else, and the lines that set a priority in the journal.
func unsafe(text string) (n int) {
	for line := range strings.Lines(text) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
				n++
			}
		}
		if strings.HasPrefix(line, "<") {
			n++
		}
	}
	return n
}

// Names of files are whatever somebody likes.
func TestPrintedNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	for i, name := range []string{
		"a\n<0>kernel: fake emergency.log", "b\x1b[2J\x1b]0;owned\x07.log", "c\u009b31m.log", "d\u202egol.log", "e\u200b\u2028\ufeff.log", "f\xff\xfe.log", "g\r\t.log",
	} {
		path := filepath.Join(w.Logs(), name)
		if err := os.WriteFile(path, []byte(events(1)), 0o644); err != nil {
			t.Fatal(err)
		}
		own(t, path)
		if i%2 == 0 {
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := w.follow()
	w.shipped(3)
	var text, shown strings.Builder
	for _, args := range [][]string{{"check"}, {"status"}, {"status", "--json"}, {"reload"}, {"spool", "ls"}, {"audit"}, {"cat"}} {
		c := w.command(args...)
		c.code()
		if args[0] != "cat" { // its records are JSON here, and not on a terminal
			text.WriteString(c.out.String())
		}
		text.WriteString(c.err.String())
		shown.WriteString(c.out.String())
	}
	p.stop()
	text.WriteString(p.err.String())
	if !strings.Contains(shown.String(), `\n<0>kernel`) {
		t.Errorf("the names are not shown:\n%s", shown.String())
	}
	n := unsafe(text.String())
	row(t, n == 0, "file names with newlines, ESC, C1, bidi, bytes", fmt.Sprintf("%d unsafe characters in 7 commands and the log", n), "0")
}

// What is pasted into the wrong line is often a secret.
func TestPastedSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2xy"
	w := newWorld(t, bucket.JSON)
	w.log("a.log", events(1))
	leaks, lines := 0, []string{
		`external_id = "` + secret + `!"`, `role_arn = "` + secret + `"`, `access_key_id_file = "` + secret + `"`, `secret_access_key_file = "/` + secret + `"`,
		`credentials_file = "/` + secret + `"`, `ca_file = "` + secret + `"`, `proxy = "http://u:` + secret + `@proxy"`, `sts_endpoint = "https://sts/?t=` + secret + `"`,
		`profile = "` + secret + `"`,
	}
	for _, line := range lines {
		w.configure("[s3]\n", "[s3]\n"+line+"\n")
		for _, args := range [][]string{{"check"}, {"run", "--once"}, {"audit"}} {
			p := w.command(args...).exits(2)
			if strings.Contains(p.out.String()+p.err.String(), secret) {
				leaks++
			}
		}
	}
	for _, url := range []string{"https://u:" + secret + "@store", "https://store/?X-Amz-Signature=" + secret, "https://store/#" + secret} {
		w.configure(w.cfg.Endpoint, url)
		for _, args := range [][]string{{"check"}, {"run", "--once"}} {
			p := w.command(args...).exits(2)
			if strings.Contains(p.out.String()+p.err.String(), secret) {
				leaks++
			}
		}
		p := w.command("audit", "--endpoint", url, "s3://events")
		if p.code(); strings.Contains(p.out.String()+p.err.String(), secret) {
			leaks++
		}
	}
	row(t, leaks == 0, fmt.Sprintf("a secret in %d wrong places of [s3]", len(lines)+3), fmt.Sprintf("printed %d times", leaks), "never")
}

// The three settings of a service; what is missing is told with its line.
func TestMissingRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure("endpoint = ", "# ", "region = ", "# ")
	for _, args := range [][]string{{"check"}, {"run", "--once"}, {"audit"}} {
		w.command(args...).exits(2).complaint("spoolship: error: "+w.Agent.Config+":", ": s3.region: missing", "eu-central-1")
	}
}
