package agent

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
)

// writeContainer appends numbered messages of a container, each in two pieces
// with those of the other stream between, and returns the records' messages.
func (s *site) writeContainer(t *testing.T, name string, from, n int) (messages []string) {
	t.Helper()
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, "2026-01-02T03:04:05Z stdout P out %d\n2026-01-02T03:04:05Z stderr F err %d\n2026-01-02T03:04:06Z stdout F , end\n", i, i)
		messages = append(messages, fmt.Sprintf(`"stream":"stderr","message":"err %d"`, i), fmt.Sprintf(`"stream":"stdout","message":"out %d, end"`, i))
	}
	s.append(t, name, b.String())
	return messages
}

func (s *site) append(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// Case: the agent is stopped and started while events are half written. Each
// arrives once and whole.
func TestEventsArriveWhole(t *testing.T) {
	s := newSite(t)
	in := s.cfg.Inputs[0]
	in.Name, in.Format, in.Fields = "pods", "cri", []string{"stream", "message"}
	in.Include, in.MultilineWait = []string{s.path("*.cri")}, config.Duration(time.Hour)
	stacks := in
	stacks.Name, stacks.Format, stacks.Fields = "stacks", "text", []string{"message"}
	stacks.Include, stacks.MultilineContinue = []string{s.path("*.txt")}, `^\s`
	s.cfg.Inputs = []config.Input{in, stacks}
	dest := newMemSink()
	var want []string
	for i := range 5 {
		a := s.agent(t, Options{Sink: dest})
		stop := start(t, a)
		for _, m := range s.writeContainer(t, "a.cri", 10*i, 10) {
			want = append(want, "{"+m+"}")
		}
		s.append(t, "a.cri", "2026-01-02T03:04:05Z stdout P half ")
		s.append(t, "a.cri", fmt.Sprintf("%d,\n", i))
		s.append(t, "a.txt", fmt.Sprintf("panic %d\n\tat a\n", i))
		eventually(t, "what is whole is in the bucket", func() bool {
			return len(dest.lines(t)) == len(want)+i
		})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		stop = start(t, s.agent(t, Options{Sink: dest}))
		s.append(t, "a.txt", "\tat b\n")
		s.append(t, "a.cri", "2026-01-02T03:04:05Z stdout F other half\n")
		want = append(want, fmt.Sprintf(`{"stream":"stdout","message":"half %d,other half"}`, i))
		eventually(t, "what is whole now is there too", func() bool { return len(dest.lines(t)) == len(want)+i })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		want = append(want, fmt.Sprintf(`{"message":"panic %d\n\tat a\n\tat b"}`, i))
	}
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil { // the last event ends with the file
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
}

// Case: the rest of an event does not come.
func TestEventsAreNotWaitedForForEver(t *testing.T) {
	s := newSite(t)
	in := &s.cfg.Inputs[0]
	in.Format, in.Fields, in.MultilineStart, in.MultilineWait = "text", []string{"message"}, `^\S`, config.Duration(50*time.Millisecond)
	dest := newMemSink()
	start(t, s.agent(t, Options{Sink: dest}))
	s.append(t, "a.log", "one\n 2\n")
	eventually(t, "the event is there", func() bool { return len(dest.lines(t)) == 1 })
	s.append(t, "a.log", " late\n")
	eventually(t, "what came too late is there", func() bool { return len(dest.lines(t)) == 2 })
	sameLines(t, dest.lines(t), []string{`{"message":"one\n 2"}`, `{"message":" late"}`})
}

// Case: the log is Latin-1, and the agent stops between its lines.
func TestEncodingIsConverted(t *testing.T) {
	s := newSite(t)
	in := &s.cfg.Inputs[0]
	in.Format, in.Fields, in.Encoding = "text", []string{"offset", "message"}, "iso-8859-1"
	dest := newMemSink()
	s.once(t, dest, "caf\xe9\n", "\xfcber\n")
	sameLines(t, dest.lines(t), []string{`{"offset":0,"message":"café"}`, `{"offset":5,"message":"über"}`})
}

// Case: the log is UTF-16 as Windows writes it, and the agent stops within lines
// and characters.
func TestUTF16IsConverted(t *testing.T) {
	s := newSite(t)
	in := &s.cfg.Inputs[0]
	in.Format, in.Fields, in.Encoding = "text", []string{"offset", "message"}, "utf-16le"
	dest := newMemSink()
	s.once(t, dest, "\xff\xfea\x00\r", "\x00\n", "\x00\x3d\xd8", "\x00\xde\n\x00b\x00", "\n\x00")
	sameLines(t, dest.lines(t), []string{`{"offset":2,"message":"a"}`, `{"offset":8,"message":"😀"}`, `{"offset":14,"message":"b"}`})
}

// once has a.log grow by each text and the agent ship what is there.
func (s *site) once(t *testing.T, dest *memSink, texts ...string) {
	t.Helper()
	for _, text := range texts {
		s.append(t, "a.log", text)
		if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
