//go:build e2e

package matrix

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

// limit bounds every wait; nothing here takes as long unless it hangs.
const limit = time.Minute

// inputName is the one input of every case.
const inputName = "app"

// world is what one case happens in: a store, an agent that follows
// logs/*.log, and what must arrive.
type world struct {
	*rig.Rig
	t       *testing.T
	ctx     context.Context
	cfg     agentproc.Config
	proc    *agentproc.Proc // nil while the agent is stopped
	streams []bucket.Stream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "matrix") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := rig.New(ctx, dir, rig.Embedded, binary, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	w := &world{Rig: r, t: t, ctx: ctx, cfg: r.Config()}
	w.cfg.MaxAge = 200 * time.Millisecond
	w.cfg.Inputs = []agentproc.Input{{Name: inputName, Format: string(bucket.JSON), Include: []string{w.path("*.log")}}}
	t.Cleanup(func() {
		if w.proc != nil {
			w.proc.Kill()
		}
	})
	return w
}

// path is that of a watched file.
func (w *world) path(name string) string { return filepath.Join(w.Logs(), name) }

// must ends the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start starts the agent and waits until its first scan is done.
func (w *world) start() {
	w.t.Helper()
	w.run(w.Agent)
	w.status("the first scan", func(s agentproc.Status) bool { return s.Following })
}

// startFailing starts an agent that ends itself at a failpoint.
func (w *world) startFailing(failpoint string) {
	w.t.Helper()
	failing := w.Agent
	failing.Binary += "-failpoint"
	w.run(failing, "SPOOLSHIP_FAILPOINT="+failpoint)
}

func (w *world) run(a agentproc.Agent, env ...string) {
	w.t.Helper()
	w.must(w.cfg.Write(w.Agent.Config))
	p, err := a.Run(env)
	w.must(err)
	w.proc = p
	w.must(p.Ready(w.ctx))
}

// stop stops the agent gently.
func (w *world) stop() {
	w.t.Helper()
	p := w.proc
	w.proc = nil
	w.must(p.Stop(limit))
}

// status waits for a status of the running agent that is as wanted.
func (w *world) status(what string, wanted func(agentproc.Status) bool) {
	w.t.Helper()
	c := w.Agent.Client()
	defer c.Close()
	var last agentproc.Status
	w.eventually(what, func() bool {
		s, err := c.Status(w.ctx)
		if err == nil {
			last = s
		}
		return err == nil && wanted(s)
	}, func() string { return fmt.Sprintf("%+v", last) })
}

// eventually asks until it is so. seen says what was there instead.
func (w *world) eventually(what string, is func() bool, seen func() string) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s: not within %v: %s", what, limit, seen())
		}
	}
}

// spooled waits until n records in all were spooled since the agent's start.
func (w *world) spooled(n int64) {
	w.t.Helper()
	w.status(fmt.Sprintf("%d records", n), func(s agentproc.Status) bool {
		return len(s.Inputs) == 1 && s.Inputs[0].Records >= n
	})
}

// append adds text to a watched file and returns what came to be there.
func (w *world) append(name, text string) string {
	w.t.Helper()
	return w.appendTo(w.path(name), text)
}

func (w *world) appendTo(path, text string) string {
	w.t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	w.must(err)
	_, err = f.WriteString(text)
	w.must(err)
	w.must(f.Close())
	return text
}

// expect says that the lines of text must arrive, in this order.
func (w *world) expect(name string, text ...string) {
	s := bucket.Stream{Input: inputName, Format: bucket.Format(w.cfg.Inputs[0].Format), Name: name}
	for _, t := range text {
		for line := range strings.Lines(t) {
			s.Lines = append(s.Lines, []byte(strings.TrimSuffix(line, "\n")))
		}
	}
	w.streams = append(w.streams, s)
}

// events are n lines that no other call of this case gives.
func (w *world) events(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"stream\":%q,\"seq\":%d,\"text\":\"nothing special happened here\"}\n", name, i)
	}
	return b.String()
}

// arrives ships everything that is there, compares, and prints the row.
func (w *world) arrives() {
	w.t.Helper()
	if w.proc != nil {
		w.stop()
	}
	w.must(w.cfg.Write(w.Agent.Config))
	_, err := w.Agent.Once(w.ctx)
	w.must(err)
	r, err := w.Compare(w.ctx, w.streams)
	w.must(err)
	_, name, _ := strings.Cut(w.t.Name(), "/")
	fmt.Printf(rowFormat, strings.ReplaceAll(name, "_", " "), r.Written, r.Lost, r.Duplicated)
	if !r.OK() {
		var b strings.Builder
		r.Print(&b)
		log, _ := os.ReadFile(w.Agent.Log)
		w.t.Errorf("%d lines written, %d delivered, %d lost, %d duplicated, %d foreign, %d out of order:\n%s\nthe agent's log:\n%s",
			r.Written, r.Delivered, r.Lost, r.Duplicated, r.Foreign, r.Reordered, b.String(), log)
	}
}
