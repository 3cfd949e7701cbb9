package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// batchSize is how many bytes of lines close a batch under load: large enough
// that two fsyncs a commit disappear beside compressing it, small enough that
// the few batches in flight stay within the memory budget.
const batchSize = 4 << 20

// batchWeight is how much they may weigh: what they become once they are
// encoded is bounded too, and so is what the spool has to take at once.
const batchWeight = 2 * pieceWeight

// plan is what the intake needs to know of one input.
type plan struct {
	name  string
	was   string // an earlier name, of which chunks may be left
	enc   *chunk.Encoder
	key   *chunk.Template
	vars  chunk.KeyVars // Time is filled in per batch
	codec chunk.Codec
	level int
	limit int64 // stored bytes of one chunk
	open  int   // chunks at once
	fresh int   // partitions begun a minute

	counters *inputCounters

	timeField string // dotted path; "": the time a line was read
	times     *chunk.Times
	path      *chunk.PathFields
	split     bool // lines are sorted by key

	maxLine int // bytes; longer lines are read in parts of this size
	unit    int // bytes of a character at least
}

// intake is the way from lines to durable blocks. The tailer's goroutine
// fills one batch at a time; the callers of Work encode and compress batches in any
// order; Run commits them strictly in read order, which is what makes the
// positions of a batch true when it is durable.
//
// A fixed number of batches goes round (free → filled → work → order → free),
// so a slow or full spool stops the tailer instead of filling memory. What costs
// memory, the lines themselves, goes a shorter way: an encoded batch has them no more.
type intake struct {
	spool    *spool.Spool
	plans    []plan
	prefix   string
	interval time.Duration
	hook     func(string) error
	health   *health
	clock    clock
	throttle *throttle                                  // of reading; nil: none
	once     bool                                       // what nothing here can end is not waited for
	drop     func(full error, size int64) (bool, error) // gives up what is oldest; nil: a full spool is waited for

	inFlight atomic.Int64 // bytes of lines taken and not yet durable
	taken    atomic.Int64 // bytes of lines, in all
	stored   atomic.Int64 // of these, durable
	waits    *waits       // of the same
	reading  *pulse       // of the tailer, which waits in calls of Span
	pulse    pulse        // of Run

	mu      sync.Mutex
	cur     *batch
	lastCut time.Time
	timer   *time.Timer
	closed  bool
	err     error // of a cut that could not be reported to the tailer

	free  chan *batch
	raws  chan []byte // empty buffers for lines
	work  chan *batch
	order chan *batch
}

// maxWorkers bounds the memory of batches in flight on large machines; that
// many compress more than a disk takes.
const maxWorkers = 4

// workers is how many goroutines should call Work.
func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// inputCounters count what became durable since the start.
type inputCounters struct {
	bytes, records, parts, invalid, empty, untimed, overflow atomic.Int64

	admission admission // of partitions; it outlives configurations too
}

func newIntake(sp *spool.Spool, plans []plan, prefix string, interval time.Duration, h *health, hook func(string) error) *intake {
	lines := workers() + 1 // one a worker, one being filled
	n := lines + maxGroup  // and those being committed
	in := &intake{
		spool: sp, plans: plans, prefix: prefix, interval: interval, hook: hook, health: h,
		clock:   clock{now: time.Now, every: time.Second, health: h},
		reading: &pulse{}, pulse: pulse{loop: "intake"}, waits: newWaits(len(plans)),
		raws: make(chan []byte, lines), free: make(chan *batch, n), work: make(chan *batch, n), order: make(chan *batch, n),
	}
	for range n {
		in.free <- newBatch(len(plans))
	}
	for range lines {
		in.raws <- nil
	}
	return in
}

// Span takes lines and the position after them. It implements tailer.Handler.
func (in *intake) Span(ctx context.Context, s *tailer.Span) error {
	// Not under the lock: what was taken before is cut on time meanwhile.
	in.reading.rest()
	if err := in.throttle.wait(ctx, len(s.Data)); err != nil {
		return err
	}
	in.reading.beat()
	weight := in.plans[s.Input].weigh(s.Path, s.Data)
	in.mu.Lock()
	defer in.mu.Unlock()
	if c := in.cur; c != nil && (len(c.raw)+len(s.Data) > batchSize || c.weight+weight > batchWeight) {
		in.cur.full = true
		if err := in.cut(); err != nil {
			return err
		}
	}
	b, err := in.current(ctx)
	if err != nil {
		return err
	}
	if len(b.spans[s.Input]) == 0 && len(s.Data) > 0 {
		in.waits.add(s.Input, b.born)
	}
	b.add(s, weight)
	in.inFlight.Add(int64(len(s.Data)))
	in.taken.Add(int64(len(s.Data)))
	if len(b.raw) >= batchSize || b.weight >= batchWeight || len(b.pos) >= batchSize {
		b.full = true
		return in.cut()
	}
	return nil
}

// Forget drops a file's position with the current batch.
func (in *intake) Forget(ctx context.Context, file uint64) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	b, err := in.current(ctx)
	if err != nil {
		return err
	}
	b.forgetFile(file)
	return nil
}

// Idle cuts at once if the last cut is a commit interval ago, so that a line
// of a quiet file does not wait for the timer.
func (in *intake) Idle(context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.cur == nil || time.Since(in.lastCut) < in.interval {
		return in.err
	}
	return in.cut()
}

// Close cuts what is left and lets Run end once it is committed. The tailer
// must have stopped.
func (in *intake) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed = true
	var err error
	if in.cur != nil {
		err = in.cut()
	}
	if in.timer != nil {
		in.timer.Stop()
	}
	close(in.work)
	close(in.order)
	return err
}

// current returns the batch being filled, waiting for a free one.
func (in *intake) current(ctx context.Context) (*batch, error) {
	if in.err != nil {
		return nil, in.err
	}
	if in.cur != nil {
		return in.cur, nil
	}
	in.reading.rest()
	if err := in.clock.settle(ctx, in.once); err != nil {
		return nil, err
	}
	var b *batch
	select {
	case b = <-in.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case b.raw = <-in.raws:
	case <-ctx.Done():
		in.free <- b
		return nil, ctx.Err()
	}
	in.reading.beat()
	in.cur = b
	b.born = time.Now()
	born := b.born
	in.timer = time.AfterFunc(in.interval, func() { in.cutLate(b, born) })
	return b, nil
}

// cutLate cuts b if it is still the batch that was begun at born.
func (in *intake) cutLate(b *batch, born time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.closed && in.cur == b && b.born.Equal(born) {
		in.err = in.cut()
	}
}

// cut closes the current batch. It never blocks: both channels have room for
// every batch there is.
func (in *intake) cut() error {
	if err := in.hook("intake.cut"); err != nil {
		return fmt.Errorf("cut a batch: %w", err)
	}
	b := in.cur
	b.size = int64(len(b.raw))
	in.cur = nil
	in.lastCut = time.Now()
	in.timer.Stop()
	in.order <- b
	in.work <- b
	return nil
}

// Work encodes and compresses batches until Close. workers() goroutines should
// call it.
func (in *intake) Work() error {
	w := newWorker(in.plans, in.prefix)
	for b := range in.work {
		b.err = w.encode(b)
		in.raws <- recycle(b.raw)
		b.raw = nil
		b.encoded <- struct{}{}
	}
	return nil
}

// Run commits batches until Close and all is durable, ctx ends, or a commit
// fails. While reading is not over, a full spool is waited for; after that,
// what does not fit stays in the files.
func (in *intake) Run(ctx, reading context.Context) error {
	defer in.pulse.rest()
	for {
		in.pulse.rest()
		group, err := in.gather(ctx)
		if err != nil || len(group) == 0 {
			return err
		}
		if err := in.commit(reading, group); err != nil {
			return err
		}
	}
}

const (
	// maxGroup is how many batches are committed at once where more is there to
	// be read. An fsync takes its processor with it for as long as it lasts.
	maxGroup = 3
	// groupWait is how long one of them waits for the next, which is under way:
	// many times what encoding takes, and little beside any commit interval.
	groupWait = 50 * time.Millisecond
	// groupSize is how many stored bytes are enough for one commit.
	groupSize = batchSize
)

// gather waits for the next batch, and for those to be committed with it. None
// is the end.
func (in *intake) gather(ctx context.Context) (group []*batch, err error) {
	var late <-chan time.Time
	var stored int
	for {
		select {
		case b, ok := <-in.order:
			if !ok {
				return group, nil
			}
			in.pulse.beat()
			<-b.encoded
			if b.err != nil {
				return nil, b.err
			}
			group = append(group, b)
			if stored += len(b.stored); !b.full || len(group) == maxGroup || stored >= groupSize {
				return group, nil
			}
			late = time.After(groupWait)
		case <-late:
			return group, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

const hintUntimed = "check time_field against a line of the file, and set time_format where it is written in another form"

// durable is called when all of b is.
func (in *intake) durable(b *batch) {
	b.count(in.plans)
	for i := range b.counts {
		if n := b.counts[i].Untimed; n > 0 && in.plans[i].counters.untimed.Load() == n {
			in.health.log.Warn("records have no time that can be read in time_field; their keys have the time they were read", "input", in.plans[i].name,
				"time_field", in.plans[i].timeField, "records", n, "hint", hintUntimed)
		}
	}
	in.inFlight.Add(-b.size)
	in.stored.Add(b.size)
	in.waits.durable(b.spans)
	b.reset()
	in.free <- b
}

// errStopped says that batches were given up because the agent stops while
// the spool is full. Their lines are still in the files.
var errStopped = errors.New("stopped while the spool was full")

// commit appends a group, waiting while the spool is full.
func (in *intake) commit(reading context.Context, group []*batch) error {
	out := make([]*spool.Batch, len(group))
	for i, b := range group {
		out[i] = &b.out
	}
	for {
		in.pulse.beat()
		changed := in.spool.Changed()
		err := in.spool.Append(out...)
		if err == nil {
			in.health.ok(problem{cause: causeFull})
			in.health.ok(problem{cause: causeSpool})
			for _, b := range group {
				in.durable(b)
			}
			return nil
		}
		if !errors.Is(err, spool.ErrFull) {
			return fmt.Errorf("append to the spool: %w", err)
		}
		if len(group) > 1 { // each needs less room
			for i := range group {
				if err := in.commit(reading, group[i:i+1]); err != nil {
					return err
				}
			}
			return nil
		}
		switch again, err := in.makeRoom(err, group[0]); {
		case err != nil:
			return err
		case again && reading.Err() == nil:
			continue
		}
		in.health.fail(problem{cause: causeFull}, "", err, hintFull)
		in.pulse.rest()
		select {
		case <-changed:
		case <-time.After(time.Second): // disk space comes back without a notice
		case <-reading.Done():
			return errStopped
		}
	}
}

// makeRoom lets what fills the spool be shipped, or dropped: chunks that are
// still open would wait for their age. It says whether b should be tried again
// at once. full is returned if there is nothing to ship and nobody to wait for.
func (in *intake) makeRoom(full error, b *batch) (again bool, err error) {
	if in.drop != nil {
		if again, err := in.drop(full, int64(len(b.stored))); again || err != nil {
			return again, err
		}
	}
	st := in.spool.Stats()
	switch {
	case st.OpenChunks > 0 && (st.SealedChunks == 0 || in.drop != nil):
		n, err := in.spool.Seal(func(spool.Chunk) bool { return true })
		if err != nil && !errors.Is(err, spool.ErrFull) {
			return false, fmt.Errorf("seal chunks: %w", err)
		}
		return n > 0 && in.drop != nil, nil
	case st.SealedChunks == 0 && in.once:
		return false, fmt.Errorf("append to the spool: %w", full)
	}
	return false, nil
}
