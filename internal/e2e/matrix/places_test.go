//go:build e2e && linux

package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// The rows about where files are and how long they live.
var places = []struct {
	name string
	run  func(w *world)
}{
	{"short-lived, 200 ms", func(w *world) {
		w.start()
		const files = 20
		for i := range files {
			name := fmt.Sprintf("short%d.log", i)
			w.expect(name, w.append(name, w.events(name, 10)))
			time.Sleep(200 * time.Millisecond) // its life
			w.must(os.Remove(w.path(name)))
		}
		w.spooled(10 * files)
	}},
	{"100,000 files in the tree, 100 match", func(w *world) {
		w.cfg.Inputs[0].Include = []string{w.path("**/*.log")}
		const files, matching, nth = 100_000, 100, 1001
		for i := range files {
			name := fmt.Sprintf("%d/a/b/c/%d", i%100, i)
			if i < 100 {
				w.must(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
			}
			if i%nth == 0 { // each in another directory
				name += ".log"
				w.expect(name, w.append(name, w.events(name, 3)))
				continue
			}
			w.must(os.WriteFile(w.path(name), nil, 0o644))
		}
		w.start()
		w.spooled(int64(3 * len(w.streams)))
		if len(w.streams) != matching {
			w.t.Fatalf("%d files match, not %d", len(w.streams), matching)
		}
	}},
	{"tmpfs", func(w *world) {
		w.mount("tmpfs", "tmpfs", w.inMount("m"), 0, "size=16m")
		w.expect("first", w.append("m/app.log", w.events("first", 10)))
		w.start()
		w.spooled(10)
		w.must(os.Rename(w.path("m/app.log"), w.path("m/app.log.1")))
		w.expect("new", w.append("m/app.log", w.events("new", 10)))
		w.spooled(20)
	}},
	{"bind mount", func(w *world) {
		other := w.inDir("other")
		w.mount(other, "", w.inMount("m"), syscall.MS_BIND, "")
		w.start()
		text := w.events("from the other side", 10)
		w.must(os.WriteFile(filepath.Join(other, "app.log"), []byte(text), 0o644))
		w.expect("bound", text, w.append("m/app.log", w.events("from here", 10)))
		w.spooled(20)
	}},
	{"overlayfs, file copied up by an append", func(w *world) {
		// An overlay's upper directory can't lie on an overlay.
		layers := w.inDir("layers")
		w.mount("tmpfs", "tmpfs", layers, 0, "size=16m")
		for _, d := range []string{"lower", "upper", "work"} {
			w.must(os.Mkdir(filepath.Join(layers, d), 0o755))
		}
		first := w.events("first", 10)
		w.must(os.WriteFile(filepath.Join(layers, "lower/app.log"), []byte(first), 0o644))
		w.mount("overlay", "overlay", w.inMount("m"), 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", layers))
		w.start()
		w.spooled(10)
		w.expect("app", first, w.append("m/app.log", w.events("more", 10)))
		w.spooled(20)
	}},
	{"mount gone and back", func(w *world) {
		other, m := w.inDir("other"), w.inMount("m")
		w.mount(other, "", m, syscall.MS_BIND, "")
		first := w.append("m/app.log", w.events("first", 10))
		w.start()
		w.spooled(10)
		w.must(syscall.Unmount(m, syscall.MNT_DETACH))
		w.expect("meanwhile", w.append("b.log", w.events("meanwhile", 10)))
		w.spooled(20)
		w.mount(other, "", m, syscall.MS_BIND, "")
		w.expect("app", first, w.append("m/app.log", w.events("back", 10)))
		w.spooled(30)
	}},
	{"permission denied, granted later", func(w *world) {
		w.unprivileged()
		denied := w.path("denied.log")
		first := w.append("denied.log", w.events("denied", 10))
		w.must(os.Chmod(denied, 0))
		w.expect("open", w.append("open.log", w.events("open", 10)))
		w.start()
		w.spooled(10)
		w.status("a problem that names the file", func(s agentproc.Status) bool {
			return len(s.Inputs[0].Errors) == 1 && s.Inputs[0].Errors[0].Path == denied
		})
		w.must(os.Chmod(denied, 0o644))
		w.expect("denied", first, w.append("denied.log", w.events("granted", 10)))
		w.spooled(30)
	}},
	{"rotated, deleted once it is shipped", func(w *world) {
		w.cfg.Inputs[0].DeleteAfterShip, w.cfg.CloseInactive = 100*time.Millisecond, time.Second
		w.Server.Down()
		w.start()
		w.expect("first", w.append("app.log", w.events("first", 10)))
		w.spooled(10)
		rotated := w.path("app.log.1")
		w.must(os.Rename(w.path("app.log"), rotated))
		w.expect("next", w.append("app.log", w.events("next", 10)))
		w.spooled(20)
		w.status("the rotated file is finished", func(s agentproc.Status) bool { return s.Inputs[0].Files == 1 })
		w.must(os.WriteFile(w.path("scan.log"), nil, 0o644))
		w.status("a scan", func(s agentproc.Status) bool { return s.Inputs[0].Files == 2 })
		if _, err := os.Stat(rotated); err != nil {
			w.t.Errorf("deleted before it was shipped: %v", err)
		}
		w.must(w.Server.Up())
		w.status("all is shipped", func(s agentproc.Status) bool { return s.Backlog == 0 && s.Open == 0 && s.Sealed == 0 })
		w.must(os.Rename(w.path("scan.log"), w.path("scan-again.log")))
		gone := func() bool { _, err := os.Stat(rotated); return errors.Is(err, os.ErrNotExist) }
		w.eventually("the rotated file is deleted", gone, func() string { return "it is still there" })
		if _, err := os.Stat(w.path("app.log")); err != nil {
			w.t.Error(err)
		}
	}},
	{"killed while it deletes a rotated file", func(w *world) {
		w.cfg.Inputs[0].DeleteAfterShip, w.cfg.CloseInactive = 100*time.Millisecond, time.Second
		w.cfg.ScanInterval = time.Second
		w.startFailing("remove.aside:1:kill")
		w.expect("first", w.append("app.log", w.events("first", 10)))
		w.spooled(10)
		w.must(os.Rename(w.path("app.log"), w.path("app.log.1")))
		w.expect("next", w.append("app.log", w.events("next", 10)))
		select {
		case <-w.proc.Done():
		case <-w.ctx.Done():
			w.t.Fatal("it deletes nothing")
		}
		w.proc.Kill()
		if names := w.names(); len(names) != 2 || names[1] != "app.log" {
			w.t.Fatalf("killed elsewhere: %q", names)
		}
		w.start()
		w.eventually("the rotated file is deleted", func() bool { return slices.Equal(w.names(), []string{"app.log"}) },
			func() string { return fmt.Sprintf("there is %q", w.names()) })
	}},
}

// names lists the log directory.
func (w *world) names() (names []string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.Logs())
	w.must(err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// unprivileged has the agent run as nobody. Only the files of the log directory
// keep their owners.
func (w *world) unprivileged() {
	w.t.Helper()
	if os.Geteuid() != 0 {
		return // the agent has no more rights than this process
	}
	wrapper := w.path("../as-nobody")
	text := fmt.Sprintf("#!/bin/sh\nchown 65534:65534 '%s' '%s'\nexec setpriv --reuid=65534 --regid=65534 --clear-groups '%s' \"$@\"\n",
		w.Dir, w.Agent.Config, w.Agent.Binary)
	w.must(os.WriteFile(wrapper, []byte(text), 0o755))
	w.Agent.Binary = wrapper
}

// inDir makes a directory outside of what is watched.
func (w *world) inDir(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.Dir, name)
	w.must(os.Mkdir(dir, 0o755))
	return dir
}

// inMount makes a directory to mount on, and follows what is in it.
func (w *world) inMount(name string) string {
	w.t.Helper()
	w.cfg.Inputs[0].Include = append(w.cfg.Inputs[0].Include, w.path(name+"/*.log"))
	w.must(os.Mkdir(w.path(name), 0o755))
	return w.path(name)
}

// mount mounts until the end of the test, or skips it where nobody lets us.
func (w *world) mount(source, kind, target string, flags uintptr, options string) {
	w.t.Helper()
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		w.t.Skipf("skipped: mounting %s%s: %v", kind, source, err)
	}
	w.t.Cleanup(func() {
		// EINVAL: the case unmounted it itself.
		if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			w.t.Errorf("unmounting %s: %v", target, err)
		}
	})
}

func TestPlaces(t *testing.T) {
	for _, row := range places {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.run(w)
			w.arrives()
		})
	}
}
