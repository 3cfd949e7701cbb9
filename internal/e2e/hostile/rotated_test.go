//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// eve is a user who is neither root nor the agent.
const eve = 12345

// append adds to a file what is expected under another name.
func (w *world) append(name, content string) {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.Logs(), name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(content)
		f.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// A report that is the same each night; the one before is removed or kept.
func TestSameReportEachNight(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		w := newWorld(t, bucket.JSON)
		w.configure()
		report := events(3)
		for day := range 4 {
			name := fmt.Sprintf("backup-2026-11-2%d.log", day)
			w.log(name, report)
			w.command("run", "--once").exits(0)
			if !kept {
				if err := os.Remove(filepath.Join(w.Logs(), name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.arrived()
		row(t, !t.Failed(), fmt.Sprintf("backup-DATE.log, the same each night, kept %v", kept), "all of them", "all of them")
	}
}

// Another user plants copies with forged lines, and links to files of others.
func TestPlanted(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to make files of two users")
	}
	w := newWorld(t, bucket.JSON)
	w.cfg.Inputs[0].Include = []string{w.Logs() + "/*.log*"}
	w.configure()
	if err := os.Chmod(w.Logs(), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(filepath.Dir(w.Logs()), "shadow")
	if err := os.WriteFile(secret, []byte("{\"secret\":1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(w.Logs(), "eve.log")
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(link, eve, eve); err != nil {
		t.Fatal(err)
	}
	text := ""
	for range 5 {
		more := events(2)
		w.log("app.log", more)
		text += more
		w.command("run", "--once").exits(0)
		planted := filepath.Join(w.Logs(), "app.log.1")
		if err := os.WriteFile(planted, []byte(text+"{\"forged\":1}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(planted, eve, eve); err != nil {
			t.Fatal(err)
		}
		p := w.command("run", "--once").exits(0)
		if said := p.err.String(); !strings.Contains(said, "belongs to another user") || !strings.Contains(said, "ignored a symbolic link") {
			t.Errorf("it said %s", said)
		}
	}
	w.arrived()
	row(t, !t.Failed(), "another user's app.log.1 and link to a file of others", "the owner's lines once", "the owner's lines once, none of hers")
}

// Names that programs give to files for a time.
func TestTemporaryNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.cfg.Inputs[0].Include = []string{w.Logs() + "/*"}
	w.configure()
	text := events(10)
	for _, name := range []string{".app.log.Xy12aB", "app.log~", ".app.log.swp", "app.log.tmp"} {
		w.append(name, text[:len(text)/2])
	}
	w.command("run", "--once").exits(0)
	w.append(".app.log.Xy12aB", text[len(text)/2:])
	app := filepath.Join(w.Logs(), "app.log")
	if err := os.Rename(filepath.Join(w.Logs(), ".app.log.Xy12aB"), app); err != nil {
		t.Fatal(err)
	}
	w.expect(app, text)
	w.command("run", "--once").exits(0)
	w.arrived()
	row(t, !t.Failed(), "names of rsync and editors under *", "every line once", "every line once")
}
