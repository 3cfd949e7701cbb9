package tailer

import (
	"os"
	"testing"
	"time"
)

// A byte order mark is left out of every generation, however it is written, and
// counts in offsets.
func TestMarksAreLeftOut(t *testing.T) {
	const mark = "\xef\xbb\xbf"
	f := newFixtureOf(t, func(in *Input) { in.Mark = []byte(mark) })
	f.c.mark = len(mark)
	f.append("a.log", mark[:2])
	f.step()
	f.append("a.log", mark[2:])
	f.step()
	f.restart(func() {})
	f.step()
	f.want("")
	f.append("a.log", "a\n"+mark+"b\n")
	f.step()
	f.want("a\n" + mark + "b\n")
	if last := f.c.log[len(f.c.log)-1]; last.From != 3 || last.To != 10 {
		t.Errorf("[%d, %d)", last.From, last.To)
	}
	f.rename("a.log", "a.log.1")
	f.must(os.WriteFile(f.path("a.log"), []byte(mark+"c\n"), 0o644))
	f.step()
	f.must(os.WriteFile(f.path("alone.log"), []byte(mark), 0o644))
	f.step()
	f.rename("alone.log", "alone.log.1")
	f.step()
	f.pass(2 * time.Minute)
	f.pass(2 * time.Minute)
	f.want("a\n" + mark + "b\nc\n")
	if lag := f.stats().Lag; lag != 0 {
		t.Errorf("lag %d", lag)
	}
}

// A writer that never begins an event holds its lines no longer than EventWait,
// however often it writes.
func TestEventsAreHeldFromTheirFirstLine(t *testing.T) {
	f := newEventFixture(t)
	text := ""
	for range 12 {
		f.append("a.log", " x\n")
		text += " x\n"
		f.step()
		f.pass(time.Second)
	}
	got := 0
	for _, e := range f.c.log {
		got += len(e.Data)
	}
	if got < len(text)/2 {
		t.Errorf("%d of %d bytes are handed on", got, len(text))
	}
}
