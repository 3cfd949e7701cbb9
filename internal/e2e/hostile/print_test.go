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
