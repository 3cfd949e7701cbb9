package agent

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// pulse shows from outside whether a loop gets on: its number is odd while a
// piece of work is under way and even while the loop waits for others, and
// changes with each piece. Only the loop's goroutine changes it.
type pulse struct {
	loop string
	n    atomic.Uint64
}

// beat comes before a piece of work, which is short: a block of a file, a
// commit.
func (p *pulse) beat() { p.n.Store((p.n.Load() | 1) + 2) }

// start is beat, unless the loop is at a piece of work already.
func (p *pulse) start() {
	if p.n.Load()%2 == 0 {
		p.beat()
	}
}

// rest comes before waiting for what may take any time: news, room, an answer.
func (p *pulse) rest() { p.n.Store((p.n.Load() | 1) + 1) }

// set is beat or rest.
func (p *pulse) set(working bool) {
	if working {
		p.beat()
	} else {
		p.rest()
	}
}

// heard is what a look at a pulse found.
type heard struct {
	n     uint64
	since time.Time // of the first look that found n
}

// hearts are what looks at pulses have found. Any goroutine may use it.
type hearts struct {
	mu    sync.Mutex
	limit time.Duration // see stuckAfter
	heard map[*pulse]heard
}

// stuckAfter is for how long a loop may be at one piece of work before it is a
// problem.
const stuckAfter = time.Minute

// Stuck returns the name of a loop that has been at the same piece of work for
// all of limit, or "" while all get on. It goes by its own calls, so it is to be
// called several times within limit. Any goroutine may call it.
func (a *Agent) Stuck(limit time.Duration) string {
	loop, _ := a.stuck(limit)
	return loop
}

// stuck is Stuck, and since when at least.
func (a *Agent) stuck(limit time.Duration) (loop string, since time.Time) {
	pulses := []*pulse{&a.opening}
	if s := a.current.Load(); s != nil {
		pulses = append(pulses, s.pulses...)
	}
	a.hearts.mu.Lock()
	defer a.hearts.mu.Unlock()
	now, was := time.Now(), a.hearts.heard
	a.hearts.heard = make(map[*pulse]heard, len(pulses))
	for _, p := range pulses {
		n := p.n.Load()
		h, known := was[p]
		if !known || h.n != n {
			h = heard{n, now}
		}
		a.hearts.heard[p] = h
		if loop == "" && n%2 == 1 && now.Sub(h.since) >= limit {
			loop, since = p.loop, h.since
		}
	}
	return loop, since
}

// stuckProblems says which loop does not get on.
func (a *Agent) stuckProblems() []Problem {
	a.hearts.mu.Lock()
	limit := a.hearts.limit
	a.hearts.mu.Unlock()
	loop, since := a.stuck(limit)
	if loop == "" {
		return nil
	}
	p := Problem{
		Cause: causeStuck, Since: since, Count: 1, Hint: "see whether the disks answer",
		Error: fmt.Sprintf("the %s has been at the same piece of work for %s", loop, time.Since(since).Round(time.Second)),
	}
	if why := a.health.of(causeSpool); loop == a.opening.loop && why != "" {
		p.Error = fmt.Sprintf("the spool could not be opened for %s: %s", time.Since(since).Round(time.Second), why)
	}
	return []Problem{p}
}

// problems are all that is wrong now.
func (a *Agent) problems() []Problem { return append(a.stuckProblems(), a.health.problems()...) }
