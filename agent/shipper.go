package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

// unhealthyAfter is how many attempts under one prefix fail in passing, one after
// the other, before health says so: single failures are daily business.
const unhealthyAfter = 3

// shipper puts sealed chunks, several at once, and acks them. One goroutine takes
// attempts from the queue as they are due and starts each in a goroutine of its own,
// so nothing waits with a chunk in hand. Its retry loop is the only one; nothing is
// given up because of an answer.
type shipper struct {
	spool       *spool.Spool
	sink        sink.Sink
	log         *slog.Logger
	health      *health
	hook        func(string) error
	conditional string // auto, always, never
	level       func(c *spool.Chunk) int
	plans       []plan // to rebuild damaged blocks by
	done        *uploadLog
	losses      *lossLog
	uploads     int           // at once
	pulses      []*pulse      // of the loop, and of each upload
	ended       chan struct{} // an attempt has

	mu    sync.Mutex
	queue *queue
	seen  uint64   // mark of the chunks that the queue knows
	plain bool     // the destination does not know If-None-Match
	slots []*pulse // of uploads: those that are free
}

// begin is called before Run. Without a shipper that has stopped to go on from,
// every chunk that is sealed already is in doubt: an earlier process, or an earlier
// session, may have put it.
func (s *shipper) begin(before *shipper) {
	s.ended, s.pulses = make(chan struct{}, 1), []*pulse{{loop: "shipper"}}
	for range s.uploads {
		s.slots = append(s.slots, &pulse{loop: "upload"})
	}
	s.pulses = append(s.pulses, s.slots...)
	if before != nil {
		s.queue, s.seen = before.queue, before.seen
		s.queue.resume(s.uploads, time.Now())
		return
	}
	s.queue = newQueue(s.uploads)
	for _, a := range s.admit() {
		a.inDoubt = true
	}
}

// admit takes the chunks into the queue that were sealed since it was last called.
func (s *shipper) admit() []*attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	chunks, mark := s.spool.Frozen(s.seen)
	s.seen = mark
	added := make([]*attempt, len(chunks))
	for i := range chunks {
		added[i] = s.queue.add(&chunks[i], time.Now())
	}
	return added
}

// Run ships until stop ends; uploads that run then are finished while ctx
// allows. With drain it returns once no chunk is left.
func (s *shipper) Run(ctx, stop context.Context, drain <-chan struct{}) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		s.dispatch(ctx, stop, drain, g)
		return nil
	})
	return g.Wait()
}

// dispatch starts attempts in g as they are due.
func (s *shipper) dispatch(ctx, stop context.Context, drain <-chan struct{}, g *errgroup.Group) {
	p := s.pulses[0]
	defer p.rest()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for stop.Err() == nil && ctx.Err() == nil {
		p.beat()
		changed := s.spool.Changed()
		draining := isClosed(drain) // before looking: all is sealed by then
		s.admit()
		wake := s.startDue(ctx, g)
		wait := drain
		if draining {
			if s.spool.Len() == 0 {
				return
			}
			wait = nil
		}
		var due <-chan time.Time
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
			due = timer.C
		}
		p.rest()
		select {
		case <-changed:
		case <-s.ended:
		case <-due:
		case <-wait:
		case <-stop.Done():
		case <-ctx.Done():
		}
	}
}

// startDue starts every attempt that is due and has a slot, and returns when to
// look again; zero: after the next change.
func (s *shipper) startDue(ctx context.Context, g *errgroup.Group) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		now := time.Now()
		a, wake, blocked := s.queue.take(now)
		if a == nil {
			if blocked != nil {
				cancel, at := s.queue.stalled(blocked, now)
				if cancel != nil {
					cancel()
				}
				wake = earlier(wake, at)
			}
			return wake
		}
		attemptCtx, cancel := context.WithCancel(ctx)
		a.cancel = cancel
		free := len(s.slots) - 1 // there is one for each that the queue gives
		a.slot, s.slots = s.slots[free], s.slots[:free]
		g.Go(func() error {
			defer cancel()
			err := s.ship(attemptCtx, ctx, a)
			select {
			case s.ended <- struct{}{}:
			default: // somebody looks anyway
			}
			return err
		})
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// ifAbsent reports whether the next try is conditional. A condition is worth its
// risk only where the object may be there already; a store may answer 412
// before it read the body and reset the connection, so after a broken
// conditional try the next one goes without.
func (a *tries) ifAbsent(mode string, plain bool) bool {
	switch {
	case plain || mode == "never" || a.cutShort || a.spoilt:
		return false
	case mode == "always":
		return true
	default:
		return a.inDoubt
	}
}

// ship makes one attempt: it puts the chunk and acks it. Only failures of the spool
// that end the session are returned. attemptCtx ends too when others need the slot.
func (s *shipper) ship(attemptCtx, ctx context.Context, a *attempt) error {
	a.slot.beat()
	c, ok := s.chunk(a.seq)
	if !ok {
		s.finish(a, succeeded, nil) // it was acked before
		return nil
	}
	if c.State != a.state { // it was dropped
		a.reset(c.State)
	}
	size, err := a.size, error(nil)
	if !a.delivered {
		size, err = s.try(attemptCtx, &c, a)
	}
	if err == nil {
		a.delivered, a.inDoubt, a.size = true, true, size
		return s.acked(&c, a)
	}
	var damage *spool.DamageError
	if errors.As(err, &damage) {
		if err = s.mend(&c, a, damage); err == nil {
			s.finish(a, again, nil)
			return nil
		}
	}
	var failed *sink.Error
	switch {
	case ctx.Err() != nil: // the deadline of a stop; the chunk stays
		s.finish(a, stopped, nil)
	case ends(err):
		s.finish(a, held, nil)
		return err
	case attemptCtx.Err() != nil:
		s.failed(&c, a, stalled(a))
	case errors.As(err, &failed):
		s.failed(&c, a, failed)
	default:
		// Whatever keeps this chunk from being read now, it is not lost, and
		// the others can go on.
		s.health.fail(problem{causeChunk, c.Input, chunkName(&c)}, "", fmt.Errorf("%s chunk %d: %w", c.Input, c.Number, err),
			"check the disk of the state directory; the chunk is held and tried again")
		s.finish(a, held, nil)
	}
	return nil
}

// chunk returns what the spool knows of a sealed chunk now.
func (s *shipper) chunk(seq uint64) (spool.Chunk, bool) {
	c, ok := s.spool.NextSealed(seq - 1)
	return c, ok && c.Seq == seq
}

// chunkName is what a chunk is called among those of its input.
func chunkName(c *spool.Chunk) string { return "chunk " + strconv.FormatUint(c.Number, 10) }

// finish gives an attempt back to the queue, and its slot with it: another goroutine
// may be at either from then on. It returns how many attempts under its prefix have
// failed one after the other; 0: the destination has not failed this one.
func (s *shipper) finish(a *attempt, o outcome, err *sink.Error) (failures int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.slot.rest()
	s.slots = append(s.slots, a.slot)
	if s.queue.done(a, o, err, time.Now()) {
		failures = a.lane.failures.n
	}
	return failures
}

// ends reports whether an error of the spool is one that only a new session, or
// an operator, gets over.
func ends(err error) bool {
	for _, e := range []error{spool.ErrOutcomeUnknown, spool.ErrVanished, spool.ErrClosed, spool.ErrNoChunk} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits for d; false means that it is time to stop.
func pause(ctx, stop context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop.Done():
	case <-ctx.Done():
	}
	return false
}

// try makes one attempt and returns the object's size once it is there.
func (s *shipper) try(ctx context.Context, c *spool.Chunk, a *attempt) (int64, error) {
	a.n++
	src := &source{}
	if c.State == spool.StateSealed {
		r, err := s.spool.OpenChunk(c.Seq)
		if err != nil {
			return 0, err
		}
		src.reader = r
	}
	codec, err := chunk.ParseCodec(c.Codec)
	if err != nil {
		return 0, fmt.Errorf("chunk %d of %s: %w", c.Number, c.Input, err)
	}
	body, err := chunk.NewBody(codec, s.level(c), src)
	if err != nil {
		return 0, err
	}
	if err := s.hook("put.before"); err != nil {
		return 0, &sink.Error{Code: "fault", Err: err}
	}
	s.mu.Lock()
	plain := s.plain
	s.mu.Unlock()
	o := &sink.Object{
		Key: c.Name, ContentType: "application/x-ndjson", Metadata: metadata(c, body.RawCRC()),
		Size: body.Size(), SHA256: body.SHA256(), Body: &watched{body, a}, IfAbsent: a.ifAbsent(s.conditional, plain),
	}
	a.slot.rest() // it has a timeout of its own
	began := time.Now()
	err = s.sink.Put(ctx, o)
	a.slot.beat()
	if src.err != nil {
		return 0, src.err // the spool's error, whatever the sink made of it
	}
	if errors.Is(err, sink.ErrExists) {
		err = nil // the key holds the content's digest: it is this very object
	}
	if err == nil {
		s.done.took(time.Since(began))
	}
	var failed *sink.Error
	if errors.As(err, &failed) {
		a.inDoubt = a.inDoubt || failed.InDoubt
		a.spoilt = a.spoilt || failed.Spoilt
		a.cutShort = o.IfAbsent && failed.Status == 0
		if failed.Class == sink.NotConditional {
			s.mu.Lock()
			s.plain = true
			s.mu.Unlock()
		}
	}
	return o.Size, err
}

// failed takes note of a failed attempt.
func (s *shipper) failed(c *spool.Chunk, a *attempt, e *sink.Error) {
	s.done.failed(e.Class)
	n := a.n
	failures := s.finish(a, refused, e)
	s.log.Debug("upload failed", "key", c.Name, "attempt", n, "code", e.Code, "error", e.Err)
	if failures == 0 { // the destination corrected the request
		message := "the destination corrects how it is asked; going on as it says"
		if e.Class == sink.NotConditional {
			message = "the destination does not know If-None-Match; going on without"
		}
		s.log.Warn(message, "input", c.Input, "error", e.Err, "hint", e.Hint)
		return
	}
	if failures >= unhealthyAfter || e.Class != sink.Temporary && e.Class != sink.Throttled {
		s.health.fail(problem{causeUpload, c.Input, a.lane.prefix}, e.Code, e, e.Hint)
	}
}

// stalled is how an attempt fails that was cancelled because others need its slot.
func stalled(a *attempt) *sink.Error {
	a.inDoubt = true
	return &sink.Error{
		Class: sink.Temporary, Code: "stalled", InDoubt: true, Hint: "see why the destination does not answer for these keys; others are uploaded meanwhile",
		Err: fmt.Errorf("no byte was moved for %s while other uploads waited", a.idle(time.Now()).Round(time.Second)),
	}
}

// acked acks c, which is delivered. From here on its blocks are given up. A disk
// without room for the ack is waited for.
func (s *shipper) acked(c *spool.Chunk, a *attempt) error {
	if err := s.hook("put.after"); err != nil {
		s.finish(a, held, nil)
		return fmt.Errorf("after the upload of %s: %w", c.Name, err)
	}
	waiting := problem{causeFull, "", "ack"}
	if err := s.spool.Ack(c.Seq); err != nil {
		if a.n++; errors.Is(err, spool.ErrFull) {
			s.health.fail(waiting, "ack", err, hintFull)
			err = nil
		} else {
			err = fmt.Errorf("ack %s: %w", c.Name, err)
		}
		s.finish(a, held, nil)
		return err
	}
	s.finish(a, succeeded, nil)
	s.health.ok(waiting)
	s.health.ok(problem{causeUpload, c.Input, a.lane.prefix})
	s.health.ok(problem{causeChunk, c.Input, chunkName(c)})
	s.health.ok(problem{cause: causeSpool})
	if c.State == spool.StateSealed { // what was damaged of it is restored
		s.health.ok(problem{causeDamage, c.Input, chunkName(c)})
	}
	if s.losses.over() {
		s.health.ok(problem{cause: causeDrop})
	}
	s.done.update(func(st *UploadStats) {
		st.LastKey, st.LastTime = c.Name, time.Now()
		st.Objects++
		st.Bytes += a.size
		if c.State == spool.StateTombstone {
			st.Tombstones++
			return
		}
		st.RawBytes += c.RawSize
		st.Records += c.Records
	})
	s.log.Debug("shipped", "key", c.Name, "records", c.Records, "bytes", a.size)
	return nil
}

// mend rebuilds what is damaged of c, or sets c aside.
func (s *shipper) mend(c *spool.Chunk, a *attempt, d *spool.DamageError) error {
	why, err := s.restore(c, a, d)
	if err != nil || why == nil {
		return err // the object is still the same, and so are the doubts
	}
	s.health.fail(problem{causeDamage, c.Input, chunkName(c)}, chunkName(c), fmt.Errorf("%s chunk %d: %w", c.Input, c.Number, why),
		"the chunk's blocks are in the state directory's quarantine folder and a tombstone object is shipped in its place; check the disk")
	if err := s.spool.Bury(c.Seq, "damaged: "+d.Err.Error()); err != nil {
		return fmt.Errorf("set chunk %d of %s aside: %w", c.Number, c.Input, err)
	}
	a.reset(spool.StateTombstone)
	return nil
}

// metadata of format 1 of the object.
func metadata(c *spool.Chunk, crc uint32) map[string]string {
	m := map[string]string{
		"spoolship-format":  "1",
		"spoolship-queue":   c.Queue,
		"spoolship-input":   c.Input,
		"spoolship-chunk":   strconv.FormatUint(c.Number, 10),
		"spoolship-records": strconv.FormatInt(c.Records, 10),
		"spoolship-crc32":   fmt.Sprintf("%08x", crc),
	}
	if c.State == spool.StateTombstone {
		m["spoolship-tombstone"] = string(c.Cause)
		m["spoolship-reason"] = c.Reason
		m["spoolship-lost-records"] = strconv.FormatInt(c.LostRecords, 10)
		m["spoolship-lost-bytes"] = strconv.FormatInt(c.LostSize, 10)
	}
	m["spoolship-first"] = time.Unix(0, c.First).UTC().Format(time.RFC3339Nano)
	m["spoolship-last"] = time.Unix(0, c.Last).UTC().Format(time.RFC3339Nano)
	return m
}

// watched notes when an upload moves.
type watched struct {
	io.ReadSeeker
	a *attempt
}

func (w *watched) Read(p []byte) (int, error) {
	w.a.moved.Store(time.Now().UnixNano())
	return w.ReadSeeker.Read(p)
}

// source feeds a chunk's blocks to the object. A tombstone has none.
type source struct {
	reader *spool.Reader
	err    error // the last failure: it may not survive its way through an HTTP client
}

func (s *source) Len() int {
	if s.reader == nil {
		return 0
	}
	return s.reader.Len()
}

func (s *source) Piece(i int) (chunk.Piece, error) {
	b, err := s.reader.Block(i)
	if err != nil {
		s.err = err
		return chunk.Piece{}, err
	}
	return chunk.Piece{Encoding: chunk.Encoding(b.Encoding), Data: b.Data, RawSize: b.RawSize, RawCRC: b.RawCRC}, nil
}
