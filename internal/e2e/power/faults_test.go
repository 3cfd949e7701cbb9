//go:build e2e && linux

package power

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// restartAfter is how long a service manager waits.
const restartAfter = 100 * time.Millisecond

// endure runs the agent as a service on a bad disk until everything is shipped,
// and starts it again where it ends. forget has the kernel keep nothing of the
// files in memory, so that mapped pages are read from the disk.
func (w *world) endure(verdict func(Event) Verdict, forget bool) (*bucket.Result, error) {
	if err := w.log(firstLines); err != nil {
		return nil, err
	}
	w.disk.Before(verdict)
	ctx, cancel := context.WithTimeout(w.ctx, onceLimit)
	defer cancel()
	if forget {
		done := make(chan struct{})
		defer func() { <-done }()
		forgetting, end := context.WithCancel(ctx)
		defer end()
		go func() {
			defer close(done)
			for tick := time.NewTicker(2 * time.Millisecond); forgetting.Err() == nil; <-tick.C {
				w.disk.DropCaches()
			}
		}()
	}
	client := w.Agent.Client()
	defer client.Close()
	p, err := w.Agent.Run(nil)
	if err != nil {
		return nil, err
	}
	for restarts := 0; ; {
		var st agentproc.Status
		if st, err = client.Status(ctx); err == nil && st.Following && st.Lag == 0 && st.Backlog == 0 && w.Front.Stats().Stored > 0 {
			break
		}
		select {
		case <-ctx.Done():
			p.Kill()
			return nil, fmt.Errorf("it does not get over it: %+v, %w", st, errors.Join(err, w.sane()))
		case <-p.Done():
			if restarts++; restarts > 20 {
				return nil, fmt.Errorf("it ended %d times, the last with: %w", restarts, p.Err())
			}
			time.Sleep(restartAfter)
			if p, err = w.Agent.Run(nil); err != nil {
				return nil, err
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := p.Stop(10 * time.Second); err != nil {
		return nil, err
	}
	w.disk.Before(nil)
	if err := w.log(moreLines); err != nil {
		return nil, err
	}
	return w.settle()
}

// once fails the n-th operation of a kind.
func once(o Op, n int, errno syscall.Errno) func(Event) Verdict {
	return func(e Event) Verdict {
		if e.Op == o && e.N == n {
			return Verdict{Err: errno}
		}
		return Verdict{}
	}
}

// during has operations end in a way for a time, from the n-th step on.
func during(n int, d time.Duration, v Verdict, which func(Op) bool) func(Event) Verdict {
	var until atomic.Int64
	return func(e Event) Verdict {
		if e.Step == n {
			until.Store(time.Now().Add(d).UnixNano())
		}
		if until.Load() > time.Now().UnixNano() && which(e.Op) {
			return v
		}
		return Verdict{}
	}
}

func any(Op) bool { return true }

// Case: the disk under the state directory fails once, for a while, or fills up.
// The agent gets over it without losing or doubling a line.
func TestDiskFaults(t *testing.T) {
	need(t)
	header()
	binary := binaryPath(t, "spoolship")
	counts := map[Op]int{}
	steps := 0
	c := class{name: "no fault, as a service"}
	c.run(t, 1, binary, func(w *world, _ int) (*bucket.Result, error) {
		r, err := w.endure(nil, false)
		for _, o := range []Op{OpRead, OpWrite, OpSync, OpResize, OpAlloc, OpEntry, OpDirs, OpOpen} {
			counts[o] = w.disk.Count(o)
		}
		steps = w.disk.Steps()
		return r, err
	})
	c.row(t)
	n := max(2, trials()/6)
	for _, o := range []Op{OpRead, OpWrite, OpSync, OpResize, OpAlloc, OpEntry, OpDirs, OpOpen} {
		if counts[o] == 0 {
			continue
		}
		c := class{name: fmt.Sprintf("state: EIO at 1 of %d: %s", counts[o], o)}
		c.run(t, min(n, counts[o]), binary, func(w *world, i int) (*bucket.Result, error) {
			k := min(n, counts[o])
			return w.endure(once(o, 1+(i*counts[o]+w.rnd.IntN(counts[o]))/k, syscall.EIO), false)
		})
		c.row(t)
	}
	c = class{name: "state: EIO at a read, nothing in memory"}
	c.run(t, 4*n, binary, func(w *world, i int) (*bucket.Result, error) {
		return w.endure(once(OpRead, 1+w.rnd.IntN(20*counts[OpRead]), syscall.EIO), true)
	})
	c.row(t)
	for _, f := range []struct {
		name   string
		lasts  time.Duration
		v      Verdict
		which  func(Op) bool
		forget bool
	}{
		{"state: every operation fails for 300 ms", 300 * time.Millisecond, Verdict{Err: syscall.EIO}, any, false},
		{"state: every operation fails for 300 ms, nothing in memory", 300 * time.Millisecond, Verdict{Err: syscall.EIO}, any, true},
		{"state: reads fail for 300 ms, nothing in memory", 300 * time.Millisecond, Verdict{Err: syscall.EIO}, func(o Op) bool { return o == OpRead }, true},
		{"state: read-only for 300 ms", 300 * time.Millisecond, Verdict{Err: syscall.EROFS}, Op.changes, false},
		{"state: no space for 300 ms", 300 * time.Millisecond, Verdict{Err: syscall.ENOSPC}, func(o Op) bool { return o == OpWrite || o == OpResize || o == OpAlloc || o == OpEntry }, false},
		{"state: an operation takes 3 s", time.Millisecond, Verdict{Wait: 3 * time.Second}, any, false},
	} {
		c := class{name: f.name}
		c.run(t, n, binary, func(w *world, i int) (*bucket.Result, error) {
			return w.endure(during(1+(i*steps+w.rnd.IntN(steps))/n, f.lasts, f.v, f.which), f.forget)
		})
		c.row(t)
	}
	c = class{name: "state: the disk is full for 300 ms"}
	c.run(t, n, binary, func(w *world, i int) (*bucket.Result, error) {
		at := 1 + (i*steps+w.rnd.IntN(steps))/n
		return w.endure(func(e Event) Verdict {
			if e.Step == at {
				w.disk.limit = w.disk.used()
				time.AfterFunc(300*time.Millisecond, func() { w.disk.SetLimit(0) })
			}
			return Verdict{}
		}, false)
	})
	c.row(t)
}
