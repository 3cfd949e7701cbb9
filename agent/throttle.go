package agent

import (
	"context"
	"math"

	"golang.org/x/time/rate"
)

// throttle bounds how fast lines are read, for hosts that a backfill must not
// slow down. A nil throttle does not.
type throttle struct{ limit *rate.Limiter }

// burstPart is the part of a second's bytes that may be read at once.
const burstPart = 8

// newThrottle returns a throttle for that many bytes per second, nil for 0.
func newThrottle(perSecond int64) *throttle {
	if perSecond == 0 {
		return nil
	}
	return &throttle{rate.NewLimiter(rate.Limit(perSecond), int(min(max(1, perSecond/burstPart), math.MaxInt32)))}
}

// wait takes the time that reading n bytes should take. It fails only when ctx
// ends.
func (t *throttle) wait(ctx context.Context, n int) error {
	if t == nil {
		return nil
	}
	for n > 0 {
		part := min(n, t.limit.Burst()) // more at once is refused for ever
		if err := t.limit.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
