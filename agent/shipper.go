package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

// Backoff between attempts: full jitter over a window that doubles from
// backoffBase to backoffMax.
const (
	backoffBase = 200 * time.Millisecond
	backoffMax  = 30 * time.Second
)

// unhealthyAfter is how many attempts of one chunk fail in passing before
// health says so: single failures are daily business.
const unhealthyAfter = 3

// shipper puts sealed chunks, oldest first, several at once, and acks them.
// Its retry loop is the only one; nothing is given up because of an answer.
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
	pulses      []*pulse // one for each upload at once
	ramp        *ramp

	mu      sync.Mutex
	claimed map[uint64]bool    // false: between two attempts
	earlier map[uint64]attempt // what was tried before of chunks that are not acked
	plain   bool               // the destination does not know If-None-Match
}

// doubt marks every chunk that is sealed already: an earlier process, or an
// earlier session, may have put it. It is called before anything is started.
func (s *shipper) doubt() {
	s.claimed, s.earlier = make(map[uint64]bool), make(map[uint64]attempt)
	for _, c := range s.spool.Chunks() {
		if c.State != spool.StateOpen {
			s.earlier[c.Seq] = attempt{inDoubt: true}
		}
	}
}

// resume goes on from a shipper that has stopped, in place of doubt.
func (s *shipper) resume(before *shipper) {
	s.claimed, s.earlier = make(map[uint64]bool), before.earlier
}

// Run ships until stop ends; uploads that run then are finished while ctx
// allows. With drain it returns once no chunk is left.
func (s *shipper) Run(ctx, stop context.Context, drain <-chan struct{}) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range s.pulses {
		g.Go(func() error {
			defer p.rest()
			for {
				p.rest()
				c, ok := s.next(ctx, stop, drain)
				if !ok {
					return nil
				}
				if err := s.ship(ctx, stop, &c, p); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// next waits for the oldest sealed chunk that nobody ships, and claims it.
func (s *shipper) next(ctx, stop context.Context, drain <-chan struct{}) (spool.Chunk, bool) {
	for stop.Err() == nil && ctx.Err() == nil {
		changed := s.spool.Changed()
		draining := isClosed(drain) // before looking: all is sealed by then
		c, ok := s.claim()
		if ok {
			return c, true
		}
		wait := drain
		if draining {
			if s.spool.Len() == 0 {
				return c, false
			}
			wait = nil
		}
		select {
		case <-changed:
		case <-wait:
		case <-stop.Done():
		case <-ctx.Done():
			return c, false
		}
	}
	return spool.Chunk{}, false
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *shipper) claim() (spool.Chunk, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, ok := s.spool.NextSealed(0); ok; c, ok = s.spool.NextSealed(c.Seq) {
		if _, ok := s.claimed[c.Seq]; !ok {
			s.claimed[c.Seq] = true
			return c, true
		}
	}
	return spool.Chunk{}, false
}

// release gives up the claim on a chunk that was acked, or keeps in mind what was
// tried, for a shipper that follows.
func (s *shipper) release(seq uint64, a *attempt, acked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.claimed, seq)
	if acked {
		delete(s.earlier, seq)
		return
	}
	a.n = 0 // the next try need not wait
	s.earlier[seq] = *a
}

// attempt is what the tries of one chunk so far say about the next.
type attempt struct {
	n        int
	inDoubt  bool // an earlier try may have been carried out
	cutShort bool // the last try was conditional and its connection broke
	spoilt   bool // what may be there is not what was sent: it must be overwritten
	restored int  // how often damaged blocks were rebuilt
}

// ifAbsent says whether the next try is conditional. A condition is worth its
// risk only where the object may be there already; a store may answer 412
// before it read the body and reset the connection, so after a broken
// conditional try the next one goes without.
func (a *attempt) ifAbsent(mode string, plain bool) bool {
	switch {
	case plain || mode == "never" || a.cutShort || a.spoilt:
		return false
	case mode == "always":
		return true
	default:
		return a.inDoubt
	}
}

// ship puts c until it is delivered or stop ends, and acks it. Only failures
// of the spool are returned.
func (s *shipper) ship(ctx, stop context.Context, c *spool.Chunk, p *pulse) error {
	s.mu.Lock()
	a := s.earlier[c.Seq]
	s.mu.Unlock()
	acked := false
	defer func() { s.release(c.Seq, &a, acked) }()
	for {
		p.rest()
		if !s.ramp.enter(ctx, stop) {
			return nil
		}
		p.beat()
		size, err := s.try(ctx, c, &a, p)
		works := s.ramp.leave(err)
		if err == nil {
			a.inDoubt = true
			acked, err = s.delivered(ctx, stop, c, size, p)
			return err
		}
		if ctx.Err() != nil {
			return nil // the deadline of a stop; the chunk stays
		}
		var damage *spool.DamageError
		if errors.As(err, &damage) {
			if err = s.mend(c, &a, damage); err == nil {
				continue
			}
		}
		wait := backoff(a.n, 0)
		var failed *sink.Error
		switch {
		case errors.As(err, &failed):
			if wait = s.failed(c, &a, failed); failed.RetryAfter > 0 {
				works = nil // the destination has said when
			}
		case ends(err):
			return err
		default:
			// Whatever keeps this chunk from being read now, it is not lost, and
			// the others can go on.
			works = nil
			s.health.fail(causeChunk, c.Name, fmt.Errorf("%s chunk %d: %w", c.Input, c.Number, err), "check the disk of the state directory; the chunk is held and tried again")
		}
		p.rest()
		if !s.wait(ctx, stop, c, &a, wait, works) {
			return nil
		}
	}
}

// wait lets d pass between two attempts of c, or less if the destination works
// again. c may be dropped meanwhile: it is its tombstone then. False says that it
// is time to stop.
func (s *shipper) wait(ctx, stop context.Context, c *spool.Chunk, a *attempt, d time.Duration, works <-chan struct{}) bool {
	s.mark(c.Seq, false)
	if !pauseOr(ctx, stop, d, works) {
		return false
	}
	s.mark(c.Seq, true)
	if was := c.State; s.refresh(c) && c.State != was {
		*a = attempt{}
	}
	return true
}

// mark says whether an attempt of a claimed chunk is running.
func (s *shipper) mark(seq uint64, running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed[seq] = running
}

// refresh makes c what the spool knows of it now.
func (s *shipper) refresh(c *spool.Chunk) bool {
	now, ok := s.spool.NextSealed(c.Seq - 1)
	if ok = ok && now.Seq == c.Seq; ok {
		*c = now
	}
	return ok
}

// ends says whether an error of the spool is one that only a new session, or
// an operator, gets over.
func ends(err error) bool {
	for _, e := range []error{spool.ErrOutcomeUnknown, spool.ErrVanished, spool.ErrClosed, spool.ErrNoChunk} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// pause waits for d; false says that it is time to stop.
func pause(ctx, stop context.Context, d time.Duration) bool { return pauseOr(ctx, stop, d, nil) }

// pauseOr is pause that early ends before its time.
func pauseOr(ctx, stop context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-early:
		return true
	case <-stop.Done():
	case <-ctx.Done():
	}
	return false
}

// try makes one attempt and returns the object's size once it is there.
func (s *shipper) try(ctx context.Context, c *spool.Chunk, a *attempt, p *pulse) (int64, error) {
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
		Size: body.Size(), SHA256: body.SHA256(), Body: body, IfAbsent: a.ifAbsent(s.conditional, plain),
	}
	p.rest() // it has a timeout of its own
	began := time.Now()
	err = s.sink.Put(ctx, o)
	p.beat()
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

// failed takes note of a failed attempt and returns how long to wait.
func (s *shipper) failed(c *spool.Chunk, a *attempt, e *sink.Error) time.Duration {
	s.done.failed(e.Class)
	s.log.Debug("upload failed", "key", c.Name, "attempt", a.n, "code", e.Code, "error", e.Err)
	if e.Class == sink.NotConditional {
		s.log.Warn("the destination does not know If-None-Match; going on without", "error", e.Err)
		return 0
	}
	if e.Class == sink.Adapted {
		s.log.Warn("the destination corrects how it is asked; going on as it says", "error", e.Err, "hint", e.Hint)
		return 0
	}
	if e.Class == sink.Config || a.n >= unhealthyAfter {
		s.health.fail(causeUpload, e.Code, e, e.Hint)
	}
	return backoff(a.n, e.RetryAfter)
}

// backoff returns a random time in the n-th window (n from 1), and never less
// than the destination asked for.
func backoff(n int, least time.Duration) time.Duration {
	window := backoffMax
	if n < 16 {
		window = min(backoffMax, backoffBase<<(n-1))
	}
	return least + rand.N(window) //nolint:gosec // jitter need not be secret
}

// delivered acks c. From here on its blocks are given up. A disk without room
// for the ack is waited for, until it is time to stop.
func (s *shipper) delivered(ctx, stop context.Context, c *spool.Chunk, size int64, p *pulse) (acked bool, err error) {
	if err := s.hook("put.after"); err != nil {
		return false, fmt.Errorf("after the upload of %s: %w", c.Name, err)
	}
	for {
		p.beat()
		err := s.spool.Ack(c.Seq)
		if err == nil {
			break
		}
		if !errors.Is(err, spool.ErrFull) {
			return false, fmt.Errorf("ack %s: %w", c.Name, err)
		}
		s.health.fail(causeFull, "ack", err, hintFull)
		p.rest()
		if !pause(ctx, stop, time.Second) {
			return false, nil
		}
	}
	s.health.ok(causeUpload)
	s.health.ok(causeChunk)
	s.health.ok(causeSpool)
	if s.losses.over() {
		s.health.ok(causeDrop)
	}
	s.done.update(func(st *UploadStats) {
		st.LastKey, st.LastTime = c.Name, time.Now()
		st.Objects++
		st.Bytes += size
		if c.State == spool.StateTombstone {
			st.Tombstones++
			return
		}
		st.RawBytes += c.RawSize
		st.Records += c.Records
	})
	s.log.Debug("shipped", "key", c.Name, "records", c.Records, "bytes", size)
	return true, nil
}

// mend rebuilds what is damaged of c, or sets c aside.
func (s *shipper) mend(c *spool.Chunk, a *attempt, d *spool.DamageError) error {
	why, err := s.restore(c, a, d)
	if err != nil || why == nil {
		return err // the object is still the same, and so are the doubts
	}
	if err := s.bury(c, d, why); err != nil {
		return err
	}
	*a = attempt{}
	return nil
}

// bury sets the damaged chunk aside, which can't be restored; c becomes its
// tombstone.
func (s *shipper) bury(c *spool.Chunk, d *spool.DamageError, why error) error {
	s.health.fail(causeDamage, c.Name, fmt.Errorf("%s chunk %d: %w", c.Input, c.Number, why),
		"the chunk's blocks are in the state directory's quarantine folder and a tombstone object is shipped in its place; check the disk")
	if err := s.spool.Bury(c.Seq, "damaged: "+d.Err.Error()); err != nil {
		return fmt.Errorf("set chunk %d of %s aside: %w", c.Number, c.Input, err)
	}
	s.refresh(c)
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
