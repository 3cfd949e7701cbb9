package tailer

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deny lets opening of the named file fail with err, or of all for "", until
// grant is called.
func (f *fixture) deny(name string, err error) (grant func()) {
	open := f.openFD
	f.openFD = func(p string) (int, error) {
		if name == "" || p == f.path(name) {
			return -1, err
		}
		return open(p)
	}
	return func() { f.openFD = open }
}

// wantStreams checks what was handed on of each file, in any order of files.
func (f *fixture) wantStreams(want ...string) {
	f.t.Helper()
	streams, err := f.c.streams()
	f.must(err)
	var got []string
	for _, s := range streams {
		if s != "" {
			got = append(got, s)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		f.t.Errorf("handed on %q, want %q", got, want)
	}
	if s := f.stats(); s.LostBytes != 0 || s.Lag != 0 || len(s.Errors) != 0 {
		f.t.Errorf("stats: %+v", s)
	}
}

// A generation that nobody saw at home can't be opened when it is found. What
// is younger is read, and it is remembered, over a restart too.
func TestMissedUnreadable(t *testing.T) {
	for _, again := range []bool{false, true} {
		f := newFixture(t, "*.log")
		f.append("a.log", "one\n")
		f.step()
		f.tick()
		f.restart(func() {
			f.rename("a.log", "a.log.2")
			f.append("a.log", "two\n")
			f.tick()
			f.rename("a.log", "a.log.1")
			f.append("a.log", "three\n")
		})
		grant := f.deny("a.log.1", unix.EMFILE)
		for range 4 {
			f.pass(6 * time.Second)
		}
		f.want("one\nthree\n")
		if s := f.stats(); len(s.Errors) != 1 {
			t.Errorf("stats: %+v", s)
		}
		if again {
			f.restart(func() {})
		} else {
			grant()
		}
		for range 4 {
			f.pass(idle)
		}
		f.wantStreams("one\n", "two\n", "three\n")
	}
}

// Another rotation begins while a missed generation is looked for.
func TestMissedRenamed(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	f.tick()
	f.restart(func() {
		f.rename("a.log", "a.log.2")
		f.append("a.log", "two\n")
		f.tick()
		f.rename("a.log", "a.log.1")
		f.append("a.log", "three\n")
	})
	open := f.openFD
	f.openFD = func(p string) (int, error) {
		if p == f.path("a.log.1") {
			f.openFD = open
			f.rename("a.log.2", "a.log.3")
			f.rename("a.log.1", "a.log.2")
		}
		return open(p)
	}
	for range 6 {
		f.pass(idle)
	}
	f.want("one\ntwo\nthree\n")
}

// The very first file could never be opened, and is rotated.
func TestFirstUnreadable(t *testing.T) {
	for _, again := range []bool{false, true} {
		f := newFixture(t, "*.log")
		grant := f.deny("", unix.EACCES)
		f.append("a.log", "one\n")
		f.step()
		f.pass(idle)
		f.tick()
		f.rename("a.log", "a.log.1")
		f.append("a.log", "two\n")
		f.pass(idle)
		if s := f.stats(); len(s.Errors) != 2 || s.Lag != 8 {
			t.Errorf("stats: %+v", s)
		}
		if again {
			f.restart(func() {})
		} else {
			grant()
		}
		for range 4 {
			f.pass(idle)
		}
		f.wantStreams("one\n", "two\n")
	}
}

// The copy that a truncation left can't be opened for long.
func TestUnreadableCopy(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\ntwo\n")
	f.step()
	f.tick()
	grant := f.deny("a.log.1", unix.EACCES)
	f.append("a.log", "three\n")
	f.copy("a.log", "a.log.1")
	f.tick() // else the copy may be that of what is new
	f.truncate("a.log")
	f.append("a.log", "new\n")
	for range 4 {
		f.pass(6 * time.Second)
	}
	f.append("a.log", "newer\n")
	f.step()
	f.want("one\ntwo\nnew\nnewer\n") // which do not wait
	grant()
	for range 6 {
		f.pass(idle)
	}
	f.wantStreams("one\ntwo\nthree\n", "new\nnewer\n")
}

// A file is truncated and grows again before any line of it was whole, and its
// copy can't be opened at first: what is at home now must not pass for its rest.
func TestUnreadableCopyOfFew(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "on")
	f.step()
	f.tick()
	grant := f.deny("a.log.1", unix.EACCES)
	f.copy("a.log", "a.log.1")
	f.truncate("a.log")
	f.append("a.log", "two\n")
	for range 6 {
		f.pass(6 * time.Second)
	}
	f.want("")
	told := slices.ContainsFunc(f.stats().Errors, func(e FileError) bool {
		return e.Path == f.path("a.log") && e.Problem == errHeld.Error()
	})
	if !told {
		t.Errorf("errors: %+v", f.stats().Errors)
	}
	grant()
	for range 6 {
		f.pass(idle)
	}
	f.wantStreams("on", "two\n")
}

// Whether a compressed copy has more than the file at home can't be told while
// that can't be opened: the others are read on.
func TestUnreadableHomeOfCompressed(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	f.restart(func() {
		f.tick()
		f.copy("a.log", "a.log.1")
		f.compress("a.log.1", "a.log.1.gz", 1)
		f.truncate("a.log")
		f.append("a.log", "two and more\n")
	})
	grant := f.deny("a.log", unix.EACCES)
	f.append("b.log", "other\n")
	for range 4 {
		f.pass(idle)
	}
	f.want("one\nother\n")
	grant()
	for range 4 {
		f.pass(idle)
	}
	f.wantStreams("one\n", "other\n", "two and more\n")
}

// The copy of a truncated file can be opened only after it was asked for in vain
// in the same scan: a file of which nothing was read yet must not take it.
func TestCopyReadableDuringScan(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	f.tick()
	f.copy("a.log", "a.log.1")
	f.truncate("a.log")
	grant := f.deny("a.log.1", unix.EACCES)
	f.step() // the truncated file is followed as a new one
	f.restart(func() {
		f.tick()
		f.copy("a.log", "tmp")
		f.rename("tmp", "a.log")
	})
	grant()
	f.openFD = func(p string) (int, error) {
		if p == f.path("a.log.1") {
			f.openFD = openRead
			return -1, unix.EACCES
		}
		return openRead(p)
	}
	for range 6 {
		f.pass(idle)
	}
	f.append("a.log", "two\n")
	f.step()
	f.wantStreams("one\n", "two\n")
}

// A file is replaced by a copy of itself that can't be opened at first.
func TestUnreadableReplacement(t *testing.T) {
	for _, open := range []bool{true, false} {
		f := newFixture(t, "*.log")
		f.append("a.log", "one\n")
		f.step()
		if !open {
			f.pass(idle)
		}
		grant := f.deny("a.log", unix.EACCES)
		f.copy("a.log", "tmp")
		f.rename("tmp", "a.log")
		f.append("a.log", "two\n")
		for range 4 {
			f.pass(6 * time.Second)
		}
		f.pass(idle)
		grant()
		for range 4 {
			f.pass(idle)
		}
		f.wantStreams("one\ntwo\n")
	}
}

// A file is replaced by a copy of itself, which is copied and truncated before
// anyone looks, and the second copy can't be opened until the file, deleted
// now, has been still for long: that copy holds nothing new, and the rest of its
// last line belongs to the file.
func TestDeletedCopyUnreadable(t *testing.T) {
	for _, again := range []bool{false, true} {
		f := newFixture(t, "*.log*")
		f.append("a.log", "one\ntwo")
		f.step()
		grant := f.deny("a.log.1", unix.EACCES)
		f.copy("a.log", "tmp")
		f.rename("tmp", "a.log")
		f.tick()
		f.copy("a.log", "a.log.1")
		f.tick()
		f.truncate("a.log")
		for range 3 {
			f.pass(idle)
		}
		if s := f.stats(); s.Open != 1 || f.c.text() != "one\ntwo" {
			t.Errorf("while it is deleted and its copy is unreadable: %+v, handed on %q", s, f.c.text())
		}
		if again {
			f.restart(func() {})
		} else {
			grant()
		}
		for range 4 {
			f.pass(idle)
		}
		f.append("a.log", "new\n")
		f.step()
		f.wantStreams("one\ntwo", "new\n")
	}
}

// The unreadable sibling of a deleted file is no copy of it after all.
func TestDeletedBesideUnreadable(t *testing.T) {
	f := newFixture(t, "*.log*")
	f.append("a.log", "one\ntwo")
	f.step()
	grant := f.deny("a.log.1", unix.EACCES)
	f.append("a.log.1", "something else\n")
	f.remove("a.log")
	f.append("a.log", "new\n")
	for range 3 {
		f.pass(idle)
	}
	f.want("one\nnew\ntwo")
	grant()
	for range 4 {
		f.pass(idle)
	}
	f.wantStreams("one\ntwo", "new\n", "something else\n")
}

// A file can be opened and compared, but its new bytes can't be read: that is
// one problem, told of once, however often it is tried.
func TestReadError(t *testing.T) {
	log := new(strings.Builder)
	f := newFixture(t, "*.log")
	f.log = newLogger(log)
	f.append("a.log", "one\n")
	f.step()
	f.pass(idle) // closed
	open, n := f.openFD, 0
	f.openFD = func(p string) (int, error) {
		if n++; n%2 == 1 { // the scan's
			return open(p)
		}
		return unix.Open(p, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	}
	f.append("a.log", "two\n")
	for range 5 {
		f.pass(6 * time.Second)
		if s := f.stats(); len(s.Errors) != 1 {
			t.Fatalf("stats: %+v", s)
		}
	}
	if n != 10 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("%d times opened, log:\n%s", n, log)
	}
	f.openFD = open
	f.step()
	f.want("one\ntwo\n")
	if s := f.stats(); len(s.Errors) != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// What can't be looked at, and later is nothing to follow, is no problem then.
func TestProblemGoesAway(t *testing.T) {
	f := newFixture(t, "*.log")
	f.must(os.Symlink("a.log", f.path("a.log")))
	f.step()
	f.step()
	if s := f.stats(); len(s.Errors) != 1 || s.Errors[0].Hint != hint(unix.ELOOP) {
		t.Errorf("stats: %+v", s)
	}
	f.remove("a.log")
	f.must(os.Mkdir(f.path("a.log"), 0o755))
	f.step()
	if s := f.stats(); len(s.Errors) != 0 {
		t.Errorf("stats: %+v", s)
	}
}
