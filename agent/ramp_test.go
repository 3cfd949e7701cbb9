package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

func TestRamp(t *testing.T) {
	passing := &sink.Error{Class: sink.Temporary, Err: errors.New("x")}
	slower := &sink.Error{Class: sink.Throttled, Err: errors.New("x")}
	fix := &sink.Error{Class: sink.Config, Err: errors.New("x")}
	r := newRamp(8)
	for i, step := range []struct {
		err  error
		want int
	}{
		{passing, 8}, {nil, 8}, // one failure is nothing
		{slower, 4}, {nil, 5},
		{passing, 5}, {passing, 2}, {passing, 1}, {passing, 1},
		{fix, 1}, {errors.New("disk"), 1},
		{nil, 2}, {nil, 3}, {passing, 3}, {nil, 4}, {nil, 5}, {nil, 6}, {nil, 7}, {nil, 8}, {nil, 8},
	} {
		if !r.enter(t.Context(), t.Context()) {
			t.Fatal("no room")
		}
		r.leave(step.err)
		if r.limit != step.want || r.running != 0 {
			t.Errorf("step %d: limit %d, want %d; %d running", i, r.limit, step.want, r.running)
		}
	}
}

// Who waits after a failure goes on as soon as another upload shows that the
// destination works again, and not for one that failed in passing.
func TestRampTellsOfRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, passing := newRamp(4), &sink.Error{Class: sink.Temporary, Err: errors.New("x")}
		leave := func(err error) <-chan struct{} {
			r.enter(t.Context(), t.Context())
			return r.leave(err)
		}
		for failures, want := range map[int]time.Duration{1: time.Minute, 2: time.Second, 5: time.Second} {
			var works <-chan struct{}
			for range failures {
				works = leave(passing)
			}
			time.AfterFunc(time.Second, func() { leave(nil) })
			began := time.Now()
			if !pauseOr(t.Context(), t.Context(), time.Minute, works) || time.Since(began) != want {
				t.Errorf("after %d failures: waited for %v, want %v", failures, time.Since(began), want)
			}
		}
	})
}

func TestRampStops(t *testing.T) {
	r := newRamp(1)
	r.enter(t.Context(), t.Context())
	for _, which := range []int{0, 1} {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		both := []context.Context{t.Context(), t.Context()}
		both[which] = ended
		if r.enter(both[0], both[1]) {
			t.Error("entered a full ramp")
		}
	}
}

// crowd is a sink that says how many Puts run at once. It fails while it is
// down, and takes its time, so that those that wait would come in.
type crowd struct {
	*memSink
	mu      sync.Mutex
	now     int
	failed  int
	stored  int
	tooMany []int // Puts at once above what is allowed, by successes so far
}

const outage = 12 // failures before it comes back

func (c *crowd) Put(ctx context.Context, o *sink.Object) error {
	c.mu.Lock()
	c.now++
	// The failures that are under way when the third comes have begun before it.
	if c.failed >= 8 && c.now > c.stored+1 {
		c.tooMany = append(c.tooMany, c.now)
	}
	down := c.failed < outage
	if down {
		c.failed++
	}
	c.mu.Unlock()
	time.Sleep(5 * time.Millisecond) // the time that an upload takes
	err := error(&sink.Error{Class: sink.Temporary, Code: "X", Err: errors.New("down")})
	if !down {
		err = c.memSink.Put(ctx, o)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if err == nil {
		c.stored++
	}
	return err
}

// When a destination comes back, uploads come one by one first.
func TestUploadsRampUp(t *testing.T) {
	s := newSite(t)
	s.cfg.S3.MaxUploads = 4
	s.cfg.Chunk.MaxSize = config.Size(1)
	s.cfg.Spool.CommitInterval = config.Duration(time.Millisecond)
	dest := &crowd{memSink: newMemSink()}
	a := s.agent(t, Options{Sink: dest})
	stop := start(t, a)
	var want []string
	for n := range 12 {
		want = append(want, s.write(t, "a.log", n, 1)...)
		eventually(t, "a chunk more", func() bool { in := a.Status().Inputs; return len(in) == 1 && in[0].Records > int64(n) })
	}
	eventually(t, "all are delivered", func() bool { return a.Status().Uploads.Records == int64(len(want)) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
	if len(dest.tooMany) > 0 {
		t.Errorf("at once: %v", dest.tooMany)
	}
	if len(dest.attempts()) != len(want) || dest.failed != outage {
		t.Errorf("%d objects put, %d failures", len(dest.attempts()), dest.failed)
	}
}
