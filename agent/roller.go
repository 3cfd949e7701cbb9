package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/spoolship/spoolship/spool"
)

// roller seals open chunks by age. (The append that fills a chunk seals it.)
//
// Age is not counted from a chunk's first record: a fleet whose keys have the
// hour in them opens its chunks in the same second of every hour, and would seal
// and upload them in step from then on. Each queue and input has a grid of points
// instead, max_age apart and shifted by a digest of both, and a chunk is sealed at
// the first point after it was opened. That is never later than max_age, spreads
// a fleet evenly over max_age, and needs no state.
type roller struct {
	spool  *spool.Spool
	maxAge func(input string) time.Duration
	// blocked reports whether an input's files are not read because of what is in the
	// spool: what is open of it would wait in vain for more. nil: none is.
	blocked func(input string) bool
	pulse   pulse
}

// due returns when c has to be sealed. A chunk that was opened in the future, as
// after a clock was set back, is due at once.
func (r *roller) due(c *spool.Chunk, now time.Time) time.Time {
	age := r.maxAge(c.Input)
	if c.Opened.After(now.Add(age)) || r.blocked != nil && r.blocked(c.Input) {
		return now
	}
	return nextPoint(c.Opened, age, phase(c.Queue+"/"+c.Input, age))
}

// phase returns the shift of an owner's grid of points that are period apart: at
// least 0 and less than period, the same for an owner at every start.
func phase(owner string, period time.Duration) time.Duration {
	sum := sha256.Sum256([]byte(owner))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(period))
}

// nextPoint returns the first point after t of a grid whose points are period
// apart and shifted from the Unix epoch by phase.
func nextPoint(t time.Time, period, phase time.Duration) time.Time {
	since := (t.UnixNano() - int64(phase)) % int64(period)
	if since < 0 { // before 1970
		since += int64(period)
	}
	return t.Add(period - time.Duration(since))
}

// Run seals until ctx ends.
func (r *roller) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer r.pulse.rest()
	for {
		r.pulse.beat()
		changed := r.spool.Changed()
		next, err := r.roll(time.Now())
		if err != nil {
			return err
		}
		var wake <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			wake = timer.C
		}
		r.pulse.rest()
		select {
		case <-changed:
		case <-wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// roll seals what is due and returns when the next chunk is; zero if none is
// open.
func (r *roller) roll(now time.Time) (next time.Time, err error) {
	sealNow := false
	for _, c := range r.spool.OpenChunks() {
		at := r.due(&c, now)
		if !at.After(now) {
			sealNow = true
		} else if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if sealNow {
		_, err = r.spool.Seal(func(c spool.Chunk) bool { return !r.due(&c, now).After(now) })
	}
	switch {
	case errors.Is(err, spool.ErrFull):
		return now.Add(time.Second), nil // the disk is; acks will make room
	case err != nil:
		return next, fmt.Errorf("seal chunks: %w", err)
	}
	return next, nil
}

// sealAll seals every open chunk, for a run that ends when all is shipped.
func (r *roller) sealAll(ctx context.Context) error {
	for {
		_, err := r.spool.Seal(func(spool.Chunk) bool { return true })
		if err == nil {
			return nil
		}
		if !errors.Is(err, spool.ErrFull) || !pause(ctx, ctx, time.Second) {
			return fmt.Errorf("seal chunks: %w", err)
		}
	}
}
