package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// ErrIncomplete is returned by Run with Once when it is stopped before everything was
// shipped, and with Drain when that takes longer than DrainTimeout.
var ErrIncomplete = errors.New("stopped before everything was shipped; the rest is in the spool and its files")

// ErrUnread is how a run with Once ends that could not read everything.
var ErrUnread = errors.New("not everything could be read, the rest is shipped")

// session is the pipeline over one opened spool, by one setup.
type session struct {
	setup   *setup
	spool   *spool.Spool
	tailer  *tailer.Tailer
	intake  *intake
	roller  *roller
	shipper *shipper
	share   *share   // nil: nothing is shared
	pulses  []*pulse // of the loops

	deliveries *deliveries
	renamed    []Overlap                 // what began anew with this session
	twice      atomic.Pointer[[]Overlap] // nil: not looked for yet
}

// session runs the pipeline until ctx ends, all is shipped (Once), or a part
// fails. A new setup ends it at the border of a batch and starts the next one
// from what is durable, over the same spool and with the same open files. serve is called once the spool's lock is held: only then is the
// socket ours. opened says whether the spool could be opened.
func (a *Agent) session(ctx context.Context, suspect bool, serve func()) (opened bool, err error) {
	c := a.setup.Load().cfg
	a.opening.start()
	defer func() {
		// Tries to open it again that fail are one piece of work, so that it
		// shows when they go on for long: a restart may help. Room on the disk
		// is for others to make.
		if opened || errors.Is(err, spool.ErrFull) {
			a.opening.rest()
		}
	}()
	sp, err := spool.Open(spool.Options{
		Dir: c.Agent.StateDir, SegmentSize: int64(c.Spool.SegmentSize), MaxSize: int64(c.Spool.MaxSize),
		MinFree: int64(c.Spool.MinFree), Suspect: suspect, Logger: a.o.Logger, Hook: a.o.Hook,
	})
	if err != nil {
		return false, fmt.Errorf("open the spool: %w", err)
	}
	var s *session
	var held tailer.OpenFiles
	defer func() {
		held.Close()
		a.losses.report(true)
		a.replace(nil)
		a.opening.beat()
		err = errors.Join(err, sp.Close())
	}()
	for {
		su := a.setup.Load()
		shift, end := a.shift(ctx, su)
		if s, err = a.newSession(sp, su, s, held); err != nil {
			end()
			return true, err
		}
		a.replace(s)
		a.opening.rest()
		serve()
		err = s.run(ctx, shift, a)
		held = s.tailer.Release()
		renewed := shift.Err() != nil && ctx.Err() == nil
		end()
		if err != nil || !renewed {
			return true, err
		}
		a.opening.beat()
	}
}

// newSession makes a session that goes on from what is durable, from the
// session before it (nil: none), and with the files that that one had open.
func (a *Agent) newSession(sp *spool.Spool, su *setup, before *session, held tailer.OpenFiles) (*session, error) {
	c := su.cfg
	s := &session{setup: su, spool: sp}
	sp.SetLimits(int64(c.Spool.MaxSize), int64(c.Spool.MinFree), int64(c.Spool.SegmentSize))
	reading := &pulse{loop: "tailer"}
	s.intake = newIntake(sp, su.plans, c.S3.Prefix, time.Duration(c.Spool.CommitInterval), a.health, a.o.Hook)
	s.intake.reading = reading
	s.intake.once, s.intake.throttle = a.o.Once, newThrottle(int64(c.Agent.ReadRate))
	positions, err := sp.Positions()
	if err != nil {
		held.Close()
		return nil, fmt.Errorf("read positions: %w", err)
	}
	if positions, err = a.takeOver(sp, c, positions); err != nil {
		held.Close()
		return nil, err
	}
	s.renamed = RenamedFiles(c, positions)
	for i := range s.renamed {
		a.o.Logger.Warn(s.renamed[i].What(), "hint", s.renamed[i].Fix())
	}
	o := tailerOptions(su)
	a.markPaused(o.Inputs)
	for _, p := range positions {
		o.Positions = append(o.Positions, p.Data)
	}
	o.NextFile, o.Once, o.FlushPartial, o.Logger = sp.NextFile(), a.o.Once, a.o.FlushPartial, a.o.Logger
	o.Pulse, o.Hook, o.Open, o.KeepOpen = reading.set, a.o.Hook, held, true
	s.deliveries = &deliveries{spool: sp, waits: s.intake.waits, lost: lostChunks(sp), files: make(map[uint64]*delivery)}
	s.deliveries.inputs = make(map[string]bool)
	for i := range c.Inputs {
		s.deliveries.inputs[c.Inputs[i].Name] = true
	}
	if before != nil {
		s.deliveries.lost, s.deliveries.files = before.deliveries.lost, before.deliveries.files
	}
	o.Delivered = func(input int, files []uint64) []uint64 { return s.deliveries.of(input, c.Inputs[input].Name, files) }
	s.share = newShare(sp, su, a.health, s.intake)
	a.health.clear(causeBlocked)
	s.share.look()
	if s.share != nil {
		o.Blocked = s.share.blocked
	}
	if s.tailer, err = tailer.New(o, s.intake); err != nil {
		return nil, err
	}
	chunkOf := make(map[string]config.Chunk)
	for _, in := range c.Inputs {
		chunkOf[in.Name] = in.Chunk
	}
	lookup := func(input string) config.Chunk {
		if ch, ok := chunkOf[input]; ok {
			return ch
		}
		return c.Chunk // an input that was removed from the configuration
	}
	s.roller = &roller{spool: sp, blocked: s.share.blocks, pulse: pulse{loop: "roller"}, maxAge: func(input string) time.Duration { return time.Duration(lookup(input).MaxAge) }}
	s.shipper = &shipper{
		spool: sp, sink: su.sink, log: a.o.Logger, health: a.health, hook: a.o.Hook, done: &a.uploads, losses: a.losses,
		conditional: c.S3.Conditional,
		level: func(c *spool.Chunk) int {
			if ch := lookup(c.Input); ch.Compression == c.Codec {
				return ch.Level
			}
			return 1 // the level of another codec says nothing
		},
		plans:   su.plans,
		uploads: c.S3.MaxUploads,
	}
	if before == nil {
		s.shipper.begin(nil)
	} else {
		s.shipper.begin(before.shipper)
	}
	if c.Spool.WhenFull == "drop_oldest" {
		s.intake.drop = s.shipper.dropOldest
	}
	s.pulses = append([]*pulse{reading, &s.intake.pulse, &s.roller.pulse}, s.shipper.pulses...)
	return s, nil
}

// tailerOptions is the part of the configuration that the tailer needs.
func tailerOptions(su *setup) tailer.Options {
	c := su.cfg
	o := tailer.Options{
		ScanInterval: time.Duration(c.Agent.ScanInterval), PollInterval: time.Duration(c.Agent.PollInterval),
		RotateWait: time.Duration(c.Agent.RotateWait), CloseInactive: time.Duration(c.Agent.CloseInactive),
		MaxOpenFiles: c.Agent.MaxOpenFiles, Private: Private(c),
	}
	for i, in := range c.Inputs {
		o.Inputs = append(o.Inputs, tailer.Input{
			Name: in.Name, Include: in.Include, Exclude: in.Exclude,
			StartAtEnd: in.StartAt == "end", IgnoreOlder: time.Duration(in.IgnoreOlder), DeleteAfter: time.Duration(in.DeleteAfterShip),
			ByContent: in.Identity == "fingerprint", Links: tailer.LinkPolicy(in.FollowSymlinks), MaxLineSize: int(in.MaxLineSize),
			Events: su.plans[i].enc.Events(), EventWait: time.Duration(in.MultilineWait), Stream: su.plans[i].enc.Stream(), Unit: su.plans[i].unit,
			Fit: su.plans[i].fit, Objects: in.Framing == "json", Mark: su.plans[i].enc.Mark(),
			Unwrap: unwrap(su.plans[i].enc),
		})
	}
	return o
}

// unwrap is an encoder's Unwrap for the tailer, which does not know of records;
// nil if it has none.
func unwrap(e *chunk.Encoder) func(*tailer.Wrapped) {
	if !e.Unwraps() {
		return nil
	}
	return func(w *tailer.Wrapped) { e.Unwrap((*chunk.Wrapped)(w)) }
}

// run starts the parts and stops them in the order that data flows: tailer,
// intake, roller, shipper. The end of ctx, which is that of the agent or of
// its setup, stops the tailer, the rest follows; a failure of any part stops all
// at once.
func (s *session) run(agentCtx, ctx context.Context, a *Agent) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx)) // ends with a failure, or when a stop takes too long
	defer cancel()
	g, work := errgroup.WithContext(work)
	reading, stopReading := context.WithCancel(work)
	defer stopReading()
	defer context.AfterFunc(ctx, stopReading)()

	rolling, spooled := context.WithCancel(work) // ends when all that was read is durable
	defer spooled()
	sealed := make(chan struct{}) // closed when, with Once, all of that is sealed
	g.Go(func() error {
		s.intake.reading.beat()
		defer s.intake.reading.rest()
		err := a.o.Hook("tailer.start")
		if err == nil {
			err = s.tailer.Run(reading)
		}
		return errors.Join(err, s.intake.Close())
	})
	for range workers() {
		g.Go(s.intake.Work)
	}
	g.Go(func() error {
		defer spooled()
		if err := s.intake.Run(work, reading); !errors.Is(err, errStopped) {
			return err
		}
		return nil
	})
	// Whether all that is spooled is shipped before the end.
	finish := func() bool { return a.o.Once && ctx.Err() == nil || a.o.Drain && agentCtx.Err() != nil }
	g.Go(func() error { return s.roll(rolling, work, sealed, finish) })
	g.Go(func() error {
		stop, stopShipping := context.WithCancel(work)
		defer stopShipping()
		defer context.AfterFunc(ctx, func() {
			if finish() {
				a.health.hurry()
				if a.o.Drain && a.o.DrainTimeout > 0 {
					time.AfterFunc(a.o.DrainTimeout, func() {
						stopShipping()
						s.expire(agentCtx, cancel)
					})
				}
				return
			}
			stopShipping()
			s.expire(agentCtx, cancel) // uploads that run may end until then
		})()
		return s.shipper.Run(work, stop, sealed)
	})
	g.Go(func() error {
		if err := s.announce(reading, a); err != nil {
			return err
		}
		return s.watchOverlaps(rolling, a) // ends with a run with Once, too
	})
	g.Go(func() error {
		keepMemory(rolling, runtimeHeap())
		return nil
	})
	g.Go(func() error {
		a.growth.watch(rolling, s.spool)
		return nil
	})
	if s.share != nil {
		g.Go(func() error {
			s.share.watch(rolling)
			return nil
		})
	}
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // the stop's deadline; what was not finished is done after the next start
	}
	switch {
	case err != nil || ctx.Err() != nil && agentCtx.Err() == nil: // failed, or goes on with another setup
	case a.o.Once:
		err = s.complete(ctx, a)
	case a.o.Drain && s.spool.Len() > 0:
		err = a.incomplete(s)
	case s.spool.Len() > 0:
		a.o.Logger.Info("not uploaded yet; the next start goes on", "left", strings.Join(a.left(s), "; "))
	}
	return err
}

// expire ends what still runs when a stop has taken long enough.
func (s *session) expire(agentCtx context.Context, cancel func()) {
	timeout := time.Duration(s.setup.cfg.Agent.ShutdownTimeout)
	if agentCtx.Err() == nil {
		timeout = min(timeout, renewWait)
	}
	time.AfterFunc(timeout, cancel)
}

// complete says what a run with Once has left undone.
func (s *session) complete(ctx context.Context, a *Agent) error {
	if ctx.Err() != nil || s.spool.Len() > 0 {
		return a.incomplete(s)
	}
	a.tellLeft(s.tailer.Left())
	if n := s.shipper.done.snapshot().Tombstones; n > 0 {
		return fmt.Errorf("%w: %d chunks were dropped or set aside as damaged, their tombstones are in the bucket", ErrUnread, n)
	}
	for _, in := range s.tailer.Stats() {
		if in.LostBytes > 0 {
			return fmt.Errorf("%w: input %s: %d bytes were destroyed before", ErrUnread, in.Name, in.LostBytes)
		}
		if n := len(in.Errors) + in.MoreErrors; n > 0 {
			return fmt.Errorf("%w: input %s: %d files or directories can't be read, the first is %s: %s", ErrUnread, in.Name, n, in.Errors[0].Path, in.Errors[0].Problem)
		}
	}
	return nil
}

// tellLeft warns of the last lines and objects that a run with Once has left in the
// files, since they have no end yet.
func (a *Agent) tellLeft(left []tailer.Unread) {
	files, bytes := 0, int64(0)
	for _, u := range left {
		msg := "left the last line of a file, as it has no newline"
		switch u.Reason {
		case tailer.ReasonPartial:
		case tailer.ReasonTorn:
			msg = "left the last object of a file, as its end is missing"
		default:
			continue // of others it is told otherwise
		}
		if files++; files <= leftShown {
			a.o.Logger.Warn(msg, "input", u.Input, "path", u.Path, "bytes", u.Bytes, "hint", "run with --flush-partial to ship it as it is")
		}
		bytes += u.Bytes
	}
	if files > leftShown {
		a.o.Logger.Warn("left the last lines or objects of more files, as they have no end", "files", files-leftShown, "bytes_in_all", bytes, "hint", "run with --flush-partial to ship them as they are")
	}
}

// roll seals by age until everything is spooled, and then, if finish says so,
// the rest.
func (s *session) roll(rolling, work context.Context, sealed chan<- struct{}, finish func() bool) error {
	if err := s.roller.Run(rolling); err != nil || work.Err() != nil {
		return err
	}
	if !finish() {
		return nil
	}
	defer close(sealed)
	return s.roller.sealAll(work)
}

// announce tells once that files are followed.
func (s *session) announce(reading context.Context, a *Agent) error {
	select {
	case <-s.tailer.Ready():
		if !isClosed(s.setup.following) { // by an earlier session
			close(s.setup.following)
		}
		a.o.Logger.Info("following files", "inputs", len(s.setup.plans), "queue", s.spool.Stats().Queue)
		if a.o.Ready != nil {
			a.ready.Do(a.o.Ready)
		}
	case <-reading.Done():
	}
	return nil
}
