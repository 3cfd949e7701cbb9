package agent

import (
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

// Stuck returns the name of a loop that has been at the same piece of work for
// all of limit, or "" while all get on. It goes by its own calls, so it is to be
// called several times within limit, by one goroutine.
func (a *Agent) Stuck(limit time.Duration) string {
	pulses := []*pulse{&a.opening}
	if s := a.current.Load(); s != nil {
		pulses = append(pulses, s.pulses...)
	}
	now, was := time.Now(), a.heard
	a.heard = make(map[*pulse]heard, len(pulses))
	stuck := ""
	for _, p := range pulses {
		n := p.n.Load()
		h, known := was[p]
		if !known || h.n != n {
			h = heard{n, now}
		}
		a.heard[p] = h
		if n%2 == 1 && now.Sub(h.since) >= limit {
			stuck = p.loop
		}
	}
	return stuck
}
