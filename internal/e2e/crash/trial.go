package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/logs"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

const (
	drainLimit = 60 * time.Second // for the last run, with everything working
	stopLimit  = 10 * time.Second // for SIGTERM: shutdown_timeout is 3 s
)

// trial is a plan under way.
type trial struct {
	*plan
	rig     *rig.Rig
	writers []*logs.Writer
	kills   int
	events  []string // what happened to the agent
}

// outcome is a finished trial.
type outcome struct {
	result *bucket.Result // nil if it did not come to a comparison
	kills  int
	events []string
	faults int
	err    error
}

// runTrial runs a plan in dir, which it leaves as it is.
func runTrial(ctx context.Context, o *Options, p *plan, dir string) (out outcome) {
	r, err := rig.New(ctx, dir, p.store, o.Binary, o.Versitygw)
	if err != nil {
		return outcome{err: err}
	}
	defer r.Close()
	t := &trial{plan: p, rig: r}
	defer func() {
		out.kills, out.events = t.kills, t.events
		for _, n := range r.Front.Stats().Faults {
			out.faults += n
		}
	}()
	if out.err = t.prepare(); out.err != nil {
		return out
	}
	if out.err = t.live(ctx); out.err != nil {
		return out
	}
	out.result, out.err = t.settle(ctx)
	return out
}

// prepare writes the configuration and the lines that are there at the start.
func (t *trial) prepare() error {
	c := t.rig.Config()
	own := t.config
	c.SegmentSize, c.CommitInterval, c.MaxUploads = own.SegmentSize, own.CommitInterval, own.MaxUploads
	c.Compression, c.ChunkSize, c.MaxAge = own.Compression, own.ChunkSize, own.MaxAge
	for _, in := range own.Inputs {
		dir := filepath.Join(t.rig.Logs(), in.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		in.Include = []string{filepath.Join(dir, in.Include[0])}
		c.Inputs = append(c.Inputs, in)
	}
	for i := range t.files {
		f := &t.files[i]
		w := t.writer(f, uint64(i))
		if err := w.Burst(f.burst); err != nil {
			return err
		}
		t.writers = append(t.writers, w)
	}
	return c.Write(t.rig.Agent.Config)
}

func (t *trial) writer(f *file, n uint64) *logs.Writer {
	in := t.config.Inputs[f.input].Name
	stream, seed := fmt.Sprintf("%s/%s", in, f.name), t.seed<<16+uint64(t.trial)<<8+n
	r := rand.New(rand.NewPCG(seed, 1))
	var source logs.Source = logs.NewEvents(seed, stream)
	if t.format(f) == bucket.Text {
		source = logs.NewAccess(seed, stream)
	}
	if f.odd {
		source = &logs.Odd{Source: source, Stream: stream, Long: 8 << 10, Rand: r}
	}
	return &logs.Writer{
		Path: filepath.Join(t.rig.Logs(), in, f.name), Source: source, Rate: f.rate,
		Rotation: f.rotation, Every: f.every, Partial: 0.2, Rand: r,
	}
}

// live lets everybody work against each other: the writers, the store's
// faults, and one life of the agent after the other.
func (t *trial) live(ctx context.Context) error {
	t.rig.Front.SetFaults(t.faults)
	writing, stop := context.WithCancel(ctx)
	defer stop()
	g, writing := errgroup.WithContext(writing)
	for _, w := range t.writers {
		g.Go(func() error { return w.Run(writing) })
	}
	var err error
	for i := range t.rounds {
		if err = t.round(writing, &t.rounds[i]); err != nil {
			break
		}
	}
	stop()
	return errors.Join(err, g.Wait())
}

// round is one life of the agent.
func (t *trial) round(ctx context.Context, n *round) error {
	var env []string
	if n.failpoint != "" {
		env = append(env, "SPOOLSHIP_FAILPOINT="+n.failpoint)
	}
	logged := t.logSize()
	p, err := t.rig.Agent.Run(env)
	if err != nil {
		return err
	}
	defer p.Kill()
	ctx, cancel := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		t.follow(ctx)
	}()
	defer func() { cancel(); <-followed }()
	if n.downAt > 0 {
		t.pass(p, n.downAt)
		t.rig.Server.Down()
		t.pass(p, n.downFor)
		if err := t.rig.Server.Up(); err != nil {
			return err
		}
	}
	t.pass(p, n.life-n.downAt-n.downFor)
	if err := t.end(p, n, logged); err != nil {
		return err
	}
	t.pass(nil, n.pause)
	return ctx.Err()
}

// follow lets the writers rotate once the agent knows their files.
func (t *trial) follow(ctx context.Context) {
	for _, w := range t.writers {
		if !w.Followed.Load() && t.rig.Agent.WaitFollowed(ctx, w.Path) == nil {
			w.Followed.Store(true)
		}
	}
}

// pass lets time pass, less of it if the agent ends.
func (t *trial) pass(p *agentproc.Proc, d time.Duration) {
	var ended <-chan struct{}
	if p != nil {
		ended = p.Done()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	}
}

// end finishes a life and notes how it ended.
func (t *trial) end(p *agentproc.Proc, n *round, logged int64) error {
	how, err := "SIGKILL", error(nil)
	select {
	case <-p.Done():
		how, err = "ended", fmt.Errorf("the agent ended by itself (%w), see %s", p.Err(), t.rig.Agent.Log)
	default:
		if n.gentle {
			how, err = "SIGTERM", p.Stop(stopLimit)
			break
		}
		p.Kill()
	}
	hit := t.hit(n, logged)
	if p.Killed() {
		t.kills++
	}
	switch {
	case n.failpoint == "":
		t.events = append(t.events, how)
	case hit:
		t.events = append(t.events, n.failpoint+" "+how)
		return nil // whatever came of it, an end included
	default:
		t.events = append(t.events, n.failpoint+" never hit, "+how)
	}
	return err
}

// hit says whether the agent reached its failpoint: it says so in its log.
func (t *trial) hit(n *round, logged int64) bool {
	b, err := os.ReadFile(t.rig.Agent.Log)
	return err == nil && n.failpoint != "" && int64(len(b)) >= logged &&
		strings.Contains(string(b[logged:]), "failpoint "+n.failpoint+" reached")
}

func (t *trial) logSize() int64 {
	info, err := os.Stat(t.rig.Agent.Log)
	if err != nil {
		return 0 // not made yet
	}
	return info.Size()
}

// settle ends all trouble, lets the agent ship what is left, and compares.
func (t *trial) settle(ctx context.Context) (*bucket.Result, error) {
	t.rig.Front.SetFaults(nil)
	drain, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if _, err := t.rig.Agent.Once(drain); err != nil {
		return nil, err
	}
	return t.rig.Compare(ctx, t.streams())
}

// streams are all generations of all files.
func (t *trial) streams() []bucket.Stream {
	var s []bucket.Stream
	for i, w := range t.writers {
		f := &t.files[i]
		in := t.config.Inputs[f.input].Name
		for n, g := range w.Generations() {
			s = append(s, bucket.Stream{
				Input: in, Format: t.format(f), Lines: g.Lines, MaxLine: t.maxLine[f.input],
				Name: fmt.Sprintf("%s/%s generation %d", in, f.name, n+1),
			})
		}
	}
	return s
}
