package agent

import (
	"context"
	"fmt"
	"time"
)

// clockFloor is a time that has passed. A clock before it has not been set
// since the machine was started: without a battery it begins in 1970, and is
// right only once the network has been asked.
var clockFloor = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

const hintClock = "lines wait in their files until it is set: see timedatectl, and whether time synchronisation runs"

// clock is the wall clock that keys and records are dated by.
type clock struct {
	now    func() time.Time
	every  time.Duration // between looks while it is wrong
	health *health
}

// settle waits until the clock shows a time that is possible: the day of a key
// is for ever. It returns earlier if ctx ends. With once, a wrong clock is an
// error.
func (c *clock) settle(ctx context.Context, once bool) error {
	for {
		now := c.now()
		if !now.Before(clockFloor) {
			c.health.ok(problem{cause: causeClock})
			return nil
		}
		err := fmt.Errorf("the clock of this machine shows %s, which is past", now.UTC().Format(time.RFC3339))
		if once {
			return fmt.Errorf("%w: set it, see timedatectl", err)
		}
		c.health.fail(problem{cause: causeClock}, "", err, hintClock)
		select {
		case <-time.After(c.every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
