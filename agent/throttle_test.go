package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottle(t *testing.T) {
	cases := []struct {
		name      string
		perSecond int64
		n         int
		want      time.Duration
	}{
		{"off", 0, 1 << 30, 0},
		{"within the burst", 8 << 20, 1 << 20, 0},
		{"more than the burst", 8 << 20, 9 << 20, time.Second},
		{"a long line at the lowest rate", 64 << 10, 64<<20 + 8<<10, 1024 * time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newThrottle(c.perSecond)
				began := time.Now()
				if err := th.wait(t.Context(), c.n); err != nil {
					t.Fatal(err)
				}
				if d := time.Since(began); d < c.want-time.Millisecond || d > c.want+time.Millisecond {
					t.Errorf("%d bytes took %v, want %v", c.n, d, c.want)
				}
			})
		})
	}
}

// A stop does not wait for the throttle, and loses nothing: what was not taken
// is still in the file.
func TestThrottleStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		err := newThrottle(64<<10).wait(ctx, 64<<20)
		if !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("returned %v after %v", err, time.Since(began))
		}
	})
}
