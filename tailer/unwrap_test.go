package tailer

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// joinPlus joins lines of "a" and "b": one that ends with "+" goes on with the next
// of its letter. It holds both.
func joinPlus(w *Wrapped) {
	held := strings.Split(string(w.Carry)+"|", "|")[:2]
	for line := range bytes.Lines(w.Lines) {
		text := strings.TrimSuffix(string(line), "\n")
		i := 0
		if strings.HasPrefix(text, "b") {
			i = 1
		}
		rest, more := strings.CutSuffix(text, "+")
		if held[i] += rest; !more {
			w.Items = append(w.Items, held[i]+"\n"...)
			held[i] = ""
		}
	}
	w.Taken = len(w.Lines)
	if w.All {
		for _, h := range held {
			if h != "" {
				w.Items = append(w.Items, h+"~\n"...)
			}
		}
		return
	}
	if held[0]+held[1] != "" {
		w.Next, w.Since = append(w.Next, held[0]+"|"+held[1]...), w.Now
	}
}

func newUnwrapFixture(t testing.TB) *fixture {
	f := newFixtureOf(t, func(in *Input) { in.Unwrap, in.EventWait = joinPlus, time.Hour })
	f.c.unwraps = true
	return f
}

// items is all that was handed on.
func (f *fixture) items() string {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	var all []byte
	for _, e := range f.c.log {
		all = append(all, e.Data...)
	}
	return string(all)
}

// A generation that ends within a line of the file does not hold up the next one.
func TestCarryBesideAPartialLine(t *testing.T) {
	f := newUnwrapFixture(t)
	f.append("a.log", "a1+\na2")
	f.step()
	f.rename("a.log", "a.log.1")
	f.append("a.log", "b1\n")
	f.step()
	f.step()
	if got := f.items(); got != "b1\n" {
		t.Errorf("%q", got)
	}
	f.pass(2 * time.Minute)
	f.pass(2 * time.Minute)
	if got := f.items(); got != "b1\na1a2\n" {
		t.Errorf("%q", got)
	}
}

// What is held outlives its file, whether the tailer sees it go or not.
func TestCarryOutlivesItsFile(t *testing.T) {
	for _, down := range []bool{false, true} {
		f := newUnwrapFixture(t)
		f.append("a.log", "a1+\nb1\n")
		f.step()
		if down {
			f.restart(func() { f.remove("a.log") })
		} else {
			f.remove("a.log")
		}
		f.step()
		f.pass(2 * time.Minute)
		f.pass(2 * time.Minute)
		if got := f.items(); got != "b1\na1~\n" {
			t.Errorf("down: %t: %q", down, got)
		}
	}
}

// Whatever is written, wherever the file is rotated and the tailer killed, each
// piece arrives once, joined with the one that it goes on with.
func TestCarryHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newUnwrapFixture(t)
		defer f.kill()
		var want, carry []byte
		rotated := 0
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch what := rapid.IntRange(0, 6).Draw(rt, "what"); {
			case what < 4:
				text := []string{"a1\n", "a2+\n", "b3\n", "b4+\n"}[what]
				f.append("a.log", text)
				w := Wrapped{Lines: []byte(text), Carry: carry}
				joinPlus(&w)
				want, carry = append(want, w.Items...), w.Next
			case what == 4:
				f.restart(func() {})
			default:
				if i, err := os.Stat(f.path("a.log")); err == nil && i.Size() > 0 {
					f.rename("a.log", fmt.Sprintf("a.log-202601%02d", 1+rotated))
					rotated++
				}
			}
			f.step()
		}
		if got := f.items(); got != string(want) {
			rt.Fatalf("got %q, want %q", got, want)
		}
	})
}

// A crash between the two positions of a carry that goes to the next generation
// neither loses nor repeats it.
func TestCarryIsLentOnce(t *testing.T) {
	f := newUnwrapFixture(t)
	f.append("a.log", "b1\n")
	f.step()
	first := len(f.c.log)
	f.append("a.log", "a1+\n")
	f.step()
	f.rename("a.log", "a.log-20260101")
	f.append("a.log", "a2\n")
	f.step()
	f.kill()
	before := f.c
	for n := first; n <= len(before.log); n++ {
		f.c = newCollector(before.maxLen)
		f.c.unwraps = true
		o := f.o
		o.Once, o.Positions = true, before.positions(n)
		tl, err := New(o, f.c)
		if err != nil {
			t.Fatal(err)
		}
		if err := tl.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range before.log[:n] {
			got += string(e.Data)
		}
		if got += f.items(); got != "b1\na1a2\n" {
			t.Errorf("after %d of %d calls: %q", n, len(before.log), got)
		}
	}
}

// A file that has lent what it held, and is written to once more, holds that for
// itself, whatever is known of the borrower by then.
func TestLenderHoldsMore(t *testing.T) {
	f := newUnwrapFixture(t)
	f.append("a.log", "a1+\n")
	f.step()
	f.rename("a.log", "a.log-20260101")
	f.append("a.log", "a") // not a line yet
	f.step()
	f.append("a.log-20260101", "b2+\n")
	f.step()
	f.restart(func() {})
	f.append("a.log-20260101", "b3\n")
	f.step()
	f.append("a.log", "4\n")
	f.step()
	if got := f.items(); got != "b2b3\na1a4\n" {
		t.Errorf("%q", got)
	}
}
