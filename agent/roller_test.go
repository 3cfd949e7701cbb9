package agent

import (
	"testing"
	"time"

	"github.com/spoolship/spoolship/spool"
)

func TestDue(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &roller{maxAge: func(input string) time.Duration {
		return map[string]time.Duration{"fast": time.Second, "slow": time.Hour}[input]
	}}
	for _, c := range []struct {
		input  string
		opened time.Duration // before now
		want   time.Duration // after now
	}{
		{"fast", 0, time.Second},
		{"fast", 2 * time.Second, -time.Second},
		{"slow", time.Minute, 59 * time.Minute},
		{"slow", -time.Minute, 61 * time.Minute}, // a small step of the clock
		{"slow", -24 * time.Hour, 0},             // a large one
	} {
		got := r.due(&spool.Chunk{Input: c.input, Opened: now.Add(-c.opened)}, now)
		if !got.Equal(now.Add(c.want)) {
			t.Errorf("%s opened %s ago: due in %s, want %s", c.input, c.opened, got.Sub(now), c.want)
		}
	}
}
