package tailer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lineASecond appends a line a second to name and looks each time. It returns
// what it wrote.
func (f *fixture) lineASecond(name string, n int) string {
	f.t.Helper()
	var all strings.Builder
	for i := range n {
		line := fmt.Sprintf("%s %d\n", name, i)
		all.WriteString(line)
		f.append(name, line)
		f.pass(time.Second)
	}
	return all.String()
}

// Applications that put dates into names themselves make one family whose
// members all may be alive: yesterday's is removed while today's grows.
func TestDatedNames(t *testing.T) {
	for _, down := range []bool{true, false} {
		f := newFixture(t, "*.log")
		f.append("app-2026-11-22.log", "y\n")
		f.step()
		f.pass(idle)
		f.append("app-2026-11-23.log", "t\n")
		f.step()
		f.pass(idle)
		gone := func() { f.append("app-2026-11-22.log.gz", "x"); f.remove("app-2026-11-22.log") }
		if down {
			f.restart(gone)
		} else {
			gone()
		}
		f.want("y\nt\n" + f.lineASecond("app-2026-11-23.log", 30))
	}
}

// Today's file is new when yesterday's is found gone.
func TestDatedNewcomer(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("app-2026-11-22.log", "y\n")
	f.step()
	f.restart(func() { f.remove("app-2026-11-22.log") })
	f.want("y\n" + f.lineASecond("app-2026-11-23.log", 30))
}

// A rotated file is still written to, because its writer does not reopen, and
// an older generation has been removed.
func TestOldWriterGoesOn(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	f.tick()
	f.restart(func() {
		f.rename("a.log", "a.log.1")
		f.append("a.log", "two\n")
		f.tick()
		f.remove("a.log.1")
		f.rename("a.log", "a.log.1")
		f.append("a.log", "three\n")
	})
	want := []string{"one\n", "three\n", "two\n" + f.lineASecond("a.log.1", 30)}
	streams, err := f.c.streams()
	f.must(err)
	var got []string
	for _, s := range streams {
		got = append(got, s)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("handed on %q, want %q", got, want)
	}
}

// A file that begins like the missing one and grows may be its copy being
// written: that is waited for, and told of.
func TestWaitingIsTold(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n"+strings.Repeat("x\n", 600))
	f.step()
	text := f.c.text()
	f.restart(func() {
		f.remove("a.log")
		f.append("a.log", "new\n")
	})
	for i, line := range append([]string{"one\n"}, slices.Repeat([]string{"x\n"}, 30)...) {
		f.append("a.log.1", line)
		f.pass(time.Second)
		if s := f.stats(); (i > 20) != (len(s.Errors) == 1 && s.Errors[0].Hint == hint(errWaiting)) {
			t.Fatalf("second %d: %+v", i, s)
		}
	}
	for range 4 {
		f.pass(6 * time.Second)
	}
	f.want(text + "one\n" + strings.Repeat("x\n", 30) + "new\n") // it was another file
	if s := f.stats(); len(s.Errors) != 0 {
		t.Errorf("after the wait: %+v", s)
	}
}
