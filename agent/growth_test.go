package agent

import (
	"testing"
	"time"
)

// How fast the backlog grows, seen every 5 s.
func TestGrowthRate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		backlog func(second int64) int64
		seconds int64
		from    int64
		least   time.Duration
		want    float64
	}{
		"nothing is known":              {func(int64) int64 { return 7 }, 0, 0, 0, 0},
		"too short":                     {func(s int64) int64 { return 100 * s }, 60, 0, 2 * time.Minute, 0},
		"an outage from the start":      {func(s int64) int64 { return 100 * s }, 120, 0, 2 * time.Minute, 100},
		"chunks go every minute":        {func(s int64) int64 { return 100 * (s % 60) }, 600, 0, 2 * time.Minute, 0},
		"uploads are too slow":          {func(s int64) int64 { return 100*(s%60) + 10*s }, 600, 0, 2 * time.Minute, 10},
		"it empties":                    {func(s int64) int64 { return 1e6 - 100*s }, 600, 0, 2 * time.Minute, 0},
		"an outage since 20 s":          {func(s int64) int64 { return 100 * max(0, s-580) }, 600, 580, growthLeast, 100},
		"an outage since a moment":      {func(s int64) int64 { return 100 * max(0, s-595) }, 600, 595, growthLeast, 0},
		"what is old is of no interest": {func(s int64) int64 { return 100 * min(s, 600) }, 1300, 0, 2 * time.Minute, 0},
	} {
		var g growth
		for s := int64(0); s <= c.seconds; s += 5 {
			g.add(backlogAt{start.Add(time.Duration(s) * time.Second), c.backlog(s)})
		}
		got := g.rate(start.Add(time.Duration(c.from)*time.Second), c.least)
		if got < 0.8*c.want || got > 1.2*c.want {
			t.Errorf("%s: %g bytes/s, want %g", name, got, c.want)
		}
		if want := int(growthWindow/growthEvery) + 1; len(g.samples) > want {
			t.Errorf("%s: %d samples are kept, want at most %d", name, len(g.samples), want)
		}
	}
}

// When the spool is full: by the rate since an outage began, and never for a
// backlog that does not grow.
func TestFullAt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var g growth
	for s := -60; s <= 0; s += 5 {
		g.add(backlogAt{now.Add(time.Duration(s) * time.Second), int64(1000 * (60 + s))})
	}
	st := Status{RoomBytes: 3_600_000, Problems: []Problem{{Cause: causeUpload, Since: now.Add(-30 * time.Second)}}}
	st.addGrowth(&g, time.Minute)
	if st.BacklogGrowth != 1000 || st.FullAt.Sub(now).Round(time.Minute) != time.Hour {
		t.Errorf("it grows by %d bytes/s and is full in %s, want 1000 and an hour", st.BacklogGrowth, st.FullAt.Sub(now))
	}
	full := Status{RoomBytes: 3_600_000, Problems: []Problem{{Cause: causeFull, Since: now.Add(-time.Second)}}}
	full.addGrowth(&g, time.Second)
	if !full.FullAt.Equal(now.Add(-time.Second)) {
		t.Errorf("a spool that takes nothing is full at %s, want since a second before %s", full.FullAt, now)
	}
	for _, st := range []Status{
		{RoomBytes: 3_600_000}, // a minute is not enough to tell while chunks stay open for one
		{RoomBytes: -1, Problems: []Problem{{Cause: causeUpload, Since: now.Add(-30 * time.Second)}}},
	} {
		st.addGrowth(&g, time.Minute)
		if !st.FullAt.IsZero() {
			t.Errorf("full at %s, want nothing", st.FullAt)
		}
	}
}
