package agent

import (
	"context"
	"sync"
	"time"

	"github.com/spoolship/spoolship/spool"
)

// What is remembered of the backlog to say how fast it grows.
const (
	growthEvery  = 5 * time.Second
	growthWindow = 10 * time.Minute
	growthLeast  = 10 * time.Second // less says nothing
)

// growth remembers the backlog of the last minutes. Any goroutine may use it.
type growth struct {
	mu      sync.Mutex
	samples []backlogAt // oldest first
}

// backlogAt is what the backlog takes of the disk at a moment, in bytes.
type backlogAt struct {
	at    time.Time
	bytes int64
}

// watch remembers the spool's backlog until ctx ends.
func (g *growth) watch(ctx context.Context, sp *spool.Spool) {
	tick := time.NewTicker(growthEvery)
	defer tick.Stop()
	for {
		g.add(backlogAt{time.Now(), sp.Stats().Taken})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *growth) add(s backlogAt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := 0
	for old < len(g.samples) && s.at.Sub(g.samples[old].at) > growthWindow {
		old++
	}
	g.samples = append(g.samples[old:], s)
}

// rate is how many bytes the backlog grows by per second; 0 if it does not, or
// if what is known of the time since from is shorter than least. A backlog
// goes up and down with every chunk, so the lowest of the earlier half is
// compared with the lowest of the later.
func (g *growth) rate(from time.Time, least time.Duration) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.samples
	for len(known) > 0 && known[0].at.Before(from) {
		known = known[1:]
	}
	if len(known) < 2 {
		return 0
	}
	first, last := known[0].at, known[len(known)-1].at
	if last.Sub(first) < least {
		return 0
	}
	middle := first.Add(last.Sub(first) / 2)
	before, after := known[0], known[len(known)-1]
	for _, s := range known {
		if s.at.After(middle) {
			if s.bytes < after.bytes {
				after = s
			}
		} else if s.bytes <= before.bytes {
			before = s
		}
	}
	return max(0, float64(after.bytes-before.bytes)/after.at.Sub(before.at).Seconds())
}

// addGrowth says when the spool is full if all goes on as it does. During an
// outage only the time since its beginning counts: nothing of what was before
// goes on.
func (st *Status) addGrowth(g *growth, maxAge time.Duration) {
	from, least := time.Time{}, max(growthLeast, 2*maxAge)
	for _, p := range st.Problems {
		switch p.Cause {
		case causeUpload:
			from, least = p.Since, growthLeast
		case causeFull:
			st.FullAt = p.Since // a batch does not fit, whatever room is left
		}
	}
	rate := g.rate(from, least)
	st.BacklogGrowth = int64(rate)
	if rate < 1 || st.RoomBytes < 0 || !st.FullAt.IsZero() {
		return
	}
	left := float64(st.RoomBytes) / rate
	if left < (10 * 365 * 24 * time.Hour).Seconds() {
		st.FullAt = time.Now().Add(time.Duration(left * float64(time.Second)))
	}
}
