package tailer

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sentences is a stream of items that end with a full stop.
func sentences(data []byte, _ bool) int { return bytes.LastIndexByte(data, '.') + 1 }

func newStreamFixture(t testing.TB) *fixture {
	return newFixtureOf(t, func(in *Input) { in.Stream = sentences })
}

func TestStreamIsHandedOnWhole(t *testing.T) {
	f := newStreamFixture(t)
	f.append("a.log", "a. b\nc.d\n")
	f.step()
	f.want("a. b\nc.")
	f.pass(time.Minute) // longer than EventWait
	f.want("a. b\nc.")
	f.restart(func() { f.append("a.log", "\ne.f\n\x00\x00\x00") })
	f.step()
	f.want("a. b\nc.d\n\ne.")
	// The end of a file ends its last item.
	f.rename("a.log", "a.log.1")
	f.append("a.log", "g.")
	f.step()
	f.pass(2 * time.Minute)
	f.pass(2 * time.Minute)
	f.wantStreams("a. b\nc.d\n\ne.f\n", "g.")
}

// What is too long is cut into parts, whatever newlines it has.
func TestStreamHasALimit(t *testing.T) {
	f := newStreamFixture(t)
	long := strings.Repeat("123456789\n", 5*testLine/20)
	f.append("a.log", "a."+long)
	f.step()
	f.want("a." + long[:2*testLine])
	f.restart(func() { f.append("a.log", "b.c.d") })
	f.step()
	f.want("a." + long + "b.c.")
}

// A file that is followed from its end begins there, even within a line.
func TestStreamFromTheEnd(t *testing.T) {
	f := newStreamFixture(t)
	f.kill()
	f.o.Inputs[0].StartAtEnd = true
	f.o.Inputs[0].Include = []string{f.path("*.txt")}
	f.append("a.txt", "a.\nb.")
	f.start()
	f.step()
	f.append("a.txt", "c.\n")
	f.step()
	f.want("c.")
}

func TestStreamInCompressedFiles(t *testing.T) {
	f := newStreamFixture(t)
	f.kill()
	f.o.Inputs[0].Include = []string{f.path("*.gz")}
	f.start()
	text := "a.\nb.c" + strings.Repeat("d\n", testLine) + "."
	f.must(os.WriteFile(f.path("a.gz"), pack(t, "a.gz", text, 1), 0o644))
	f.step()
	f.want(text)
}

// Whatever is written in between, and however often the tailer is killed, nothing
// is lost or repeated, and what is handed on is whole.
func TestStreamHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newStreamFixture(t)
		defer f.kill()
		text := f.live(rt, `[ab.\n]{1,30}`)
		for _, e := range f.c.log {
			if len(e.Data) > 0 && !e.Cut && e.Data[len(e.Data)-1] != '.' {
				rt.Fatalf("%q is handed on", e.Data)
			}
		}
		f.append("a.log", ".end.")
		f.step()
		f.want(text + ".end.")
	})
}

// pairs is a stream of lines whose newline is two bytes at an even offset.
func pairs(data []byte, _ bool) int {
	for end := len(data) &^ 1; end > 0; end -= 2 {
		if data[end-2] == '\n' && data[end-1] == 0 {
			return end
		}
	}
	return 0
}

func wideText(text string) string { return strings.Join(strings.Split(text, ""), "\x00") + "\x00" }

// NULs of characters stay; those of holes and of space allocated ahead go.
func TestStreamOfPairs(t *testing.T) {
	f := newFixtureOf(t, func(in *Input) { in.Stream, in.Unit = pairs, 2 })
	want := wideText("one\n") + wideText("two\n")
	f.append("a.log", want+wideText("thr")+"e")
	f.step()
	f.want(want)
	f.append("a.log", "\x00"+wideText("e\n")+wideText("rest")+strings.Repeat("\x00", 7))
	f.step()
	want += wideText("three\n")
	f.want(want)
	f.rename("a.log", "a.log.1")
	f.step()
	f.pass(2 * time.Minute)
	f.pass(2 * time.Minute)
	f.want(want + wideText("rest"))
	for _, e := range f.c.log {
		if e.From%2 == 1 || e.To%2 == 1 {
			t.Errorf("a span [%d, %d)", e.From, e.To)
		}
	}
}

// A hole ends before the first byte of a character, be that a NUL.
func TestHoleBeforePairs(t *testing.T) {
	f := newFixtureOf(t, func(in *Input) {
		in.Stream = func(data []byte, _ bool) int { return (bytes.LastIndex(data, []byte("\x00\n")) + 2) &^ 1 }
		in.Unit = 2
	})
	f.append("a.log", "\x00b\x00\n")
	f.step()
	f.truncate("a.log")
	f.step()
	f.pass(time.Minute)
	f.append("a.log", strings.Repeat("\x00", 40)+"\x00c\x00\n")
	f.step()
	f.pass(time.Minute)
	if got, want := f.c.text(), "\x00b\x00\n\x00c\x00\n"; got != want {
		t.Errorf("handed on %q, want %q", got, want)
	}
}

func TestMarksAreAtCharacters(t *testing.T) {
	var p Position
	p.advance([]byte(wideText(strings.Repeat("some line\n", 20_000))), 2)
	if len(p.Marks) < 5 {
		t.Fatalf("%d marks", len(p.Marks))
	}
	for _, m := range p.Marks {
		if m.Offset%20 != 0 {
			t.Errorf("a mark at %d", m.Offset)
		}
	}
}
