package agent

import (
	"context"
	"errors"
	"sync"

	"github.com/spoolship/spoolship/agent/sink"
)

// ramp bounds how many uploads are tried at once. It closes while a destination
// fails or asks for less, down to one, and opens by one with each success: a
// store that comes back is not run over by everything that waited for it.
// Any goroutine may use it.
type ramp struct {
	most int

	mu       sync.Mutex
	limit    int // 1 to most
	running  int
	failures int           // one after the other
	changed  chan struct{} // closed when there may be room
	works    chan struct{} // closed when a success has ended a row of failures
}

func newRamp(most int) *ramp {
	return &ramp{most: most, limit: most, changed: make(chan struct{}), works: make(chan struct{})}
}

// enter waits for room; false says that it is time to stop.
func (r *ramp) enter(ctx, stop context.Context) bool {
	for {
		r.mu.Lock()
		if r.running < r.limit {
			r.running++
			r.mu.Unlock()
			return true
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-stop.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// leave gives the room back. A single failure in passing says nothing of the
// destination; two in a row, or its own word, do. What it returns is closed when
// the destination is known to work again: who still waits after a failure need
// not any longer.
func (r *ramp) leave(err error) (works <-chan struct{}) {
	var failed *sink.Error
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	switch {
	case err == nil:
		if r.failures > 1 {
			close(r.works)
			r.works = make(chan struct{})
		}
		r.failures = 0
		r.limit = min(r.most, r.limit+1)
	case errors.As(err, &failed) && (failed.Class == sink.Temporary || failed.Class == sink.Throttled):
		r.failures++
		if r.failures > 1 || failed.Class == sink.Throttled {
			r.limit = max(1, r.limit/2)
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return r.works
}
