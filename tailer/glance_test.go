package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// later has the timer, not an event, find out what has happened.
func (f *fixture) later(d time.Duration) {
	f.t.Helper()
	f.clock.t = f.clock.t.Add(d)
	f.must(f.Tailer.step(f.t.Context()))
}

// quieten brings the tailer to where time alone brings glances, not scans.
func (f *fixture) quieten(dirs ...string) {
	f.t.Helper()
	f.age(dirs...)
	for range 3 {
		f.step()
	}
	f.later(time.Second)
	if f.scanned.Equal(f.verified) {
		f.t.Fatal("a scan where nothing has changed")
	}
}

// Whatever changes is noticed at the next poll; a scan is done only for what
// is more than growth.
func TestGlance(t *testing.T) {
	for _, c := range []struct {
		name, pattern string
		change        func(*fixture)
		want          string
		scans         bool
	}{
		{"nothing", "*.log", func(*fixture) {}, "x\n", false},
		{"growth", "*.log", func(f *fixture) { f.append("a.log", "y\n") }, "x\ny\n", false},
		{"new file", "*.log", func(f *fixture) { f.append("b.log", "b\n") }, "x\nb\n", true},
		{"new directory", "**/*.log", func(f *fixture) { f.append("e/b.log", "b\n") }, "x\nb\n", true},
		{"new in a directory", "*/b.log", func(f *fixture) { f.append("d/b.log", "b\n") }, "b\n", true},
		{"new path", "d/e/b.log", func(f *fixture) { f.append("d/e/b.log", "b\n") }, "b\n", true},
		{"rotation", "*.log", func(f *fixture) { f.rename("a.log", "a.log.1"); f.append("a.log", "y\n") }, "x\ny\n", true},
		{"truncation", "*.log", func(f *fixture) { f.truncate("a.log") }, "x\n", true},
		{"a copy grows", "*.log", func(f *fixture) { f.append("a.log.1", "y\n") }, "x\n", true},
		{"link retargeted far away", "*.lnk", func(f *fixture) {
			f.must(os.Remove(f.path("d/to")))
			f.must(os.Symlink(f.path("two"), f.path("d/to")))
		}, "1\n2\n", true},
		{"link to nowhere leads somewhere", "*.nul", func(f *fixture) { f.append("d/late", "y\n") }, "y\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, c.pattern)
			f.append("a.log", "x\n")
			f.append("one/f", "1\n")
			f.append("two/f", "2\n")
			f.must(os.Mkdir(f.path("d"), 0o755))
			f.must(os.Symlink(f.path("one"), f.path("d/to")))
			f.must(os.Symlink(f.path("d/to/f"), f.path("a.lnk")))
			if c.name == "a copy grows" {
				f.step()
				f.tick()
				f.copy("a.log", "a.log.1")
				f.pass(idle)
				f.pass(idle)
			}
			if c.pattern == "*.nul" {
				f.must(os.Symlink(f.path("d/late"), f.path("a.nul")))
				f.step()
				f.clock.t = f.clock.t.Add(time.Second)
			} else {
				f.quieten("d", "one", "two")
			}
			verified := f.verified
			c.change(f)
			f.later(time.Second)
			f.want(c.want)
			if scanned := f.verified.After(verified); scanned != c.scans {
				t.Errorf("scanned: %v", scanned)
			}
		})
	}
}

// Where the kernel tells of changes, the names that it did not tell of have
// their turn, some at every scan interval.
// A directory that is dated in the future is not scanned all the time.
func TestGlanceOfTheFuture(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "x\n")
	soon := time.Now().Add(time.Hour)
	f.must(os.Chtimes(f.dir, soon, soon))
	f.step()
	if f.step(); f.sight.open {
		t.Error("nothing has changed, and a scan is due")
	}
	f.append("b.log", "y\n")
	if f.glance(f.sight.names) {
		t.Error("a glance missed a new file")
	}
}

func TestGlanceTakesTurns(t *testing.T) {
	var s sight
	for i := range glanceAtMost + 1 {
		s.names = append(s.names, &seen{path: fmt.Sprint(i)})
	}
	turns := map[string]int{}
	for range 4 {
		for _, o := range s.part(true) {
			turns[o.path]++
		}
	}
	for _, o := range s.names {
		if turns[o.path] != 2 {
			t.Fatalf("%s had %d turns", o.path, turns[o.path])
		}
	}
	if n := len(s.part(false)); n != len(s.names) {
		t.Errorf("without events, %d names", n)
	}
}

// What happens between the look at a directory and the watching of it, nobody
// is told of. It is found at once all the same, with a scan only if it needs one.
func TestUnwatchedYet(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fixture)
		scans  uint64
		want   string
	}{
		{"nothing", func(*fixture) {}, 1, "x\n"},
		{"growth", func(f *fixture) { f.append("a.log", "y\n") }, 1, "x\ny\n"},
		{"new file", func(f *fixture) { f.append("b.log", "b\n") }, 2, "x\nb\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, "*.log")
			f.append("a.log", "x\n")
			f.step()
			f.o.ScanInterval, f.o.Poll = time.Hour, false
			f.restart(func() { f.age() })
			if !f.watch.working() {
				t.Skip("inotify is not to be had here")
			}
			home, looked := f.inputs[0].families[f.path("a.log")], false
			f.Tailer.o.Pulse = func(bool) {
				if !looked && len(home.seen) > 0 {
					looked = true
					c.change(f)
				}
			}
			before := f.phase
			f.must(f.Tailer.step(t.Context()))
			f.must(f.watch.w.Remove(f.dir)) // no event helps
			f.later(time.Second)
			f.want(c.want)
			if n := (f.phase - before) / 2; !looked || n != c.scans {
				t.Errorf("%d scans, changed: %t", n, looked)
			}
		})
	}
}

// A scan in full comes now and then even if all looks quiet.
func TestVerified(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "x\n")
	f.quieten()
	verified := f.verified
	f.later(f.Tailer.o.ScanInterval)
	if !f.verified.After(verified) {
		t.Error("no scan for a scan interval")
	}
}

// Files that were never seen growing are soon closed once they are read. One
// that was is held, and outlives its name.
func TestReadFilesAreClosed(t *testing.T) {
	f := newFixture(t, "*.log")
	for i := range 5 {
		f.append(fmt.Sprintf("%d.log", i), "x\n")
	}
	f.step()
	f.later(closeRead)
	if s := f.stats(); s.Open != 0 || s.Files != 5 {
		t.Fatalf("stats: %+v", s)
	}
	f.append("0.log", "y\n")
	f.later(f.Tailer.o.PollInterval)
	f.later(closeRead)
	if s := f.stats(); s.Open != 1 {
		t.Fatalf("stats: %+v", s)
	}
	f.append("0.log", "z\n")
	f.rename("0.log", "gone")
	f.remove("gone")
	f.step()
	f.want("x\nx\nx\nx\nx\ny\nz\n")
	f.pass(idle)
	if s := f.stats(); s.Open != 0 || s.LostBytes != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// What could not be read is tried again at every poll, without any event, and
// once it is read and no problem any more, there are glances again.
func TestGlanceRetries(t *testing.T) {
	f := newFixture(t, "*.log")
	f.o.ScanInterval = time.Hour
	f.restart(func() {})
	f.append("a.log", "x\n")
	f.quieten()
	grant := f.deny("b.log", unix.EMFILE)
	f.append("b.log", "y\n")
	f.age()
	for range 5 {
		verified := f.verified
		f.later(time.Second)
		if s := f.stats(); !f.verified.After(verified) || len(s.Errors) != 1 {
			t.Fatalf("no scan, or stats: %+v", s)
		}
	}
	grant()
	f.later(time.Second)
	f.want("x\ny\n")
	for range 4 {
		f.later(time.Second)
	}
	if s := f.stats(); f.scanned.Equal(f.verified) || len(s.Errors) != 0 {
		t.Errorf("a scan where nothing has changed, or stats: %+v", s)
	}
}

// A file whose rest is waited for is decided about as time goes by, without any
// event: it becomes a problem, and is given up when its copy has settled.
func TestGlanceWaits(t *testing.T) {
	f := newFixture(t, "*.log")
	f.o.ScanInterval = time.Hour
	f.append("a.log", "one\n"+strings.Repeat("x\n", 600))
	f.step()
	text := f.c.text()
	f.restart(func() {
		f.remove("a.log")
		f.append("a.log", "new\n")
		f.append("a.log.1", "one\n")
		f.age()
	})
	for i := range 25 {
		f.append("a.log.1", "x\n")
		f.later(time.Second)
		if n := len(f.stats().Errors); (i > 20) != (n == 1) {
			t.Fatalf("second %d: %d problems", i, n)
		}
	}
	for range 15 {
		f.later(time.Second)
	}
	f.want(text + "one\n" + strings.Repeat("x\n", 25) + "new\n") // it was another file
	if s := f.stats(); len(s.Errors) != 0 || f.scanned.Equal(f.verified) {
		t.Errorf("a scan where nothing has changed, or stats: %+v", s)
	}
}
