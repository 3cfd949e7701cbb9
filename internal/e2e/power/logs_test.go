//go:build e2e && linux

package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// logsOnDisk moves the logs to the Disk and the state directory away from it.
func (w *world) logsOnDisk() error {
	w.cfg.StateDir = filepath.Join(w.Dir, "state")
	for i := range w.streams {
		path := filepath.Join(w.Dir, "disk", filepath.Base(w.streams[i].Name))
		w.streams[i].Name, w.cfg.Inputs[i].Include = path, []string{path}
	}
	return w.cfg.Write(w.Agent.Config)
}

// shortened is a trial: the power fails under the logs while they are written
// and read, and some of the last lines are gone. More lines are written before
// the agent is there again, or once it follows its files. What is left in the
// files has to arrive once, what is gone at most once.
func (w *world) shortened(way Way, early bool) (*bucket.Result, error) {
	if err := w.logsOnDisk(); err != nil {
		return nil, err
	}
	if err := w.log(1 + w.rnd.IntN(firstLines)); err != nil {
		return nil, err
	}
	if err := w.syncLogs(""); err != nil {
		return nil, err
	}
	p, err := w.Agent.Run(nil)
	if err != nil {
		return nil, err
	}
	defer func() { p.Kill() }()
	for range 5 + w.rnd.IntN(20) {
		if err := w.log(1 + w.rnd.IntN(200)); err != nil {
			return nil, err
		}
		time.Sleep(time.Duration(w.rnd.IntN(20)) * time.Millisecond)
		if w.rnd.IntN(8) == 0 {
			if err := w.syncLogs(""); err != nil {
				return nil, err
			}
		}
	}
	p.Kill()
	w.disk.Cut(way, w.rnd)
	w.wholeLines()
	if err := w.boot(); err != nil {
		return nil, err
	}
	all, left := make([]bucket.Stream, len(w.streams)), make([]bucket.Stream, len(w.streams))
	for i, s := range w.streams {
		all[i], left[i] = s, s
		text, err := os.ReadFile(s.Name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if n := bytes.Count(text, []byte("\n")); n < len(s.Lines) {
			left[i].Lines = s.Lines[:n:n]
		}
		w.streams[i].Lines = nil
	}
	if early {
		if err := w.log(moreLines); err != nil {
			return nil, err
		}
	}
	if p, err = w.Agent.Run(nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(w.ctx, onceLimit)
	defer cancel()
	if err := p.Ready(ctx); err != nil {
		return nil, err
	}
	if !early {
		if err := w.log(moreLines); err != nil {
			return nil, err
		}
	}
	if err := p.Stop(10 * time.Second); err != nil {
		return nil, err
	}
	for i, s := range w.streams {
		all[i].Lines = append(all[i].Lines[:len(all[i].Lines):len(all[i].Lines)], s.Lines...)
		left[i].Lines = append(left[i].Lines, s.Lines...)
	}
	once, err := w.Agent.Once(ctx)
	if exit := (*exec.ExitError)(nil); once != nil && errors.As(once.Err(), &exit) && exit.ExitCode() == 3 {
		err = nil // it tells of what is gone
	}
	if err != nil {
		return nil, err
	}
	if err := w.sane(); err != nil {
		return nil, err
	}
	objects, err := w.Objects(w.ctx)
	if err != nil {
		return nil, err
	}
	r, ever := bucket.Compare(left, objects), bucket.Compare(all, objects)
	r.Duplicated, r.Foreign, r.Reordered = max(r.Duplicated, ever.Duplicated), ever.Foreign, max(r.Reordered, ever.Reordered)
	r.Delivered = r.Written - r.Lost
	r.Details = append(r.Details, ever.Details...)
	return r, nil
}

// wholeLines takes the rest of a line off the end of each file: joined with the
// next line that is written, it would be one that nobody knows.
func (w *world) wholeLines() {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	for _, n := range w.disk.nodes {
		n.resize(int64(bytes.LastIndexByte(n.data, '\n') + 1))
		n.sync()
	}
}

// syncLogs makes the files of all inputs durable, under their names and an ending.
func (w *world) syncLogs(ending string) error {
	for _, path := range []string{filepath.Dir(w.streams[0].Name), w.streams[0].Name + ending, w.streams[1].Name + ending} {
		f, err := os.Open(path)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Case: the power fails under the logs.
func TestLogsCutShort(t *testing.T) {
	need(t)
	header()
	binary := binaryPath(t, "spoolship")
	for _, way := range []Way{Dropped, Prefix} {
		for early, name := range map[bool]string{false: "logs: cut short, the rest %s", true: "logs: cut short and written to before the start, the rest %s"} {
			c := class{name: fmt.Sprintf(name, way)}
			c.run(t, max(2, trials()/4), binary, func(w *world, _ int) (*bucket.Result, error) { return w.shortened(way, early) })
			c.row(t)
		}
	}
}

// deleted is a trial: the power fails under the logs while rotated files are
// deleted that have arrived. All lines were durable before, and arrive once,
// whatever of the deletion survives.
func (w *world) deleted(way Way, cuts *atomic.Int64) (*bucket.Result, error) {
	if err := w.logsOnDisk(); err != nil {
		return nil, err
	}
	for i := range w.cfg.Inputs {
		in := &w.cfg.Inputs[i]
		in.Include, in.DeleteAfterShip = []string{w.streams[i].Name + "*"}, time.Second
	}
	w.cfg.RotateWait, w.cfg.CloseInactive = 100*time.Millisecond, time.Second
	if err := errors.Join(w.cfg.Write(w.Agent.Config), w.log(firstLines/5)); err != nil {
		return nil, err
	}
	p, err := w.Agent.Run(nil)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	ctx, cancel := context.WithTimeout(w.ctx, onceLimit)
	defer cancel()
	for _, s := range w.streams {
		if err := errors.Join(w.Agent.WaitFollowed(ctx, s.Name), os.Rename(s.Name, s.Name+".1")); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.log(moreLines), w.syncLogs(".1"), w.syncLogs("")); err != nil {
		return nil, err
	}
	down := make(chan struct{})
	step := w.disk.Steps() + 1 + w.rnd.IntN(4)
	w.disk.Before(func(e Event) Verdict {
		if e.Step == step {
			w.disk.Off()
			close(down)
		}
		return Verdict{}
	})
	select {
	case <-down:
		cuts.Add(1)
	case <-time.After(5 * time.Second): // there are fewer steps
	case <-p.Done():
	}
	p.Kill()
	w.disk.Cut(way, w.rnd)
	if err := errors.Join(w.boot(), w.log(moreLines)); err != nil {
		return nil, err
	}
	return w.settle()
}

// Case: the power fails while files are deleted that have arrived.
func TestDeletionCut(t *testing.T) {
	need(t)
	header()
	var cuts atomic.Int64
	c := class{name: "logs: a cut while shipped files are deleted"}
	c.run(t, max(4, trials()/2), binaryPath(t, "spoolship"), func(w *world, i int) (*bucket.Result, error) {
		return w.deleted(Ways[i%len(Ways)], &cuts)
	})
	if c.row(t); cuts.Load() < 2 {
		t.Errorf("only %d cuts: nothing is deleted", cuts.Load())
	}
}
