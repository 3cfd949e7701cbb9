package tailer

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A generation that nobody saw at home is in a copy, which is younger than the
// inode at home, and can't be opened before that is followed.
func TestMissedCopyUnreadable(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	f.restart(func() {
		for i, text := range []string{"two\n", "three\n"} {
			if i > 0 {
				f.rename("a.log.1", "a.log.2")
			}
			f.tick()
			f.copy("a.log", "a.log.1")
			f.tick()
			f.truncate("a.log")
			f.append("a.log", text)
		}
	})
	grant := f.deny("a.log.1", unix.EACCES)
	for range 4 {
		f.pass(6 * time.Second)
	}
	f.want("one\nthree\n")
	grant()
	for range 4 {
		f.pass(idle)
	}
	f.wantStreams("one\n", "two\n", "three\n")
}

// A file was truncated and renamed, and can't be opened there: its copy, which
// can, is no generation of its own.
func TestTruncatedUnreadable(t *testing.T) {
	for _, again := range []bool{false, true} {
		f := newFixture(t, "*.log*")
		f.append("a.log", "one\n")
		f.step()
		f.tick()
		f.restart(func() {
			f.append("a.log", "two\n")
			f.copy("a.log", "a.log.2")
			f.tick()
			f.truncate("a.log")
			f.append("a.log", "longer than before\n")
			f.rename("a.log", "a.log.1")
			f.tick()
			f.append("a.log", "new\n")
		})
		grant := f.deny("a.log.1", unix.EACCES)
		for range 4 {
			f.pass(6 * time.Second)
		}
		f.want("one\nnew\n")
		if again {
			f.restart(func() {})
		} else {
			grant()
		}
		for range 4 {
			f.pass(idle)
		}
		f.wantStreams("one\ntwo\n", "longer than before\n", "new\n")
	}
}

// Of a file that is gone nothing was read. What is at home holds all of that,
// but so may a copy that can't be opened: that is waited for, and told of.
func TestHomeOrUnreadableCopy(t *testing.T) {
	f := newFixture(t, "*.log")
	grant := f.deny("", unix.EACCES)
	f.append("a.log", "one\n")
	f.step()
	f.append("tmp", "one\n")
	f.rename("tmp", "a.log")
	f.tick()
	f.copy("a.log", "a.log.1")
	f.tick()
	f.truncate("a.log")
	f.append("a.log", "new\n")
	grant()
	grant = f.deny("a.log.1", unix.EACCES)
	for range 6 {
		f.pass(6 * time.Second)
	}
	f.want("")
	if s := f.stats(); len(s.Errors) != 2 || s.Errors[0].Problem != errHeld.Error() || s.Errors[0].Path != f.path("a.log") {
		t.Errorf("errors: %+v", s.Errors)
	}
	grant()
	for range 4 {
		f.pass(idle)
	}
	f.wantStreams("one\n", "new\n")
}

// The rotated copy of an older generation is made anew, with its old time, as
// gzip makes its files: of the younger one only the same header was read so far.
func TestOldCopyOfSameHeader(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "# header\none\n")
	f.step()
	f.copy("a.log", "a.log.1")
	f.tick()
	f.truncate("a.log")
	f.append("a.log", "# header\n")
	for range 3 {
		f.pass(idle)
	}
	f.want("# header\none\n# header\n")
	i, err := statPath(f.path("a.log.1"))
	f.must(err)
	f.copy("a.log.1", "tmp")
	f.must(os.Chtimes(f.path("tmp"), time.Unix(0, i.mtime), time.Unix(0, i.mtime)))
	f.rename("tmp", "a.log.1")
	for range 3 {
		f.pass(idle)
	}
	f.append("a.log", "two\n")
	f.step()
	f.wantStreams("# header\none\n", "# header\ntwo\n")
}
