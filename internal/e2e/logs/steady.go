package logs

import (
	"context"
	"os"
	"time"
)

// Steady writes rate lines per second to a new file at path until ctx ends,
// every few milliseconds those that are due. wrote is told after each write,
// from this goroutine, how many lines and bytes it had and when it began.
func Steady(ctx context.Context, path string, source Source, rate float64, wrote func(lines, bytes int64, at time.Time)) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	var buf []byte
	var lines int64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		due := int64(time.Since(began).Seconds()*rate) - lines
		buf = buf[:0]
		for range due {
			buf = source.Append(buf)
		}
		if len(buf) == 0 {
			continue
		}
		at := time.Now()
		if _, err := file.Write(buf); err != nil {
			return err
		}
		lines += due
		wrote(due, int64(len(buf)), at)
	}
}
