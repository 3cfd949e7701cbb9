package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// Open is how long a large spool takes to open.
type Open struct {
	Disk   int64   `json:"spool_bytes"`
	Cold   float64 `json:"cold_s"`   // after a clean stop, not in the page cache
	Warm   float64 `json:"warm_s"`   // once more, in the page cache
	Killed float64 `json:"killed_s"` // after SIGKILL, not in the page cache
}

// recordsPerByte is about what a byte of text becomes as a record.
const recordsPerByte = 1.75

// open fills a spool while S3 is down, uncompressed to be quick, and starts
// the agent on it until its first answer.
func (b *bench) open(ctx context.Context) error {
	l, err := b.newLive("open")
	if err != nil {
		return err
	}
	defer l.close()
	d, err := writeData(filepath.Join(l.logs, "open.log"), logs.NewAccess(1, "open"), int64(float64(b.o.Open)/recordsPerByte))
	if err != nil {
		return err
	}
	l.config.Compression, l.max = "none", "64GiB"
	l.input("text", l.logs+"/*.log")
	l.server.Down()
	if err := l.fill(ctx, d.Bytes); err != nil {
		return err
	}
	m := &Open{Disk: onDisk(l.state)}
	forgetPages(l.state)
	if m.Cold, err = l.timeToAnswer(ctx); err != nil {
		return err
	}
	if err := l.proc.Stop(readyLimit); err != nil {
		return err
	}
	if m.Warm, err = l.timeToAnswer(ctx); err != nil {
		return err
	}
	l.proc.Kill()
	forgetPages(l.state)
	if m.Killed, err = l.timeToAnswer(ctx); err != nil {
		return err
	}
	b.say("%.2f GiB: %.0f ms cold, %.0f ms warm, %.0f ms after SIGKILL", float64(m.Disk)/(1<<30), 1000*m.Cold, 1000*m.Warm, 1000*m.Killed)
	b.report.Open = m
	return nil
}

// fill runs the agent until size bytes are durable, and stops it.
func (l *live) fill(ctx context.Context, size int64) error {
	if err := l.start(); err != nil {
		return err
	}
	p := newProbe(l.agent.Socket)
	defer p.close()
	if _, err := p.await(ctx, pollEvery, drainLimit, func(s status) bool { return s.bytes() >= size }); err != nil {
		return fmt.Errorf("fill the spool: %w", err)
	}
	return l.proc.Stop(readyLimit)
}

// timeToAnswer starts the agent and returns the seconds until its first
// answer, which it gives when the spool is open.
func (l *live) timeToAnswer(ctx context.Context) (float64, error) {
	began := time.Now()
	if err := l.start(); err != nil {
		return 0, err
	}
	p := newProbe(l.agent.Socket)
	defer p.close()
	_, err := p.await(ctx, time.Millisecond, readyLimit, func(status) bool { return true })
	return time.Since(began).Seconds(), err
}
