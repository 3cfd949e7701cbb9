package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

// Latency is what a steady stream of lines saw. Times are milliseconds.
type Latency struct {
	Rate    float64   `json:"lines_per_s"` // asked for
	Lines   int64     `json:"lines"`       // written
	MaxAge  float64   `json:"max_age_ms"`
	Durable Quantiles `json:"append_to_durable_ms"`
	Visible Quantiles `json:"append_to_visible_ms"`
	CPU     float64   `json:"cpu_share_of_a_core"` // while nobody asks for positions
	Anon    float64   `json:"peak_anon_rss_mib"`
}

// Quantiles of a set of times in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

const (
	latencyFiles = 4
	latencyRate  = 20000 // lines per second over all files
	latencyAge   = time.Second
	// pollEvery bounds the error of the durable times: they are measured until
	// the answer that shows them.
	pollEvery = 10 * time.Millisecond
	// settleLimit bounds the time until everything is in the bucket.
	settleLimit = 30 * time.Second
)

// latency runs the agent under a steady stream. In the first half it is asked
// for its durable offsets all the time; in the second half its CPU is taken.
func (b *bench) latency(ctx context.Context) error {
	dir := filepath.Join(b.dir, "latency")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := rig.New(ctx, dir, rig.Embedded, b.o.Binary, "")
	if err != nil {
		return err
	}
	defer r.Close()
	c := b.config(r.Server.URL(), filepath.Join(dir, "state"))
	c.Socket, c.MaxAge = r.Agent.Socket, latencyAge
	c.Inputs = []agentproc.Input{{Name: "live", Format: "json", Include: []string{r.Logs() + "/*.log"}}}
	if err := c.Write(r.Agent.Config); err != nil {
		return err
	}
	p, err := r.Agent.Run(nil)
	if err != nil {
		return err
	}
	defer p.Kill()
	if err := p.Ready(ctx); err != nil {
		return err
	}
	b.say("%d lines/s over %d files for %s", latencyRate, latencyFiles, b.o.Latency)
	m, err := b.stream(ctx, r, p)
	if err != nil {
		return err
	}
	p.Kill()
	m.Anon = float64(p.Usage().Anon) / (1 << 20)
	b.report.Latency = m
	return nil
}

// stream writes for the whole time, then waits for the rest and counts.
func (b *bench) stream(ctx context.Context, r *rig.Rig, p *agentproc.Proc) (*Latency, error) {
	feeds := make([]*feed, latencyFiles)
	for i := range feeds {
		feeds[i] = newFeed(r.Logs(), i)
	}
	writing, stop := context.WithTimeout(ctx, b.o.Latency)
	defer stop()
	g, writing := errgroup.WithContext(writing)
	for _, f := range feeds {
		g.Go(func() error { return f.run(writing, latencyRate/latencyFiles) })
	}
	watching, half := context.WithTimeout(writing, b.o.Latency/2)
	defer half()
	durable, err := watchDurable(watching, &r.Agent, feeds)
	used, since := p.CPU(), time.Now()
	<-writing.Done()
	share := (p.CPU() - used).Seconds() / time.Since(since).Seconds()
	if err := errors.Join(err, g.Wait()); err != nil {
		return nil, err
	}
	if err := settle(ctx, r); err != nil {
		return nil, err
	}
	visible, lines, err := visibleTimes(ctx, r, feeds)
	if err != nil {
		return nil, err
	}
	return &Latency{
		Rate: latencyRate, Lines: lines, MaxAge: ms(latencyAge),
		Durable: quantiles(durable), Visible: quantiles(visible), CPU: share,
	}, nil
}

// settle waits until the agent says that everything is in the bucket.
func settle(ctx context.Context, r *rig.Rig) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	c := r.Agent.Client()
	defer c.Close()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		s, err := c.Status(ctx)
		if err == nil && s.Backlog == 0 && s.Lag == 0 && s.Open == 0 && s.Sealed == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the agent did not ship everything within %s: %+v, %w", settleLimit, s, errors.Join(err, ctx.Err()))
		}
	}
}

// watchDurable asks for the durable offsets until ctx ends and returns, for
// each line that became durable, how long that took.
func watchDurable(ctx context.Context, a *agentproc.Agent, feeds []*feed) ([]time.Duration, error) {
	c := a.Client()
	defer c.Close()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var times []time.Duration
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return times, nil
		}
		positions, err := c.Positions(ctx)
		if ctx.Err() != nil {
			return times, nil
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		for _, pos := range positions {
			for _, f := range feeds {
				if f.path == pos.Path {
					times = f.passed(times, pos.Offset, now)
				}
			}
		}
	}
}

// visibleTimes reads the bucket and returns for each line how long it took
// from its append to the store's answer to the PUT of its object.
func visibleTimes(ctx context.Context, r *rig.Rig, feeds []*feed) ([]time.Duration, int64, error) {
	objects, err := r.Objects(ctx)
	if err != nil {
		return nil, 0, err
	}
	var times []time.Duration
	for _, o := range objects {
		at := r.Front.StoredAt("events", o.Name)
		for _, rec := range o.Records {
			f, n, err := lineOf(rec, feeds)
			if err != nil {
				return nil, 0, err
			}
			times = append(times, at.Sub(f.appended(n)))
		}
	}
	var written int64
	for _, f := range feeds {
		written += f.lines
	}
	if int64(len(times)) != written {
		return nil, 0, fmt.Errorf("%d lines were written, %d are in the bucket", written, len(times))
	}
	return times, written, nil
}

// lineOf finds the file and the number (from 1) in a record.
func lineOf(rec []byte, feeds []*feed) (*feed, int64, error) {
	_, rest, _ := bytes.Cut(rec, []byte(`"stream":"`))
	name, rest, _ := bytes.Cut(rest, []byte(`","seq":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	i := slices.IndexFunc(feeds, func(f *feed) bool { return f.name == string(name) })
	if err != nil || i < 0 || n < 1 || n > feeds[i].lines {
		return nil, 0, fmt.Errorf("a record of no written line: %.200q", rec)
	}
	return feeds[i], n, nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func quantiles(t []time.Duration) Quantiles {
	if len(t) == 0 {
		return Quantiles{}
	}
	slices.Sort(t)
	at := func(q float64) float64 { return ms(t[int(q*float64(len(t)-1))]) }
	return Quantiles{P50: at(0.50), P99: at(0.99), Max: at(1)}
}
