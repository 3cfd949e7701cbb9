package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spoolship/spoolship/spool"
)

// roller seals open chunks that are old enough. (Those that are big enough
// are sealed by the append that makes them so.)
type roller struct {
	spool  *spool.Spool
	maxAge func(input string) time.Duration
	pulse  pulse
}

// due is when c has to be sealed. A chunk that was opened in the future, as
// after a clock was set back, is due at once.
func (r *roller) due(c *spool.Chunk, now time.Time) time.Time {
	age := r.maxAge(c.Input)
	if c.Opened.After(now.Add(age)) {
		return now
	}
	return c.Opened.Add(age)
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
