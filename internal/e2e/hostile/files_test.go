//go:build e2e

package hostile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// A glob that matches nothing is a warning; what comes later is followed.
func TestNothingMatches(t *testing.T) {
	for name, file := range map[string]string{"no file": "late.log", "no directory": "sub/dir/late.log"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			dir := filepath.Dir(filepath.Join(w.Logs(), file))
			w.cfg.Inputs[0].Include = []string{dir + "/*.log"}
			w.configure()
			p := w.command("check").exits(0)
			if matching(p.out.String(), []string{"warning", "nothing matches", dir + "/*.log"}) != 1 {
				t.Errorf("check does not warn:\n%s", p.out.String())
			}
			w.command("run", "--once").exits(0).complaint("nothing matches", dir+"/*.log")
			p = w.follow()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			w.log(file, events(3))
			w.shipped(3)
			p.stop()
			w.ships()
		})
	}
}

// unreadable makes something that the agent's user may not open, with a
// function that repairs it.
func unreadable(t *testing.T, path string) (repair func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Chmod(path, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// What can't be read is said once, with the fix; other files go on, and a run
// that is to ship everything does not claim to have done so.
func TestUnreadable(t *testing.T) {
	for _, c := range []struct{ name, file, shut string }{
		{"file", "shut.log", "shut.log"},
		{"directory", "shut/in.log", "shut"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.cfg.Inputs[0].Include = []string{w.Logs() + "/**/*.log"}
			w.configure()
			w.log("good.log", events(10))
			os.MkdirAll(filepath.Dir(filepath.Join(w.Logs(), c.file)), 0o755)
			w.log(c.file, events(10))
			shut := filepath.Join(w.Logs(), c.shut)
			repair := unreadable(t, shut)
			p := w.command("check").exits(1)
			if matching(p.out.String(), []string{shut, "permission denied", "let the agent's user"}) != 1 {
				t.Errorf("check does not say what is shut:\n%s", p.out.String())
			}
			once := w.command("run", "--once").exits(3)
			if matching(once.err.String(), []string{"level=WARN", shut, "permission denied", "let the agent's user"}) != 1 {
				t.Errorf("no line, or more than one, about %s:\n%s", shut, once.err.String())
			}
			if objects, err := w.Objects(t.Context()); err != nil || len(objects) != 1 || len(objects[0].Records) != 10 {
				t.Errorf("the file that can be read is not shipped: %d objects, %v", len(objects), err)
			}
			repair()
			w.ships()
		})
	}
}

// A running agent notices that a file can be read now.
func TestUnreadableWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("shut.log", events(10))
	repair := unreadable(t, filepath.Join(w.Logs(), "shut.log"))
	p := w.follow()
	p.complaint("shut.log", "permission denied", "let the agent's user")
	status := w.command("status")
	status.code()
	if matching(status.out.String(), []string{"fix: ", "let the agent's user"}) != 1 {
		t.Errorf("status does not say it:\n%s", status.out.String())
	}
	repair()
	p.prints("can be read again", "shut.log")
	w.shipped(10)
	p.stop()
	w.ships()
}

// What is not a regular file is left alone, whatever its name.
func TestNotAFile(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		make       func(path string) error
	}{
		{"FIFO", "a named pipe", func(path string) error { return syscall.Mkfifo(path, 0o644) }},
		{"directory", "a directory", func(path string) error { return os.Mkdir(path, 0o755) }},
		{"link to a device", "a device", func(path string) error { return os.Symlink("/dev/zero", path) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.configure()
			w.log("good.log", events(10))
			if err := c.make(filepath.Join(w.Logs(), "odd.log")); err != nil {
				t.Fatal(err)
			}
			w.command("check").exits(0)
			once := w.command("run", "--once").exits(0)
			once.complaint("not a regular file", "odd.log", c.kind, "exclude")
			w.log("good.log", events(10))
			w.ships()
		})
	}
}

// Links that lead nowhere or in a circle are no files either.
func TestBrokenLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	os.Symlink("nowhere", filepath.Join(w.Logs(), "dangling.log"))
	w.log("good.log", events(10))
	w.ships()
	os.Symlink("circle.log", filepath.Join(w.Logs(), "circle.log"))
	p := w.follow()
	p.complaint("circle.log", "symbolic links", "remove the loop")
	p.stop()
	w.arrived()
}
