//go:build e2e

package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// A state directory that can't be had is exit code 1 and one line with its
// path; nothing is read.
func TestStateDirectory(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, w *world, dir string)
		repair func(t *testing.T, dir string)
		says   []string
	}{
		{"can't be made", func(t *testing.T, w *world, dir string) {
			w.cfg.StateDir = filepath.Join(dir, "state")
			mode(t, dir, 0o555)
		}, func(t *testing.T, dir string) { mode(t, dir, 0o755) }, []string{"permission denied", "needs to own"}},
		{"can't be written", func(t *testing.T, _ *world, dir string) { mode(t, dir, 0o555) },
			func(t *testing.T, dir string) { mode(t, dir, 0o755) }, []string{"permission denied", "needs to own"}},
		{"can't be entered", func(t *testing.T, _ *world, dir string) { mode(t, dir, 0) },
			func(t *testing.T, dir string) { mode(t, dir, 0o755) }, []string{"permission denied", "needs to own"}},
		{"is a file", func(t *testing.T, _ *world, dir string) {
			os.Remove(dir)
			if err := os.WriteFile(dir, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, func(_ *testing.T, dir string) { os.Remove(dir) }, []string{"not a directory", "[agent] state_dir"}},
		{"is read-only", func(t *testing.T, _ *world, dir string) { mountTmpfs(t, dir, unix.MS_RDONLY) },
			func(t *testing.T, dir string) { remount(t, dir, 0) }, []string{"read-only file system", "[agent] state_dir"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.log("a.log", events(10))
			dir := w.cfg.StateDir
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			own(t, dir)
			c.spoil(t, w, dir)
			w.configure()
			says := slices.Concat(c.says, []string{"state directory", dir})
			check := w.command("check").exits(1)
			if matching(check.out.String(), []string{"state directory " + w.cfg.StateDir + ": ", "can't write"}) != 1 {
				t.Errorf("check does not say it:\n%s", check.out.String())
			}
			w.command("run", "--once").exits(1).complaint(says...)
			c.repair(t, dir)
			w.ships()
		})
	}
}

func mode(t *testing.T, path string, m os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, m); err != nil {
		t.Fatal(err)
	}
}

var tmpfsData = fmt.Sprintf("size=48m,mode=0755,uid=%d,gid=%[1]d", nobody)

// mountTmpfs puts a small file system at dir, or skips the test.
func mountTmpfs(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, tmpfsData); err != nil {
		t.Skipf("a small file system can't be mounted (%v): run the tests as root", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, tmpfsData); err != nil {
		t.Fatal(err)
	}
}

// fill takes all space of the file system at dir.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for zeros := bytes.Repeat([]byte{'x'}, 1<<16); err == nil; {
		_, err = f.Write(zeros)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() { os.Remove(path) }
}

// small is a world whose state is on a small file system.
func small(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, bucket.JSON)
	if err := os.Mkdir(w.cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, w.cfg.StateDir, 0)
	w.cfg.SegmentSize = "1MiB"
	w.configure()
	return w
}

// A disk that is full at the start is an error that says so.
func TestDiskFullAtStart(t *testing.T) {
	t.Parallel()
	w := small(t)
	w.log("a.log", events(10))
	free := fill(t, w.cfg.StateDir)
	w.command("run", "--once").exits(1).complaint("spoolship: error: ", w.cfg.StateDir, "no space left", "free")
	free()
	w.ships()
}

// A disk that fills up while the agent runs: what is spooled is shipped, the
// rest waits in its files, status says so, and all goes on by itself.
func TestDiskFullWhileRunning(t *testing.T) {
	t.Parallel()
	w := small(t)
	w.log("a.log", events(10))
	p := w.follow()
	w.shipped(10)
	free := fill(t, w.cfg.StateDir)
	w.log("a.log", events(5000))
	p.prints("level=ERROR", "spool")
	eventually(t, "bad health", func() bool {
		_, code := w.status()
		return code == 1
	})
	p.complaint("level=ERROR", "spool full", w.cfg.StateDir, "bytes left", "free disk space")
	free()
	p.prints("fine again")
	w.shipped(5010)
	p.stop()
	w.arrived()
	w.ships()
}

// The same with an agent that is killed on the full disk and started again.
func TestDiskFullAndKilled(t *testing.T) {
	t.Parallel()
	w := small(t)
	w.way.Down()
	w.log("a.log", events(1000))
	p := w.follow()
	w.sealed(1)
	free := fill(t, w.cfg.StateDir)
	w.log("a.log", events(5000))
	p.prints("level=ERROR", "spool full")
	p.cmd.Process.Kill()
	<-p.done
	if err := w.way.Up(); err != nil {
		t.Fatal(err)
	}
	p = w.follow() // acks what is spooled although there is no space
	w.shipped(1000)
	p.stop()
	free()
	w.ships()
}

// min_free holds the agent back before the disk is full.
func TestMinFree(t *testing.T) {
	t.Parallel()
	w := small(t)
	w.replace = nil
	w.configure("[spool]\n", "[spool]\nmin_free = \"1GiB\"\n")
	w.log("a.log", events(10))
	p := w.follow()
	p.prints("level=ERROR", "spool full")
	p.complaint("spool full", w.cfg.StateDir, "are to stay free", "free disk space")
	p.stop()
	w.configure("[spool]\n", "[spool]\nmin_free = \"1MiB\"\n")
	w.ships()
}

// A state directory that goes away under the agent ends it: nothing is
// written to where nobody will find it.
func TestStateRemoved(t *testing.T) {
	for _, c := range []struct {
		name   string
		remove func(dir string) error
		repair func(dir string) error
	}{
		{"moved away and back", func(dir string) error { return os.Rename(dir, dir+".away") },
			func(dir string) error { return os.Rename(dir+".away", dir) }},
		{"segments moved away and back", func(dir string) error { return os.Rename(dir+"/queue", dir+"/away") },
			func(dir string) error { return os.Rename(dir+"/away", dir+"/queue") }},
		{"deleted", os.RemoveAll, func(string) error { return nil }},
		{"replaced by an empty one", func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777))
		}, func(string) error { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.configure()
			w.way.Down() // what was shipped from a deleted state is shipped again: nobody knows of it
			w.log("a.log", events(10))
			p := w.follow()
			w.sealed(1)
			if err := c.remove(w.cfg.StateDir); err != nil {
				t.Fatal(err)
			}
			w.log("a.log", events(10))
			code := p.code()
			row(t, code == 4, "the state directory is "+c.name, fmt.Sprintf("exit code %d", code), "4, on which the unit starts no other")
			if matching(p.err.String(), []string{"spoolship: error: ", "state directory was removed", w.cfg.StateDir}) != 1 {
				t.Errorf("no line, or more than one, about it:\n%s", p.err.String())
			}
			if matching(p.err.String(), []string{"spoolship: hint: ", "start"}) != 1 {
				t.Errorf("no word about what to do:\n%s", p.err.String())
			}
			if err := c.repair(w.cfg.StateDir); err != nil {
				t.Fatal(err)
			}
			if err := w.way.Up(); err != nil {
				t.Fatal(err)
			}
			w.ships()
		})
	}
}
