package agent

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/tailer"
)

// unset makes in's clock that of a machine that was just started, until the
// returned function sets it.
func unset(in *intake) (set func()) {
	var right atomic.Bool
	in.clock.every = time.Millisecond
	in.clock.now = func() time.Time {
		if right.Load() {
			return clockFloor
		}
		return time.Unix(7, 0)
	}
	return func() { right.Store(true) }
}

// Case: the clock is set while lines wait. Nothing is dated before, the wait is
// a problem that names the fix, and nothing counts as stuck.
func TestLinesWaitForTheClock(t *testing.T) {
	in, sp, closeAll := newTestIntake(t, newSite(t), time.Millisecond)
	defer closeAll()
	set := unset(in)
	given := make(chan error)
	go func() {
		data := []byte("{}\n")
		given <- in.Span(t.Context(), &tailer.Span{File: 1, Path: "/a", To: 3, Data: data, Position: []byte{1}})
	}()
	problems := func() []Problem { return in.health.problems() }
	eventually(t, "the clock is looked at again", func() bool { p := problems(); return len(p) == 1 && p[0].Count > 2 })
	p := problems()[0]
	if p.Cause != causeClock || !strings.Contains(p.Error, "1970-01-01T00:00:07Z") || !strings.Contains(p.Hint, "timedatectl") || !stalls(p.Cause) {
		t.Errorf("problem %+v", p)
	}
	if n := in.reading.n.Load(); n%2 == 1 {
		t.Error("the wait counts as work: the watchdog would end it")
	}
	if n := sp.Stats().Batch; n != 0 {
		t.Errorf("%d batches before the clock was set", n)
	}
	set()
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the line is durable", func() bool { return sp.Stats().Batch == 1 })
	if p := problems(); len(p) != 0 {
		t.Errorf("problems after: %+v", p)
	}
}

// A stop ends the wait. run --once does not wait.
func TestTheClockIsNotWaitedForForEver(t *testing.T) {
	in, sp, closeAll := newTestIntake(t, newSite(t), time.Millisecond)
	defer closeAll()
	unset(in)
	span := &tailer.Span{File: 1, Path: "/a", To: 3, Data: []byte("{}\n"), Position: []byte{1}}
	ctx, stop := context.WithCancel(t.Context())
	given := make(chan error)
	go func() { given <- in.Span(ctx, span) }()
	eventually(t, "the clock is a problem", func() bool { return len(in.health.problems()) == 1 })
	stop()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	in.once = true
	if err := in.Span(t.Context(), span); err == nil || !strings.Contains(err.Error(), "set it, see timedatectl") {
		t.Errorf("once: %v", err)
	}
	if n := sp.Stats().Batch; n != 0 {
		t.Errorf("%d batches", n)
	}
}
