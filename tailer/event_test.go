package tailer

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// indented takes lines that begin with a space as parts of the event before.
func indented(lines []byte) int {
	for end := len(lines); end > 0; {
		start := bytes.LastIndexByte(lines[:end-1], '\n') + 1
		if lines[start] != ' ' {
			return start
		}
		end = start
	}
	return 0
}

func newEventFixture(t testing.TB) *fixture {
	return newFixtureOf(t, func(in *Input) { in.Events = indented })
}

func newFixtureOf(t testing.TB, change func(in *Input)) *fixture {
	f := newFixture(t, "*.log")
	f.kill()
	change(&f.o.Inputs[0])
	f.start()
	return f
}

func TestEventsAreHandedOnWhole(t *testing.T) {
	f := newEventFixture(t)
	f.append("a.log", "a\n b\n")
	f.step()
	f.want("")
	f.restart(func() { f.append("a.log", " c\nd\n") })
	f.step()
	f.want("a\n b\n c\n")
	f.pass(4 * time.Second)
	f.want("a\n b\n c\n")
	f.pass(2 * time.Second)
	f.want("a\n b\n c\nd\n")
	f.append("a.log", " e\nf\n g")
	f.step()
	f.want("a\n b\n c\nd\n e\n")
	if last := f.c.log[len(f.c.log)-1]; !last.Apart {
		t.Error("what came late is not apart")
	}
	// The end of a file ends its last event, and the line without newline.
	f.rename("a.log", "a.log.1")
	f.step()
	f.pass(2 * time.Minute)
	f.pass(2 * time.Minute)
	f.want("a\n b\n c\nd\n e\nf\n g")
}

// An event that is longer than a line may be is handed on in pieces.
func TestEventsHaveALimit(t *testing.T) {
	f := newEventFixture(t)
	line := " " + strings.Repeat("x", 22) + "\n"
	long := " " + strings.Repeat("y", 3*testLine) + "\n"
	text := "a\n" + strings.Repeat(line, 10) + long + strings.Repeat(line, 3)
	f.append("a.log", text+"z\n")
	f.step()
	f.want(text)
	for i, e := range f.c.log {
		if begins := e.From == 0 || e.Part > 0; len(e.Data) > 0 && e.Apart == begins {
			t.Errorf("span %d [%d, %d): apart %v", i, e.From, e.To, e.Apart)
		}
		if len(e.Data) > testLine+1 && e.Part == 0 && !strings.Contains(string(e.Data), "y") {
			t.Errorf("a span of %d bytes", len(e.Data))
		}
	}
}

// The content of a compressed file ends its last event.
func TestEventsInCompressedFiles(t *testing.T) {
	f := newEventFixture(t)
	f.kill()
	f.o.Inputs[0].Include = []string{f.path("*.gz")}
	f.start()
	text := "a\n b\nc\n" + strings.Repeat(" d\n", testLine)
	f.must(os.WriteFile(f.path("a.gz"), pack(t, "a.gz", text, 1), 0o644))
	f.step()
	f.want(text)
	if first := f.c.log[1]; string(first.Data) != "a\n b\n" {
		t.Errorf("first %q", first.Data)
	}
}

func TestOnceWaitsForNoRest(t *testing.T) {
	f := newEventFixture(t)
	f.kill()
	f.append("a.log", "a\n b\n c")
	for _, flush := range []bool{false, true} {
		f.o.Once, f.o.FlushPartial, f.o.Positions = true, flush, f.c.positions(len(f.c.log))
		tl, err := New(f.o, f.c)
		if err != nil {
			t.Fatal(err)
		}
		if err := tl.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.want("a\n b\n" + map[bool]string{true: " c"}[flush])
	}
}

// Whatever is written in between, and however often the tailer is killed, events
// that are handed on in time are whole, and nothing is lost or repeated.
func TestEventHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newEventFixture(t)
		defer f.kill()
		text := f.live(rt, `[ ab\n]{1,30}`)
		f.append("a.log", "\nend\n")
		f.step()
		f.pass(time.Minute)
		f.want(text + "\nend\n")
	})
}

// live has a.log grow by texts that match expr, time pass, and the tailer killed.
// It returns what was written.
func (f *fixture) live(t *rapid.T, expr string) (text string) {
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0, 1, 2:
			s := rapid.StringMatching(expr).Draw(t, "text")
			text += s
			f.append("a.log", s)
		case 3:
			f.pass(time.Duration(rapid.IntRange(0, 7000).Draw(t, "ms")) * time.Millisecond)
		default:
			f.restart(func() {})
		}
		f.step()
	}
	return text
}

// oneLine is an Input's Fit: one line is enough for a span.
func oneLine(_ string, data []byte) int {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1
	}
	return len(data)
}

func TestSpansFit(t *testing.T) {
	const content = "a\n b\n c\n\n\nd\n e\nf\n g\n h\n"
	for _, tt := range []struct {
		name   string
		change func(*Input)
		spans  []string
	}{
		{"lines", func(*Input) {}, []string{"a\n", " b\n", " c\n", "\n", "\n", "d\n", " e\n", "f\n", " g\n", " h\n"}},
		// An event begins with the next line only; the last one waits for its end, and is then handed on by the line.
		{"events", func(in *Input) { in.Events = indented }, []string{"a\n b\n c\n\n\n", "d\n e\n", "f\n", " g\n", " h\n"}},
		{"a stream", func(in *Input) {
			in.Stream = func(data []byte, _ bool) int { return bytes.LastIndexByte(data, '\n') + 1 }
		}, []string{"a\n", " b\n", " c\n", "\n", "\n", "d\n", " e\n", "f\n", " g\n", " h\n"}},
	} {
		for _, file := range []string{"a.log", "a.log.gz"} {
			t.Run(tt.name+" of "+file, func(t *testing.T) {
				f := newFixture(t, "*.log*")
				f.kill()
				f.o.Inputs[0].Fit = oneLine
				tt.change(&f.o.Inputs[0])
				f.o.Once = true
				text := content
				if file == "a.log.gz" {
					text = string(pack(t, file, content, 1))
				}
				f.append(file, text)
				f.start()
				f.stop()
				if err := f.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.want(content)
				var spans []string
				for _, e := range f.c.log {
					if len(e.Data) > 0 {
						spans = append(spans, string(e.Data))
					}
				}
				if !slices.Equal(spans, tt.spans) {
					t.Errorf("got %q, want %q", spans, tt.spans)
				}
			})
		}
	}
}
