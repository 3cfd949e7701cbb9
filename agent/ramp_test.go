package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

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

const outage = 7 // failures before it comes back

func (c *crowd) Put(ctx context.Context, o *sink.Object) error {
	c.mu.Lock()
	c.now++
	// The failures that are under way when the third comes have begun before it.
	if c.failed >= 5 && c.now > c.stored+1 {
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
