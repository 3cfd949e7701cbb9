package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// feed writes one file at a steady rate and remembers when.
type feed struct {
	name, path string
	source     logs.Source

	mu     sync.Mutex
	writes []write
	seen   int // writes that passed has counted
	lines  int64
	end    int64 // bytes
}

// write is one write call: what the file and the line count came to, and when
// it began.
type write struct {
	end   int64
	lines int64
	at    time.Time
}

func newFeed(dir string, i int) *feed {
	name := fmt.Sprintf("feed%d", i)
	return &feed{name: name, path: filepath.Join(dir, name+".log"), source: logs.NewEvents(uint64(i), name)}
}

// run writes rate lines per second until ctx ends.
func (f *feed) run(ctx context.Context, rate float64) error {
	return logs.Steady(ctx, f.path, f.source, rate, f.note)
}

func (f *feed) note(lines, bytes int64, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines += lines
	f.end += bytes
	f.writes = append(f.writes, write{end: f.end, lines: f.lines, at: at})
}

// passed appends, for each line that offset covers and that was not counted
// before, how long it took until now.
func (f *feed) passed(times []time.Duration, offset int64, now time.Time) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ; f.seen < len(f.writes) && f.writes[f.seen].end <= offset; f.seen++ {
		w := f.writes[f.seen]
		n := w.lines
		if f.seen > 0 {
			n -= f.writes[f.seen-1].lines
		}
		for range n {
			times = append(times, now.Sub(w.at))
		}
	}
	return times
}

// appended says when line n, from 1, was written.
func (f *feed) appended(n int64) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := slices.BinarySearchFunc(f.writes, n, func(w write, n int64) int { return int(w.lines - n) })
	return f.writes[i].at
}
