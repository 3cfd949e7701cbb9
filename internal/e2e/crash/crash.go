// Package crash tries to make the agent lose or repeat a line.
//
// A trial draws a configuration, writers that rotate their files, a store
// that fails, and a few lives of the agent: each ends in a SIGKILL at a random
// moment or at a chosen durable step (a failpoint). At last the trouble stops,
// the agent ships what is left, and every line is compared. Everything a trial
// decides depends on its seed; only the timing does not.
package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

// Options are those of a run.
type Options struct {
	Binary    string // agent built with -tags failpoint
	Versitygw string // needed for that store only
	Store     string // s3dev, versitygw, or both (in turns)
	Trials    int
	Only      int // if above 0: this trial alone
	Seed      uint64
	Parallel  int
	Out       io.Writer
}

// ErrFailed says that trials failed.
var ErrFailed = errors.New("trials failed")

// run is the state of all trials.
type run struct {
	o   *Options
	dir string

	mu             sync.Mutex
	passed, failed int
	reached        map[string]int // failpoints by name
}

// Run runs the trials. Directories of failed ones are kept, all else is
// removed.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "spoolship-crash-")
	if err != nil {
		return err
	}
	r := &run{o: &o, dir: dir, reached: map[string]int{}}
	first, last := 1, o.Trials
	if o.Only > 0 {
		first, last = o.Only, o.Only
	}
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	for trial := first; trial <= last && working.Err() == nil; trial++ {
		g.Go(func() error { return r.trial(working, trial) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	os.Remove(dir) // stays if a trial failed
	r.summary()
	if r.failed > 0 {
		return ErrFailed
	}
	return ctx.Err()
}

// store of a trial.
func (r *run) store(trial int) string {
	switch {
	case r.o.Store != "both":
		return r.o.Store
	case trial%2 == 0:
		return rig.Versity
	}
	return rig.Embedded
}

func (r *run) trial(ctx context.Context, n int) error {
	dir := filepath.Join(r.dir, fmt.Sprintf("trial-%d", n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	p := newPlan(r.o.Seed, n, r.store(n))
	began := time.Now()
	out := runTrial(ctx, r.o, p, dir)
	if ctx.Err() != nil {
		os.RemoveAll(dir)
		return ctx.Err() // interrupted: says nothing about the agent
	}
	r.report(p, &out, dir, time.Since(began))
	if out.failed() {
		return nil
	}
	return os.RemoveAll(dir)
}

func (o *outcome) failed() bool { return o.err != nil || !o.result.OK() }

// report prints one trial and counts it.
func (r *run) report(p *plan, out *outcome, dir string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := out.result
	if res == nil {
		res = &bucket.Result{}
	}
	verdict := "ok"
	if out.failed() {
		verdict = "FAILED"
	}
	fmt.Fprintf(r.o.Out, "trial %3d  seed %d  %s; %s; %d S3 faults: %d kills, %d lines, %d objects, %d lost, %d duplicated, %.1f s  %s\n",
		p.trial, p.seed, p, strings.Join(out.events, "; "), out.faults, out.kills,
		res.Written, res.Objects, res.Lost, res.Duplicated, took.Seconds(), verdict)
	for _, e := range out.events {
		if !strings.Contains(e, "never hit") && strings.Contains(e, ":") {
			r.reached[e[:strings.IndexByte(e, ':')]]++
		}
	}
	if !out.failed() {
		r.passed++
		return
	}
	r.failed++
	if out.err != nil {
		fmt.Fprintf(r.o.Out, "  %v\n", out.err)
	}
	res.Print(r.o.Out)
	fmt.Fprintf(r.o.Out, "  kept in %s; again: spoolship-e2e crash -seed %d -trial %d -store %s\n", dir, p.seed, p.trial, p.store)
}

// summary says which failpoints were reached, and how it went.
func (r *run) summary() {
	var words []string
	for _, s := range steps {
		words = append(words, fmt.Sprintf("%s %d", s, r.reached[s]))
	}
	fmt.Fprintf(r.o.Out, "failpoints reached: %s\n", strings.Join(words, ", "))
	fmt.Fprintf(r.o.Out, "%d passed, %d failed\n", r.passed, r.failed)
}
