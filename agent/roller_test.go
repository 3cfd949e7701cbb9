package agent

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/spoolship/spoolship/spool"
)

// A chunk is sealed within max_age of its first record, at a point of a grid that
// only its queue, its input and max_age decide.
func TestDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		age := time.Duration(rapid.Int64Range(int64(10*time.Millisecond), int64(24*time.Hour)).Draw(t, "age"))
		r := &roller{maxAge: func(string) time.Duration { return age }}
		opened := time.Unix(0, rapid.Int64Range(-1<<60, 1<<61).Draw(t, "opened"))
		c := &spool.Chunk{Queue: rapid.StringMatching("[0-9a-f]{16}").Draw(t, "queue"), Input: "app", Opened: opened}
		due := r.due(c, opened)
		if wait := due.Sub(opened); wait <= 0 || wait > age {
			t.Fatalf("due after %s; want more than 0 and at most %s", wait, age)
		}
		c.Opened = due.Add(-time.Nanosecond)
		if again := r.due(c, c.Opened); !again.Equal(due) {
			t.Fatalf("opened just before a point of the grid: due %s after it; want at it", again.Sub(due))
		}
		c.Opened = due
		if next := r.due(c, c.Opened); next.Sub(due) != age {
			t.Fatalf("opened at a point of the grid: due after %s; want %s", next.Sub(due), age)
		}
	})
}

// A clock that was set back by more than max_age does not hold a chunk open.
func TestDueAfterClockSetBack(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &roller{maxAge: func(string) time.Duration { return time.Hour }}
	if due := r.due(&spool.Chunk{Opened: now.Add(24 * time.Hour)}, now); !due.Equal(now) {
		t.Errorf("due after %s; want at once", due.Sub(now))
	}
}

// Queues that open their chunks in the same instant, as at the border of an hour,
// seal them evenly over max_age.
func TestDueIsSpread(t *testing.T) {
	const queues, age = 60_000, time.Minute
	opened := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	r := &roller{maxAge: func(string) time.Duration { return age }}
	var seconds [60]int
	for i := range queues {
		due := r.due(&spool.Chunk{Queue: fmt.Sprintf("%016x", i), Input: "app", Opened: opened}, opened)
		seconds[int(due.Sub(opened)/time.Second)%60]++
	}
	for s, n := range seconds {
		if n < 850 || n > 1150 {
			t.Errorf("%d of %d chunks are sealed in second %d; want about 1,000", n, queues, s)
		}
	}
}
