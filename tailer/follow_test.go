package tailer_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestStartAtEnd(t *testing.T) {
	follow(t, func(f *harness) {
		f.o.Inputs[0].StartAtEnd = true
		f.append("a.log", strings.Repeat("old\n", 1000)+"part")
		f.append("b.log", "old\n")
		f.restart(func() {})
		f.step()
		f.append("a.log", "ly new\n")
		f.append("c.log", "new\n")
		f.step()
		f.restart(func() { f.append("d.log", "new as well\n"); f.append("b.log", "end\n") })
		f.step()
		f.want("partly new\nnew\nend\nnew as well\n")
		// Before the first scan is durable as a whole, it begins anew.
		f.kill()
		f.store.spans = f.store.spans[:1]
		f.start()
		f.step()
		f.want("partly new\n")
	}, "*.log")
}

func TestSymlink(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("links/x", "")
		f.append("pods/1.log", "one\n")
		f.must(os.Symlink(f.path("pods/1.log"), f.path("links/a.log")))
		f.step()
		f.append("pods/1.log", "two\n")
		f.append("pods/2.log", "three\n")
		f.remove("links/a.log")
		f.must(os.Symlink(f.path("pods/2.log"), f.path("links/a.log")))
		f.step()
		f.want("one\ntwo\nthree\n")
		for _, e := range f.store.spans {
			if e.Path != f.path("links/a.log") {
				f.t.Errorf("path %s", e.Path)
			}
		}
	}, "links/*.log")
}

// Generations that are found beside the target of a link, under names that no
// pattern wants, are known after the next start.
func TestMissedBesideTarget(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("links/x", "")
		f.append("pods/0.log", "one\n")
		f.must(os.Symlink(f.path("pods/0.log"), f.path("links/a.log")))
		f.step()
		for i, text := range []string{"two\n", "three\n"} {
			f.rename("pods/0.log", fmt.Sprintf("pods/0.log.2026112%d-120000", i))
			f.append("pods/0.log", text)
		}
		f.step()
		for range 2 {
			f.restart(func() {})
			f.step()
		}
		f.want("one\ntwo\nthree\n")
	}, "links/*.log")
}

func TestLinkedBase(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("there/d/a.log", "one\n")
		f.must(os.Symlink(f.path("there"), f.path("link")))
		f.step()
		f.want("one\n")
	}, "link/**/*.log")
}

func TestLongLines(t *testing.T) {
	follow(t, func(f *harness) {
		long := strings.Repeat("0123456789", 3*line/10+1)
		for _, piece := range []string{long[:line], long[line : line+1], long[line+1:], "\n", "short\n" + long, long, "\n"} {
			f.append("a.log", piece)
			f.step()
		}
		f.want(long + "\nshort\n" + long + long + "\n")
		if !slices.ContainsFunc(f.store.spans, func(e span) bool { return e.Cut }) {
			f.t.Error("nothing was cut")
		}
	}, "*.log")
}

func TestOpenFilesAreBounded(t *testing.T) {
	follow(t, func(f *harness) {
		f.o.MaxOpenFiles = 3
		f.restart(func() {})
		const n = 20
		for round := range 3 {
			for i := range n {
				f.append(fmt.Sprintf("%02d.log", i), fmt.Sprintf("%d %d\n", round, i))
			}
			f.step()
			if s := f.stats(); s.Open > 3 || s.Files != n {
				f.t.Fatalf("stats: %+v", s)
			}
		}
		if got := strings.Count(f.store.text(), "\n"); got != 3*n {
			f.t.Errorf("%d lines", got)
		}
		f.pass(idle)
		if s := f.stats(); s.Open != 0 {
			f.t.Errorf("stats: %+v", s)
		}
	}, "*.log")
}

// Two names of one inode are one file.
func TestHardLink(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\n")
		f.must(os.Link(f.path("a.log"), f.path("b.log")))
		f.step()
		f.pass(idle)
		f.append("a.log", "two\n")
		f.pass(idle)
		f.remove("a.log")
		f.append("b.log", "three\n")
		f.pass(idle)
		f.want("one\ntwo\nthree\n")
	}, "*.log")
}

// The first start is cut short before it is known to be over: what came after
// the files that it followed is not old.
func TestStartAtEndCutShort(t *testing.T) {
	follow(t, func(f *harness) {
		f.kill()
		f.o.Inputs[0].StartAtEnd = true
		f.append("a.log.1", "older\n")
		f.tick()
		f.append("a.log", "old\n")
		f.start()
		f.step()
		f.store.spans = slices.DeleteFunc(f.store.spans, func(e span) bool { return e.Path == "" })
		f.restart(func() {
			f.append("a.log", "one\n")
			f.rename("a.log.1", "a.log.2")
			f.rename("a.log", "a.log.1")
			f.append("a.log", "two\n")
		})
		f.step()
		f.pass(idle)
		f.append("a.log", "three\n")
		f.pass(idle)
		f.want("one\ntwo\nthree\n")
	}, "*.log*")
}
