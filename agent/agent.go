// Package agent is the life of the agent: it opens the spool, starts the
// tailer, the intake, the roller and the shipper in the order that data flows
// and stops them in the same order, and answers questions on a socket.
//
//	files → tailer → intake → spool → roller → shipper → sink
//
// Only Run starts long-lived goroutines. All of them live within a session:
// from one opening of the spool to its closing. When a commit fails, nobody
// can know what is on disk; the session ends, the next one takes everything
// from disk again.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// Options are what an agent is made of.
type Options struct {
	Config  *config.Config // to begin with, see Reload
	Sink    sink.Sink
	Logger  *slog.Logger // nil means discard
	Version string       // shown in status

	Once         bool          // ship what is there, then return
	FlushPartial bool          // with Once: last lines without newline too
	Drain        bool          // when ctx ends, ship what is spooled before Run returns
	DrainTimeout time.Duration // how long that may take; 0: for ever

	// Hook is called with the name of each durable step; an error is treated
	// as the step's failure. Tests crash the process there.
	Hook func(step string) error
	// Reload, if set, answers POST /reload: it finds another configuration and
	// gives it to the agent's method Reload. An error of it refuses what it found.
	Reload func(ctx context.Context) (Change, error)
	// Ready, if set, is called when the spool is open and files are followed.
	Ready func()
}

// Agent runs the pipeline.
type Agent struct {
	o       Options
	setup   atomic.Pointer[setup]
	uploads uploadLog
	losses  *lossLog
	health  *health
	started time.Time
	ready   sync.Once
	current atomic.Pointer[session] // nil while no spool is open
	opening pulse                   // of opening and closing the spool
	hearts  hearts
	growth  growth

	verifying atomic.Bool   // one at a time reads the whole spool
	over      chan struct{} // closed when Run has returned
	reloading sync.Mutex
	pending   atomic.Pointer[[]string] // changed keys that wait for a restart

	mu       sync.Mutex
	endShift context.CancelFunc // ends what works by the present setup
	counters map[string]*inputCounters
	paused   map[string]time.Time         // inputs, and since when
	past     map[string]tailer.InputStats // sums of the sessions that are over
}

// New checks what the configuration alone can't: the key templates.
func New(o Options) (*Agent, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Hook == nil {
		o.Hook = func(string) error { return nil }
	}
	a := &Agent{
		o: o, health: newHealth(o.Logger), losses: newLossLog(o.Logger), started: time.Now(),
		opening: pulse{loop: "spool"}, hearts: hearts{limit: stuckAfter}, over: make(chan struct{}),
		counters: make(map[string]*inputCounters), paused: make(map[string]time.Time), past: make(map[string]tailer.InputStats),
	}
	if o.Once {
		a.health.hurry()
	}
	su, err := a.newSetup(o.Config, o.Sink)
	if err != nil {
		return nil, err
	}
	a.setup.Store(su)
	return a, nil
}

// newPlan turns the configuration of one input into what the intake needs.
func newPlan(c *config.Config, in *config.Input) (plan, error) {
	codec, err := chunk.ParseCodec(in.Chunk.Compression)
	if err != nil {
		return plan{}, err
	}
	key, err := chunk.ParseTemplate(in.Key)
	if err != nil {
		return plan{}, err
	}
	path, err := pathFields(in)
	if err != nil {
		return plan{}, err
	}
	times, err := inputTimes(in)
	if err != nil {
		return plan{}, err
	}
	format, err := chunk.ParseFormat(in.Format)
	if err != nil {
		return plan{}, err
	}
	charset, unit, ok := config.Charset(in.Encoding)
	if !ok {
		return plan{}, fmt.Errorf("encoding %q of input %q is not known", in.Encoding, in.Name)
	}
	return plan{
		name: in.Name, was: in.Was, key: key, codec: codec, level: in.Chunk.Level, limit: int64(in.Chunk.MaxSize), open: in.Chunk.MaxOpen,
		fresh:     newPartitions(in.Chunk.MaxNew, int64(c.Spool.MaxSize)),
		timeField: in.TimeField, times: times, path: path, split: key.Splits() || in.TimeField != "", maxLine: int(in.MaxLineSize), unit: unit,
		vars: chunk.KeyVars{Input: in.Name, Host: c.Agent.Host, Codec: codec},
		enc: chunk.NewEncoder(chunk.EncoderOptions{
			Format: format, InnerJSON: in.InnerFormat == "json", Charset: charset, Begins: begins(in), Validate: in.Validate == "full", Stream: in.Framing == "json",
			Fields: in.Fields, Static: in.StaticFields, Path: path, Drop: in.DropFields, Mask: in.MaskFields,
			Host: c.Agent.Host, MaxLineSize: int(in.MaxLineSize),
		}),
	}, nil
}

// begins says which lines begin an event; nil: all.
func begins(in *config.Input) func(line []byte) bool {
	switch {
	case in.MultilineStart != "":
		return regexp.MustCompile(in.MultilineStart).Match
	case in.MultilineContinue != "":
		goesOn := regexp.MustCompile(in.MultilineContinue)
		return func(line []byte) bool { return !goesOn.Match(line) }
	}
	return nil
}

// ExampleKey is the object key, prefix included, that a chunk of the input
// sealed now would get for lines of the file at path ("": some file), with
// placeholders for what only a chunk has, and the names of fields for their values.
func ExampleKey(c *config.Config, in *config.Input, path string) (string, error) {
	p, err := newPlan(c, in)
	if err != nil {
		return "", err
	}
	if err := checkPartitions(in, &p); err != nil {
		return "", err
	}
	p.vars.Time, p.vars.File, p.vars.Fields = time.Now(), cmp.Or(path, "/DIR/FILE"), p.key.Fields()
	for i, name := range p.vars.Fields {
		p.vars.Fields[i] = cmp.Or(p.enc.Always(path, name), name)
	}
	return p.key.Expand(c.S3.Prefix, p.vars)
}

// checkPartitions refuses a template whose variables could not be filled in, or
// would tell what must not leave the host.
func checkPartitions(in *config.Input, p *plan) error {
	key, path := p.key, p.path
	if in.TimeField != "" && !key.Timed() {
		return fmt.Errorf("key template %q has no variable of time, so time_field would be without effect; add {date}, or remove time_field", in.Key)
	}
	for _, f := range key.Fields() {
		_, static := in.StaticFields[f]
		container := in.Format == "cri" || in.Format == "docker"
		json := in.Format == "json" || container && in.InnerFormat == "json"
		if known := json || static || container && f == "stream" || slices.Contains(path.Names(), f); !known {
			return fmt.Errorf(`key template %q has {field:%s}, but lines of format = %q have no fields; add it with path_fields or static_fields`, in.Key, f, in.Format)
		}
	}
	for _, f := range append(key.Fields(), in.TimeField) {
		for _, hidden := range slices.Concat(in.DropFields, in.MaskFields) {
			if f == hidden || strings.HasPrefix(f, hidden+".") {
				return fmt.Errorf("key template %q would show the field %s in keys, which drop_fields or mask_fields is to keep on this host", in.Key, f)
			}
		}
	}
	return nil
}

// CheckKeys returns the problems of all key templates and of the fields that
// are added to records, each with its place in the file.
func CheckKeys(c *config.Config) config.Problems {
	var problems config.Problems
	seen := make(map[string]bool)
	for i := range c.Inputs {
		in := &c.Inputs[i]
		if found := checkFields(c, i); len(found) > 0 {
			problems = append(problems, found...)
			continue
		}
		if _, err := ExampleKey(c, in, ""); err != nil && !seen[in.Key] {
			seen[in.Key] = true
			where := "s3.key"
			if in.Key != c.S3.Key {
				where = fmt.Sprintf("input[%d].key", i)
			}
			file, line := c.Where(where)
			problems = append(problems, config.Problem{File: file, Line: line, Key: where, What: err.Error(), Got: fmt.Sprintf("%q", in.Key)})
		}
	}
	return problems
}

// Backoff between sessions while the spool can't be written.
const (
	reopenMin = 100 * time.Millisecond
	reopenMax = 10 * time.Second
)

// Run works until ctx ends (nil), everything is shipped (Once), or something
// fails for good. It returns within [agent] shutdown_timeout of ctx's end, or
// (Drain) when all that is spooled then is shipped. It is called once.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.over)
	defer a.serveTCP()()
	stopServing := func() {}
	defer func() { stopServing() }()
	serve := sync.OnceFunc(func() { stopServing = a.serve() })
	suspect := false
	for wait := reopenMin; ; wait = min(2*wait, reopenMax) {
		began := time.Now()
		opened, err := a.session(ctx, suspect, serve)
		unknown := errors.Is(err, spool.ErrOutcomeUnknown)
		suspect = unknown || suspect && !opened
		if !unknown && (opened || !waitable(err, suspect)) || ctx.Err() != nil {
			return err
		}
		a.health.fail(problem{cause: causeSpool}, "", err, "check the disk and its free space; the spool is opened again until it can be written")
		if time.Since(began) > reopenMax {
			wait = reopenMin
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if a.o.Once {
				return ErrIncomplete
			}
			return nil
		}
	}
}

// waitable says whether a spool that could not be opened may be so later: the
// disk is full, or it was fine a moment ago.
func waitable(err error, suspect bool) bool {
	return errors.Is(err, spool.ErrFull) || suspect && err != nil && !errors.Is(err, spool.ErrVanished)
}
