//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// Links, hard links and a pattern lead to what is the agent's own, or the kernel's.
func TestPrivateFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.cfg.Inputs[0].Include = []string{w.Logs() + "/*.log", filepath.Dir(w.Agent.Config) + "/**/*.{toml,seg,db}", "/proc/self/environ"}
	w.configure()
	for name, to := range map[string]string{"config.log": w.Agent.Config, "environ.log": "/proc/self/environ", "sys.log": "/sys/kernel/uevent_seqnum"} {
		if err := os.Symlink(to, filepath.Join(w.Logs(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(w.Agent.Config, filepath.Join(w.Logs(), "hard.log")); err != nil {
		t.Fatal(err)
	}
	w.log("good.log", events(10))
	w.command("run", "--once").exits(0)
	w.log("good.log", events(10))
	p := w.command("run", "--once").exits(0)
	said := strings.Count(p.err.String(), "ignored a name that leads to a file of the agent or of the kernel")
	row(t, said == 1, "links and patterns that lead to configuration, spool, /proc and /sys", fmt.Sprintf("%d warnings", said), "1 warning, nothing of it shipped")
	w.arrived()
}

// As many names as anybody likes that can't be followed.
func TestManyBrokenLinks(t *testing.T) {
	t.Parallel()
	const n = 30_000
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("good.log", events(10))
	for i := range n {
		name := fmt.Sprintf("%05d.log", i)
		if err := os.Symlink(name, filepath.Join(w.Logs(), name)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	p := w.command("run", "--once").exits(3)
	took := time.Since(began)
	lines := strings.Count(p.err.String(), "\n")
	row(t, lines <= 40 && strings.Contains(p.err.String(), fmt.Sprint(n-20)), fmt.Sprintf("%d links in a circle", n),
		fmt.Sprintf("%d lines, %v", lines, took.Round(time.Second)), "20 lines and a count")
	w.arrived()
}

// Archives are written anew in place at equal size, while the agent is away.
func TestArchiveWrittenAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	app := filepath.Join(w.Logs(), "app.log")
	for range 4 {
		w.log("app.log", events(3))
		w.command("run", "--once").exits(0)
		w.log("app.log", events(3))
		b, err := os.ReadFile(app)
		if err == nil {
			err = os.WriteFile(app+".1", b, 0o644)
		}
		if err == nil {
			err = os.Truncate(app, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.command("run", "--once").exits(0)
	}
	w.arrived()
	row(t, !t.Failed(), "cp app.log app.log.1 && : > app.log, four times at equal size", "every line once", "every line once")
}

// A file as long as files can be neither takes the turns of others nor their start.
func TestHugeFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	dir, err := os.MkdirTemp("/dev/shm", "hostile") // ext4 has no such files
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.cfg.Inputs[0].Include = []string{w.Logs() + "/*.log", dir + "/*.log"}
	w.configure()
	for _, size := range []int64{1 << 42, 1 << 62, 1<<63 - 1} {
		name := filepath.Join(dir, fmt.Sprintf("%d.log", size))
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for range 3 {
		w.log("good.log", events(10))
		w.command("run", "--once").exits(0)
	}
	took := time.Since(began)
	w.arrived()
	row(t, took < time.Minute, "files of 2^42, 2^62 and 2^63-1 bytes", fmt.Sprintf("3 starts in %v", took.Round(time.Second)), "others shipped, every start works")
}

// Flush waits for what stood in the files, whatever poll_interval is, and not for
// what can't be read.
func TestFlushIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.cfg.MaxAge = time.Hour
	w.cfg.ScanInterval, w.cfg.PollInterval = 10*time.Minute, 10*time.Minute
	w.configure()
	p := w.follow()
	for range 6 {
		w.log("a.log", events(5))
		w.command("flush").exits(0)
		w.arrived()
	}
	if err := syscall.Mkfifo(filepath.Join(w.Logs(), "pipe.log"), 0o644); err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(w.Logs(), "shut.log")
	if err := os.WriteFile(shut, []byte("{}\n"), 0); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(w.Logs(), "half.log")
	if err := os.WriteFile(half, []byte(`{"half":`), 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f := w.command("flush").exits(3)
	took := time.Since(began)
	said := f.err.String()
	row(t, took < 30*time.Second && strings.Contains(said, half+": 8 bytes") && (os.Getuid() == 0 || strings.Contains(said, shut)),
		"flush beside a file without rights and half a line", fmt.Sprintf("exit 3 after %v", took.Round(time.Millisecond)), "names both, does not wait for them")
	p.stop()
	if err := os.Chmod(shut, 0o644); err != nil {
		t.Fatal(err)
	}
	once := w.command("run", "--once").exits(0)
	row(t, matching(once.err.String(), []string{half, "bytes=8", "--flush-partial"}) == 1, "run --once over half a line", "it is named", "file, bytes and --flush-partial")
}
