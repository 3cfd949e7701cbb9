package tailer

import (
	"context"
	"strings"
	"testing"
	"time"
)

// peeker looks at the figures while lines are handed on.
type peeker struct {
	*collector
	look func()
}

func (p peeker) Span(ctx context.Context, s *Span) error {
	if len(s.Data) > 0 {
		p.look()
	}
	return p.collector.Span(ctx, s)
}

// An input is behind from when its files may have grown to when all were read
// to their end, however many rounds that takes; a line without newline is not
// waited for.
func TestBehind(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", strings.Repeat("a line\n", 3*quantum/7))
	f.append("b.log", "one\nand a part")
	began, spans := f.clock.t, 0
	f.h = peeker{f.c, func() {
		spans++
		f.clock.t = f.clock.t.Add(time.Second)
		if at := f.stats().Behind; !at.Equal(began) {
			t.Errorf("span %d: behind since %v, want %v", spans, at, began)
		}
	}}
	f.step()
	if spans < 4 {
		t.Errorf("only %d spans", spans)
	}
	if s := f.stats(); !s.Behind.IsZero() || s.Lag != int64(len("and a part")) {
		t.Errorf("after all was read: %+v", s)
	}
	f.clock.t = f.clock.t.Add(time.Minute)
	began = f.clock.t
	f.append("b.log", " of it\n")
	f.step()
	if s := f.stats(); !s.Behind.IsZero() || s.Lag != 0 {
		t.Errorf("after the rest was read: %+v", s)
	}

	// What a paused input does not read, it is behind with.
	f.o.Inputs[0].Paused = true
	f.restart(func() {})
	f.step()
	if s := f.stats(); !s.Behind.IsZero() {
		t.Errorf("paused with nothing to read: %+v", s)
	}
	f.append("b.log", "two\n")
	f.pass(time.Second)
	since := f.clock.t
	f.pass(time.Minute)
	if s := f.stats(); !s.Behind.Equal(since) || s.Lag != 4 {
		t.Errorf("paused: %+v, want behind since %v", s, since)
	}
}
