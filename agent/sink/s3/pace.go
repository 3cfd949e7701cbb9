package s3

import (
	"context"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// pace bounds the bytes per second of all uploads together. A nil pace does
// not.
type pace struct{ limit *rate.Limiter }

// paceBurst is the part of a second's bytes that may go out at once.
const paceBurst = 8

// newPace returns a pace of that many bytes per second, nil for 0.
func newPace(perSecond int64) *pace {
	if perSecond == 0 {
		return nil
	}
	return &pace{rate.NewLimiter(rate.Limit(perSecond), int(min(max(1, perSecond/paceBurst), math.MaxInt32)))}
}

// most is how much may be read at once of n bytes.
func (p *pace) most(n int64) int64 {
	if p == nil {
		return n
	}
	return min(n, int64(p.limit.Burst()))
}

// wait takes the time that sending n bytes, at most most, should take.
func (p *pace) wait(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	return p.limit.WaitN(ctx, n)
}

// longer is the time that one of several uploads at once needs for size bytes.
func (p *pace) longer(size int64, uploads int) time.Duration {
	if p == nil {
		return 0
	}
	return time.Duration(float64(size) * float64(uploads) / float64(p.limit.Limit()) * float64(time.Second))
}
