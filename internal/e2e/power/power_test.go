//go:build e2e && linux

package power

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// cutAt is a trial: the power fails at a step, in a way, after kills at others.
// Then the agent is started on what is left, with more lines to ship.
func (w *world) cutAt(step int, way Way, kills []int, lie func(Event) bool) (*bucket.Result, error) {
	if err := w.log(firstLines); err != nil {
		return nil, err
	}
	for _, kill := range kills {
		killed := make(chan struct{})
		tell := sync.OnceFunc(func() { close(killed) })
		w.disk.Before(func(e Event) Verdict {
			if e.Step >= kill {
				tell()
			}
			return Verdict{Lie: lie(e)}
		})
		if ended, err := w.until(killed); err != nil {
			return nil, fmt.Errorf("before a kill: %w", err)
		} else if ended {
			break
		}
	}
	return w.cut(way, func(off func()) func(Event) Verdict {
		return func(e Event) Verdict {
			if step > 0 && e.Step == step {
				off()
			}
			return Verdict{Lie: lie(e)}
		}
	}, lie)
}

// cut runs the agent until the power fails, or all is shipped, and then starts
// it on what is left.
func (w *world) cut(way Way, before func(off func()) func(Event) Verdict, lie func(Event) bool, afterwards ...func() error) (*bucket.Result, error) {
	down := make(chan struct{})
	tell := sync.OnceFunc(func() { close(down) })
	w.disk.Before(before(func() {
		w.disk.Off()
		tell()
	}))
	if _, err := w.until(down); err != nil {
		return nil, fmt.Errorf("before the cut: %w", err)
	}
	w.disk.Cut(way, w.rnd)
	w.disk.Before(func(e Event) Verdict { return Verdict{Lie: lie(e)} })
	for _, f := range append(afterwards, w.boot) {
		if err := f(); err != nil {
			return nil, err
		}
	}
	if err := w.log(moreLines); err != nil {
		return nil, err
	}
	return w.settle()
}

func honest(Event) bool { return false }

// steps returns how many steps a run has that nothing happens to.
func steps(t *testing.T, binary string) (all int) {
	t.Helper()
	c := class{name: "no fault"}
	c.run(t, 1, binary, func(w *world, _ int) (*bucket.Result, error) {
		r, err := w.cutAt(0, Kept, nil, honest)
		all = w.disk.Steps()
		return r, err
	})
	if c.row(t); all < 100 {
		t.Fatalf("only %d steps", all)
	}
	return all
}

// Case: the power fails under the state directory at each step of a run, or, if
// there are fewer trials than steps, at steps all over it.
func TestPowerCuts(t *testing.T) {
	need(t)
	header()
	binary := binaryPath(t, "spoolship")
	all := steps(t, binary)
	for _, way := range Ways {
		c := class{name: fmt.Sprintf("state: cut at 1 of %d steps, the rest %s", all, way)}
		n := min(all, max(1, trials()/len(Ways)))
		c.run(t, n, binary, func(w *world, i int) (*bucket.Result, error) {
			return w.cutAt(1+(i*all+w.rnd.IntN(all))/n%all, way, nil, honest)
		})
		c.row(t)
	}
}

// Case: the power fails after kills, whose traces only memory has, and while the
// store takes objects.
func TestKillsAndCuts(t *testing.T) {
	need(t)
	header()
	binary := binaryPath(t, "spoolship")
	all := steps(t, binary)
	c := class{name: "state: one or two kills, then a cut"}
	c.run(t, max(1, trials()/3), binary, func(w *world, _ int) (*bucket.Result, error) {
		first := 1 + w.rnd.IntN(all)
		kills := []int{first}
		if w.rnd.IntN(2) == 0 {
			kills = append(kills, first+w.rnd.IntN(all))
		}
		return w.cutAt(first+w.rnd.IntN(2*all), Ways[w.rnd.IntN(len(Ways))], kills, honest)
	})
	c.row(t)
	c = class{name: "state: killed at an fsync, started, then a cut"}
	c.run(t, max(2, trials()/4), binary, func(w *world, i int) (*bucket.Result, error) {
		return w.reopened(10+i*50/max(2, trials()/4), honest)
	})
	c.row(t)
	c = class{name: "state: cut while an object is being put"}
	c.run(t, max(1, trials()/3), binary, func(w *world, _ int) (*bucket.Result, error) {
		return w.cutAtPut(1+w.rnd.IntN(10), Ways[w.rnd.IntN(len(Ways))], honest)
	})
	c.row(t)
}

// cutAtPut is a trial: the power fails when the n-th object arrives, which the
// store takes.
func (w *world) cutAtPut(n int, way Way, lie func(Event) bool) (*bucket.Result, error) {
	if err := w.log(firstLines); err != nil {
		return nil, err
	}
	return w.cut(way, func(off func()) func(Event) Verdict {
		var mu sync.Mutex
		puts := 0
		w.onPut.Store(func() {
			mu.Lock()
			defer mu.Unlock()
			if puts++; puts == n {
				w.disk.mu.Lock()
				defer w.disk.mu.Unlock()
				off()
			}
		})
		return func(e Event) Verdict { return Verdict{Lie: lie(e)} }
	}, lie)
}

// Case: an agent, or a disk, that breaks the promise is caught.
func TestMutants(t *testing.T) {
	need(t)
	header()
	binary := binaryPath(t, "spoolship")
	for _, m := range []struct {
		name string
		lie  func(Event) bool
	}{
		{"mutant: no fsync of files", func(e Event) bool { return e.Op == OpSync }},
		{"mutant: no fsync of directories", func(e Event) bool { return e.Op == OpDirs }},
	} {
		c := class{name: m.name, mutant: true}
		for i := 0; i < 10 && c.failed == 0; i++ {
			c.run(t, 2, binary, func(w *world, i int) (*bucket.Result, error) {
				return w.cutAtPut(3+w.rnd.IntN(10), Dropped, m.lie)
			})
		}
		c.caught(t)
	}
	fresh := func(e Event) bool { return e.Op == OpSync && e.Fresh }
	c := class{name: "mutant: no fsync when a file is opened again", mutant: true}
	for from := 10; from < 60 && c.failed == 0; from += 2 {
		c.run(t, 2, binary, func(w *world, i int) (*bucket.Result, error) { return w.reopened(from+i, fresh) })
	}
	c.caught(t)
	c = class{name: "mutant: acknowledged before the store has it", mutant: true}
	for i := 0; i < 10 && c.failed == 0; i++ {
		c.run(t, 2, binaryPath(t, "spoolship-failpoint"), func(w *world, i int) (*bucket.Result, error) {
			return w.earlyAck(3 + w.rnd.IntN(10))
		})
	}
	c.caught(t)
}

// reopened is a trial of what only memory has of a killed agent. That is killed at the n-th fsync, after its
// last write, and started again; the store takes what it sends and does not
// answer, and then the power fails.
func (w *world) reopened(n int, lie func(Event) bool) (*bucket.Result, error) {
	w.cfg.MaxAge, w.cfg.MaxUploads = time.Hour, 16
	if err := errors.Join(w.cfg.Write(w.Agent.Config), w.log(firstLines)); err != nil {
		return nil, err
	}
	killed := make(chan struct{})
	tell := sync.OnceFunc(func() { close(killed) })
	w.disk.Before(func(e Event) Verdict {
		if e.Op == OpSync && e.N >= n {
			tell()
			return Verdict{Err: syscall.EIO, Wait: 100 * time.Millisecond} // the kill comes first
		}
		return Verdict{Lie: lie(e)}
	})
	if ended, err := w.until(killed); err != nil || ended {
		return &bucket.Result{}, err
	}
	w.cfg.CommitInterval = 10 * time.Second // a commit of more lines would be an fsync
	if err := w.cfg.Write(w.Agent.Config); err != nil {
		return nil, err
	}
	quiet := make(chan struct{})
	r, err := w.cut(Dropped, func(off func()) func(Event) Verdict {
		taken := time.AfterFunc(time.Second, func() {
			w.disk.mu.Lock()
			defer w.disk.mu.Unlock()
			off()
		})
		w.taken.Store(func() {
			taken.Reset(200 * time.Millisecond)
			<-quiet
		})
		return func(e Event) Verdict { return Verdict{Lie: lie(e)} }
	}, lie, func() error {
		close(quiet)
		w.cfg.CommitInterval = 10 * time.Millisecond
		return w.cfg.Write(w.Agent.Config)
	})
	return r, err
}

// earlyAck is a trial with an agent that takes a PUT for delivered before it was
// sent, and is killed at one.
func (w *world) earlyAck(n int) (*bucket.Result, error) {
	w.env = []string{"SPOOLSHIP_MUTANT=early-ack"}
	return w.cutAtPut(n, Kept, honest)
}
