// Package demo shows a stranger what the agent promises: real logs and a live
// writer, an agent that is killed again and again, an outage of the store,
// and then every line of the bucket compared with what was written.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/logs"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

// Options are the demo's.
type Options struct {
	Binary   string        // the agent's
	LogDir   string        // real logs, for example /var/log
	Duration time.Duration // of the live part
	Rate     float64       // live lines per second
	Out      io.Writer
}

// ErrDifferent says that the bucket does not hold what was written.
var ErrDifferent = errors.New("the bucket differs from what was written")

// drainLimit bounds the last run of the agent.
const drainLimit = time.Minute

// demo is the state of one demonstration.
type demo struct {
	o       Options
	rig     *rig.Rig
	writer  *logs.Writer
	streams []bucket.Stream
	began   time.Time
	kills   int
}

// Run demonstrates. Everything it makes lives in a temporary directory that
// is removed, and every process it starts is gone when it returns.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "spoolship-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := rig.New(ctx, dir, rig.Embedded, o.Binary, "")
	if err != nil {
		return err
	}
	defer r.Close()
	d := &demo{o: o, rig: r, began: time.Now()}
	if err := d.prepare(); err != nil {
		return err
	}
	if err := d.live(ctx); err != nil {
		return err
	}
	return d.check(ctx)
}

// say prints a step with the seconds since the start.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.o.Out, "%5.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// prepare copies the real logs (so that they hold still while they are
// compared) and writes the configuration.
func (d *demo) prepare() error {
	d.say("an S3 server listens on %s (loopback, in memory)", d.rig.Server.URL())
	system := filepath.Join(d.rig.Logs(), "system")
	streams, bytes, err := copyLogs(d.o.LogDir, system)
	if err != nil {
		return err
	}
	d.streams = streams
	d.say("copied %d text logs (%s) from %s", len(streams), size(bytes), d.o.LogDir)
	live := filepath.Join(d.rig.Logs(), "live")
	if err := os.MkdirAll(live, 0o755); err != nil {
		return err
	}
	c := d.rig.Config()
	c.MaxAge, c.ChunkSize, c.SegmentSize = time.Second, "256KiB", "2MiB"
	c.Inputs = []agentproc.Input{
		{Name: "system", Format: "text", Include: []string{system + "/**"}},
		{Name: "live", Format: "json", Include: []string{live + "/*.log"}},
	}
	d.writer = &logs.Writer{
		Path: filepath.Join(live, "app.log"), Source: logs.NewEvents(1, "app"), Rate: d.o.Rate,
		Rotation: logs.Rename, Every: 2 * time.Second, Partial: 0.1, Rand: rand.New(rand.NewPCG(1, 1)),
	}
	return c.Write(d.rig.Agent.Config)
}

// check ships the rest and compares.
func (d *demo) check(ctx context.Context) error {
	d.say("the agent ships the rest (spoolship run --once) ...")
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if _, err := d.rig.Agent.Once(ctx); err != nil {
		return err
	}
	shipped := time.Since(d.began)
	d.say("all is acked; reading the bucket back ...")
	for i, g := range d.writer.Generations() {
		d.streams = append(d.streams, bucket.Stream{Input: "live", Format: bucket.JSON, Name: fmt.Sprintf("app.log generation %d", i+1), Lines: g.Lines})
	}
	result, err := d.rig.Compare(ctx, d.streams)
	if err != nil {
		return err
	}
	d.table(result, shipped)
	if !result.OK() {
		result.Print(d.o.Out)
		return ErrDifferent
	}
	return d.audit(ctx)
}

// audit shows what an operator has, who does not know what was written.
func (d *demo) audit(ctx context.Context) error {
	fmt.Fprintf(d.o.Out, "\n  spoolship audit --deep --state:\n")
	cmd := exec.CommandContext(ctx, d.o.Binary, "audit", "--deep", "--state", "--config", d.rig.Agent.Config)
	cmd.Stdout, cmd.Stderr = d.o.Out, d.o.Out
	return cmd.Run()
}

func (d *demo) table(r *bucket.Result, shipped time.Duration) {
	fmt.Fprintf(d.o.Out, `
  lines written      %10d
  lines delivered    %10d
  lines lost         %10d
  lines duplicated   %10d
  lines out of order %10d
  SIGKILLs           %10d
  rotations          %10d
  objects            %10d
  compression        %10.1f : 1
  throughput         %10.2f MB/s (the writer's pace, kills included)

`, r.Written, r.Delivered, r.Lost, r.Duplicated, r.Reordered, d.kills, len(d.writer.Generations())-1,
		r.Objects, float64(r.LineBytes)/float64(max(r.Stored, 1)), float64(r.LineBytes)/1e6/shipped.Seconds())
	if r.OK() {
		fmt.Fprintf(d.o.Out, "  every line arrived exactly once and in order\n")
	}
}

func size(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
