package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/tailer"
)

// setup is what one configuration makes. It does not change.
type setup struct {
	cfg       *config.Config
	sink      sink.Sink
	plans     []plan
	following chan struct{} // closed when files are followed by it
}

// newSetup checks what the configuration alone can't: the key templates.
func (a *Agent) newSetup(c *config.Config, dest sink.Sink) (*setup, error) {
	if problems := CheckKeys(c); len(problems) > 0 {
		return nil, problems
	}
	su := &setup{cfg: c, sink: dest, following: make(chan struct{})}
	for i := range c.Inputs {
		in := &c.Inputs[i]
		p, err := newPlan(c, in)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		p.counters = a.countersOf(in.Name)
		su.plans = append(su.plans, p)
	}
	return su, nil
}

// countersOf returns the counters of an input. They outlive configurations.
func (a *Agent) countersOf(input string) *inputCounters {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counters[input] == nil {
		a.counters[input] = &inputCounters{}
	}
	return a.counters[input]
}

// Change is what a reload found.
type Change struct {
	Changed []string `json:"changed"` // keys, as config.Diff names them
	Restart []string `json:"restart"` // those of them that take effect after a restart only
	// Files whose lines are shipped twice by the new configuration.
	Overlaps []Overlap `json:"overlaps,omitempty"`
}

// ErrEnded is how a reload fails of an agent that does not run any more.
var ErrEnded = errors.New("the agent has stopped")

// renewWait is how long a reload waits for uploads that are running. What is cut
// off is put again, and nothing is read meanwhile.
const renewWait = time.Second

// Reload puts another configuration and its sink to work, and returns once
// files are followed by it, or with ctx's error if that takes longer. After any
// other error the old ones stay. Uploads to the old sink have ended by then
// unless ctx has. Any goroutine may call it; calls take turns.
func (a *Agent) Reload(ctx context.Context, c *config.Config, dest sink.Sink) (Change, error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	old := a.setup.Load()
	change := Change{Changed: config.Diff(old.cfg, c), Restart: []string{}}
	for _, key := range change.Changed {
		if config.NeedsRestart(key) {
			change.Restart = append(change.Restart, key)
		}
	}
	su, err := a.newSetup(c.WithFixed(old.cfg), dest)
	if err != nil {
		return change, err
	}
	a.pending.Store(&change.Restart)
	if dest == old.sink && len(change.Changed) == len(change.Restart) {
		return change, nil
	}
	if change.Overlaps, err = a.overlaps(su.cfg); err != nil {
		return change, err
	}
	return change, a.renew(ctx, su)
}

// overlaps returns what would be shipped twice by a configuration.
func (a *Agent) overlaps(c *config.Config) ([]Overlap, error) {
	list, err := SharedFiles(c)
	if s := a.current.Load(); s != nil && err == nil {
		if positions, err := s.spool.Positions(); err == nil { // else its next commit tells
			list = append(list, RenamedFiles(c, positions)...)
		}
	}
	return list, err
}

// ReloadFailed makes a configuration that was refused known in log and status,
// until another is not.
func (a *Agent) ReloadFailed(err error) {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	a.health.fail(problem{cause: causeConfig}, text, errors.New(text), "fix it and reload; the agent works with the configuration that it had, but would not start with this one")
}

// Reloaded takes back what ReloadFailed said.
func (a *Agent) Reloaded() { a.health.ok(problem{cause: causeConfig}) }

// renew ends what works by the present setup, has the session go on with su,
// and waits until files are followed by it.
func (a *Agent) renew(ctx context.Context, su *setup) error {
	a.mu.Lock()
	a.setup.Store(su)
	if a.endShift != nil {
		a.endShift()
	}
	a.mu.Unlock()
	select {
	case <-su.following:
		return nil
	case <-a.over:
		return ErrEnded
	case <-ctx.Done():
		return fmt.Errorf("it is at work, but the files are not followed yet: %w", ctx.Err())
	}
}

// shift returns a context that ends with ctx, or when su is not the setup any
// more.
func (a *Agent) shift(ctx context.Context, su *setup) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endShift = end
	if a.setup.Load() != su {
		end()
	}
	return ctx, end
}

// replace makes s the session that status shows; what the one before has
// counted is kept.
func (a *Agent) replace(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.current.Swap(s)
	if old == nil {
		return
	}
	for _, t := range old.tailer.Stats() {
		sum := a.past[t.Name]
		addStats(&sum, &t)
		a.past[t.Name] = sum
	}
}

// now returns the session, what the earlier ones have counted, and the inputs
// that are paused.
func (a *Agent) now() (s *session, past map[string]tailer.InputStats, paused map[string]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current.Load(), maps.Clone(a.past), maps.Clone(a.paused)
}
