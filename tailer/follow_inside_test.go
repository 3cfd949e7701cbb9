package tailer

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestUnreadable(t *testing.T) {
	log := new(strings.Builder)
	f := newFixture(t, "*.log")
	f.log = newLogger(log)
	denied := f.path("a.log")
	open := f.openFD
	f.openFD = func(p string) (int, error) {
		if p == denied {
			return -1, unix.EACCES
		}
		return open(p)
	}
	f.append("a.log", "one\n")
	f.append("b.log", "b\n")
	f.step()
	f.pass(idle)
	f.want("b\n")
	want := FileError{Path: denied, Problem: "permission denied", Hint: hint(unix.EACCES)}
	if s := f.stats(); len(s.Errors) != 1 || s.Errors[0] != want {
		t.Errorf("stats: %+v", s)
	}
	denied = ""
	f.step()
	f.want("b\none\n")
	if s := f.stats(); len(s.Errors) != 0 || strings.Count(log.String(), "can't read") != 1 {
		t.Errorf("stats %+v, log:\n%s", s, log)
	}
}

func TestNotRegular(t *testing.T) {
	log := new(strings.Builder)
	f := newFixture(t, "*")
	f.log = newLogger(log)
	f.must(syscall.Mkfifo(f.path("pipe"), 0o644))
	f.must(os.Mkdir(f.path("dir"), 0o755))
	f.append("a.log.1.xz", "x")
	f.append("a.log", "one\n")
	f.step()
	f.step()
	f.want("one\n")
	if n := strings.Count(log.String(), "ignored"); n != 3 {
		t.Errorf("%d warnings:\n%s", n, log)
	}
}

// A writer without O_APPEND goes on at its old offset after a truncation.
func TestSkippedNULs(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\ntwo\n")
	f.step()
	f.tick()
	f.copy("a.log", "a.log.1")
	f.must(os.WriteFile(f.path("a.log"), make([]byte, 9000), 0o644))
	f.step()
	f.pass(idle)
	f.want("one\ntwo\n")
	f.append("a.log", "three\nwith \x00 inside\n")
	f.step()
	if got := f.c.text(); got != "one\ntwo\nthree\nwith \x00 inside\n" {
		t.Errorf("got %q", got)
	}
	if s := f.stats(); s.SkippedNULs != 9000 || s.LostBytes != 0 || s.Lag != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// A writer that allocates space ahead, and gives the rest back in the end.
func TestAllocatedAhead(t *testing.T) {
	f := newFixture(t, "*.log")
	w, err := os.Create(f.path("b.log"))
	f.must(err)
	f.must(w.Truncate(2 * quantum))
	f.must(w.Close())
	f.step()
	f.rename("b.log", "b.log.1") // rotated with all of its space
	f.append("b.log", "")
	f.step()
	f.pass(idle)
	f.pass(idle)
	if s := f.stats(); s.Files != 1 || s.Lag != 0 || s.BytesRead != 0 {
		t.Errorf("stats: %+v", s)
	}
	w, err = os.Create(f.path("a.log"))
	f.must(err)
	defer w.Close()
	text := ""
	for i := range 3 {
		text += fmt.Sprintf("line %d\n", i)
		f.must(w.Truncate(2 * quantum))
		_, err = w.WriteAt([]byte(text+"part"), 0)
		f.must(err)
		f.step()
		f.want(text)
	}
	f.must(w.Truncate(int64(len(text) + 4)))
	f.step()
	f.append("a.log", "\n")
	f.step()
	f.want(text + "part\n")
	if s := f.stats(); s.Lag != 0 || s.LostBytes != 0 {
		t.Errorf("stats: %+v", s)
	}
	// Other NULs are bytes like any other.
	nuls := strings.Repeat("\x00", quantum+100)
	f.append("a.log", nuls+"x\n")
	f.step()
	f.want(text + "part\n" + nuls + "x\n")
}

// A huge file does not starve a small one.
func TestFairTurns(t *testing.T) {
	f := newFixture(t, "*.log")
	huge := strings.Repeat(strings.Repeat("x", 63)+"\n", 5*quantum/64)
	f.append("a.log", huge)
	f.append("b.log", "b\n")
	f.step()
	if got := f.c.text(); len(got) != len(huge)+2 || strings.Index(got, "b\n") > 2*quantum {
		t.Errorf("b came at %d of %d", strings.Index(got, "b\n"), len(got))
	}
}

// What has unread lines stays open as long as others can be closed: it is read
// to its end though it is deleted meanwhile.
func TestUnreadFilesStayOpen(t *testing.T) {
	f := newFixture(t, "*.log")
	f.o.MaxOpenFiles = 2
	f.restart(func() {})
	huge := strings.Repeat(strings.Repeat("x", 63)+"\n", 3*quantum/64)
	f.append("a.log", huge)
	f.append("b.log", "b\n")
	f.append("c.log", "c\n")
	f.c.onSpan = func(s *Span) {
		if string(s.Data) == "c\n" {
			f.remove("a.log")
		}
	}
	f.step()
	if got := f.c.text(); len(got) != len(huge)+4 {
		t.Errorf("%d bytes of %d were read", len(got), len(huge)+4)
	}
}

func TestFinishedAreForgotten(t *testing.T) {
	f := newFixture(t, "*.log")
	f.maxDone = 2
	for i := range 5 {
		f.append(fmt.Sprintf("%d.log", i), "x\n")
		f.step()
		f.remove(fmt.Sprintf("%d.log", i))
		f.step()
		f.pass(idle)
	}
	f.step()
	if n := len(f.c.positions(len(f.c.log))); n != 2 {
		t.Errorf("%d positions are left", n)
	}
}

// The file system comes late, after its files were given up for lost, and
// while the agent is down.
func TestMountedLate(t *testing.T) {
	f := newFixture(t, "log/*.log")
	f.append("log/a.log", "one\ntwo\n")
	f.step()
	f.c.log = f.c.log[:1] // followed, nothing read
	f.restart(func() {
		f.rename("log", "elsewhere")
		f.must(os.Mkdir(f.path("log"), 0o755))
	})
	for range 3 {
		f.pass(6 * time.Second)
	}
	if s := f.stats(); s.LostBytes != 8 {
		t.Errorf("stats: %+v", s)
	}
	f.restart(func() {
		f.remove("log")
		f.rename("elsewhere", "log")
	})
	f.pass(idle)
	f.want("one\ntwo\n")
}

// The buffer is as large as the lines that came, not as those that may.
func TestBufferGrows(t *testing.T) {
	const longest = 1 << 20
	f := newFixture(t, "*.log")
	f.kill()
	f.o.Inputs[0].MaxLineSize, f.c.maxLen = longest, longest
	f.start()
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 3*quantum/100)
	f.append("a.log", text)
	f.step()
	f.want(text)
	if n := len(f.buf); n > anchorSize+quantum {
		t.Errorf("a buffer of %d bytes for short lines", n)
	}
	for _, n := range []int{quantum - 1, quantum, quantum + 1, longest - 1, longest, longest + 1, 2*longest + 1} {
		line := strings.Repeat("y", n) + "\n"
		f.append("a.log", line)
		text += line
	}
	f.step()
	f.want(text)
	if n := len(f.buf); n != anchorSize+longest+1 {
		t.Errorf("a buffer of %d bytes for long lines", n)
	}
}

// A line that has begun before the start and is longer than a usual read.
func TestStartAtEndInLongLine(t *testing.T) {
	f := newFixture(t, "*.log")
	f.kill()
	f.o.Inputs[0].StartAtEnd, f.o.Inputs[0].MaxLineSize, f.c.maxLen = true, 2*quantum, 2*quantum
	line := strings.Repeat("y", quantum+quantum/2)
	f.append("a.log", "old\n"+line)
	f.start()
	f.step()
	f.append("a.log", "\n")
	f.step()
	f.want(line + "\n")
}
