package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoolship/spoolship/spool"
)

const (
	// reservePart is the part of the spool that inputs with much in it leave to the
	// others.
	reservePart = 8
	// shareEvery is how often the room on the disk is looked at.
	shareEvery = time.Second
)

const hintBlocked = "its lines wait in their files, the other inputs are read on; see why its uploads fail"

// share keeps one input from filling the spool for all: once no more than an eighth
// of it is left, an input is not read on that has more in it than its part of that
// eighth. So what the destination refuses, or a backlog, blocks the input it belongs
// to. A single input has all of the spool. Any goroutine may use it.
type share struct {
	spool    *spool.Spool
	health   *health
	inputs   []string
	maxSize  int64
	minFree  int64
	inFlight func() int64 // bytes read and not yet in the spool

	mu    sync.Mutex
	limit int64       // of what unacked chunks take, for want of disk or by maxSize; 0: none known
	since []time.Time // by input: it is blocked
}

// watch looks at the room on the disk, and tells which inputs are blocked, until ctx
// ends. It returns after the first look if ctx has ended.
func (s *share) watch(ctx context.Context) {
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		s.look()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *share) look() {
	if s == nil {
		return
	}
	st := s.spool.Stats()
	limit := s.maxSize
	if st.FreeBytes >= 0 {
		if room := max(1, st.Taken+st.FreeBytes-s.minFree); limit == 0 || room < limit {
			limit = room
		}
	}
	s.mu.Lock()
	s.limit = limit
	s.mu.Unlock()
	for i, name := range s.inputs {
		of := problem{causeBlocked, name, ""}
		if !s.blocked(i) {
			s.health.ok(of)
			continue
		}
		own, all := s.spool.Held(name)
		s.health.fail(of, "", fmt.Errorf("%s of its lines are in the spool, which has %s of at most %s; its files are not read until there is room",
			humanize.IBytes(uint64(own)), humanize.IBytes(uint64(all)), humanize.IBytes(uint64(limit))), hintBlocked)
	}
}

// blocked reports whether an input is not to be read.
func (s *share) blocked(input int) bool {
	if s == nil {
		return false
	}
	coming := s.inFlight() // before the spool is asked: what moves there meanwhile is counted twice
	own, all := s.spool.Held(s.inputs[input])
	s.mu.Lock()
	defer s.mu.Unlock()
	reserve := s.limit / reservePart
	least := s.limit - reserve
	if !s.since[input].IsZero() { // what is acked of others is no reason to go on for a moment
		least -= reserve
	}
	if s.limit == 0 || all+coming < least || own < reserve/int64(len(s.inputs)) {
		s.since[input] = time.Time{}
		return false
	}
	if s.since[input].IsZero() {
		s.since[input] = time.Now()
	}
	return true
}

// blockedSince returns since when an input is blocked; zero: it is not.
func (s *share) blockedSince(input int) time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since[input]
}

// newShare returns the share of each input, or nil if there is nothing to share or
// the oldest is dropped instead.
func newShare(sp *spool.Spool, su *setup, h *health, in *intake) *share {
	c := su.cfg
	if len(su.plans) < 2 || c.Spool.WhenFull == "drop_oldest" {
		return nil
	}
	s := &share{
		spool: sp, health: h, maxSize: int64(c.Spool.MaxSize), minFree: int64(c.Spool.MinFree),
		inFlight: in.inFlight.Load, since: make([]time.Time, len(su.plans)),
	}
	for i := range su.plans {
		s.inputs = append(s.inputs, su.plans[i].name)
	}
	return s
}

// blocks reports whether the input of that name is blocked.
func (s *share) blocks(name string) bool {
	if s == nil {
		return false
	}
	for i, input := range s.inputs {
		if input == name {
			return !s.blockedSince(i).IsZero()
		}
	}
	return false
}
