package agent

import (
	"cmp"
	prio "container/heap"
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

// Backoff between attempts: full jitter over a window that doubles from
// backoffBase to backoffMax.
const (
	backoffBase = 200 * time.Millisecond
	backoffMax  = 10 * time.Second // after failures in passing
	refusedMax  = 30 * time.Second // after what the operator has to mend
)

const (
	// failingAfter is how many attempts under one prefix fail in passing, one
	// after the other, before the prefix is probed: single failures are daily
	// business. A refusal counts at once.
	failingAfter = 2
	// freshEvery and retryEvery are the least time from a failed probe of an input
	// to its next: of a prefix that was never tried, and of one that fails.
	freshEvery = 50 * time.Millisecond // twice as often as [chunk] max_new lets new ones come
	retryEvery = time.Second
	// nextMax and retryMax bound what failures make of the time to the next attempt at
	// all while the destination fails, and to the next probe of what fails.
	nextMax  = time.Second
	retryMax = 5 * time.Second
	// maxCorrections is how many corrections of the destination an input follows at
	// once before an upload of it succeeds: they are claims.
	maxCorrections = 2
	// stallAfter is how long an attempt may move no byte, at least, before others that
	// wait for its slot have it cancelled.
	stallAfter = 10 * time.Second
	// stallMax bounds how long a prefix is left alone that had a slot in vain.
	stallMax = 2 * time.Minute
)

// queue decides which chunk is tried next. It knows no clock and no network: its
// callers say what time it is and how attempts ended. It is not for concurrent use.
//
// The prefix of a chunk's key, up to the last slash, is the unit of failure: a
// policy, a bad field value or a sick partition of a store concern all keys under
// it. Under a prefix that works, chunks are tried by (due, Seq), as many at once as
// there are slots. One that fails is probed: one attempt at a time, with backoff,
// and few at once for all the failing prefixes of an input. A prefix that was never
// tried is believed to be as its input is. So a ready chunk of a prefix that works
// waits for a slot only, and slots come free: an attempt that moves no byte is
// cancelled when others wait (see stalled).
//
// The number of slots is the only thing that inputs share. It is halved while the
// destination fails or asks for less, down to one, and grows by one with each
// success: a store that comes back is not run over by everything that waited.
type queue struct {
	most, limit int
	probing     int           // of those running: probes
	failures    row           // in passing
	next        time.Time     // not before, while the destination fails
	retry       time.Time     // the same for probes of what fails
	turn        uint64        // counts picks
	slowest     time.Duration // of the attempts that succeeded lately

	inputs   map[string]*inputQueue
	attempts map[uint64]*attempt // of all chunks that are not acked, by Seq
	now      map[*attempt]bool   // those that are running
}

// inputQueue is the part of one input.
type inputQueue struct {
	lanes       map[string]*lane
	running     int
	served      uint64 // turn of the last pick
	failures    row
	refused     int  // failing lanes
	corrections int  // since the last success
	fresh       pace // of lanes that were never tried, while the input fails
	retry       pace // of lanes that fail
}

// row is failures one after the other. Those that were under way at once are one
// round: only what was tried after a failure says that it lasts.
type row struct {
	n, rounds int
	last      time.Time
}

func (r *row) add(began, now time.Time) {
	if r.n++; r.rounds == 0 || began.After(r.last) {
		r.rounds++
	}
	r.last = now
}

// pace bounds the probes of one kind.
type pace struct {
	running, window int
	next            time.Time // of another lane than last, which has its own backoff
	last            *lane
}

func (p *pace) done(l *lane, success bool, next time.Time) {
	p.running--
	p.last = l
	if success {
		p.window, p.next = p.window+1, time.Time{}
		return
	}
	p.window, p.next = 1, next
}

// lane is the chunks of one input under one prefix.
type lane struct {
	in       *inputQueue
	prefix   string
	waiting  attempts
	running  int
	works    time.Time // of its last success; zero: none, or it has failed since
	failing  bool
	failures row
	last     *sink.Error
	due      time.Time // of the next probe while it fails
}

// attempt is the next try of a chunk.
type attempt struct {
	tries
	seq   uint64
	state spool.ChunkState // of the chunk that was tried
	lane  *lane
	due   time.Time
	at    int // place in lane.waiting; -1: it is running
	kind  kind

	began  time.Time
	moved  atomic.Int64 // when a byte was last read for the upload, ns since 1970
	cancel context.CancelFunc
	slot   *pulse // while it is running
}

// tries is what the tries of one chunk so far say about the next.
type tries struct {
	n         int
	inDoubt   bool  // an earlier try may have been carried out
	cutShort  bool  // the last try was conditional and its connection broke
	spoilt    bool  // what may be there is not what was sent: it must be overwritten
	delivered bool  // only the ack is missing
	size      int64 // of the object that is delivered
	restored  int   // how often damaged blocks were rebuilt
	told      bool  // the destination has said when to come again
}

// kind is why an attempt is made.
type kind uint8

const (
	free  kind = iota // it is expected to succeed
	fresh             // nothing is known of its prefix, and its input fails
	retry             // a probe of a prefix that fails
)

// outcome is how an attempt ended. The zero outcome is a success.
type outcome uint8

const (
	succeeded outcome = iota
	refused           // the destination failed it
	again             // nothing is known of the destination; try at once
	held              // the chunk can't be read or acked now
	stopped           // the agent stops
)

func newQueue(most int) *queue {
	return &queue{
		most: most, limit: most,
		inputs: make(map[string]*inputQueue), attempts: make(map[uint64]*attempt), now: make(map[*attempt]bool),
	}
}

// resume is called when another shipper goes on with the queue: what the operator
// has changed may help, so all is due. What is known to fail is probed still.
func (q *queue) resume(most int, now time.Time) {
	q.most, q.limit, q.probing = most, min(most, q.limit), 0
	clear(q.now)
	q.failures, q.next, q.retry = row{}, time.Time{}, time.Time{}
	for _, in := range q.inputs {
		in.running, in.corrections, in.fresh, in.retry = 0, 0, newPace(), newPace()
		for _, l := range in.lanes {
			l.running, l.due, l.failures.rounds = 0, time.Time{}, 0
		}
	}
	for _, a := range q.attempts {
		a.n, a.told = 0, false
		if a.at < 0 {
			prio.Push(&a.lane.waiting, a)
		}
		a.due = now
	}
	for _, in := range q.inputs {
		for _, l := range in.lanes {
			prio.Init(&l.waiting)
		}
	}
}

func newPace() pace { return pace{window: 1} }

// prefixOf is what the keys of one lane have in common.
func prefixOf(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

// add takes in a chunk that is not open, to be tried from now on.
func (q *queue) add(c *spool.Chunk, now time.Time) *attempt {
	if a := q.attempts[c.Seq]; a != nil {
		return a
	}
	in := q.inputs[c.Input]
	if in == nil {
		in = &inputQueue{lanes: make(map[string]*lane), fresh: newPace(), retry: newPace()}
		q.inputs[c.Input] = in
	}
	prefix := prefixOf(c.Name)
	l := in.lanes[prefix]
	if l == nil {
		l = &lane{in: in, prefix: prefix}
		in.lanes[prefix] = l
	}
	a := &attempt{seq: c.Seq, state: c.State, lane: l, due: now}
	q.attempts[c.Seq] = a
	prio.Push(&l.waiting, a)
	return a
}

// take returns the attempt to make now, or nil and when to ask again (zero: after
// the next change). blocked says that there would be one if a slot were free.
func (q *queue) take(now time.Time) (a *attempt, wake time.Time, blocked *lane) {
	var best *lane
	var how kind
	full := len(q.now) >= q.most || q.busy(now) >= q.limit
	for _, in := range q.inputs {
		l, k, at := q.ready(in, now, full)
		if l == nil {
			wake = earlier(wake, at)
			continue
		}
		if best == nil || cmp.Or(q.likelier(l, k, best, how, full), cmp.Compare(in.running, best.in.running), cmp.Compare(in.served, best.in.served),
			cmp.Compare(l.waiting[0].seq, best.waiting[0].seq)) < 0 {
			best, how = l, k
		}
	}
	if best == nil {
		return nil, wake, nil
	}
	if full {
		return nil, wake, best
	}
	return q.start(best, how, now), time.Time{}, nil
}

// busy is how many attempts keep the destination busy: a probe of a prefix where
// it does not answer has a slot, and says nothing of the others.
func (q *queue) busy(now time.Time) (n int) {
	for a := range q.now {
		if a.kind != retry || a.idle(now) < retryEvery {
			n++
		}
	}
	return n
}

// idle is for how long a running attempt has moved no byte.
func (a *attempt) idle(now time.Time) time.Duration { return now.Sub(time.Unix(0, a.moved.Load())) }

// ready returns the lane of an input that is to be tried first and why, or when
// to look again.
func (q *queue) ready(in *inputQueue, now time.Time, full bool) (best *lane, how kind, wake time.Time) {
	stalls := false
	for a := range q.now {
		stalls = stalls || a.lane.in == in && a.idle(now) >= retryEvery
	}
	for _, l := range in.lanes {
		if len(l.waiting) == 0 {
			continue
		}
		k := l.kind(stalls)
		at, ok := q.allowed(l, k)
		if !ok {
			continue
		}
		if at.After(now) {
			wake = earlier(wake, at)
			continue
		}
		if best == nil || cmp.Or(q.likelier(l, k, best, how, full), l.compare(k, best, how)) < 0 {
			best, how = l, k
		}
	}
	return best, how, wake
}

// kind returns why a lane would be tried. stalls says that an attempt of its input
// moves no byte.
func (l *lane) kind(stalls bool) kind {
	switch {
	case l.failing:
		return retry
	case l.works.IsZero() && (stalls || l.in.failing()):
		return fresh
	}
	return free
}

// failing reports whether the last attempts of an input have failed, whatever
// their prefix was.
func (in *inputQueue) failing() bool {
	return in.failures.n >= failingAfter || in.failures.n > 0 && in.refused > 0
}

// likelier puts what is expected to succeed first while the destination fails, as
// few attempts are made then and a success ends that, and while there is no slot, as
// others give theirs up for nothing else.
func (q *queue) likelier(l *lane, k kind, o *lane, ok kind, full bool) int {
	if q.failures.n == 0 && !full {
		return 0
	}
	rank := func(l *lane, k kind) int {
		switch {
		case k != free:
			return 2
		case l.works.IsZero():
			return 1
		}
		return 0
	}
	return cmp.Compare(rank(l, k), rank(o, ok))
}

// compare orders the lanes of one input. Probes come first: there are few of them,
// and the others would never let them in.
func (l *lane) compare(k kind, o *lane, ok kind) int {
	how := cmp.Compare(ok, k)
	switch {
	case k == free && ok == free:
		how = cmp.Compare(l.running, o.running)
	case k == retry && ok == retry:
		how = l.due.Compare(o.due)
	}
	return cmp.Or(how, cmp.Compare(l.waiting[0].seq, o.waiting[0].seq))
}

// allowed returns when a lane may be tried; false: after another attempt has
// ended.
func (q *queue) allowed(l *lane, k kind) (at time.Time, ok bool) {
	at = later(l.waiting[0].due, q.next)
	p := l.in.pace(k)
	switch {
	case p == nil:
		return at, true
	case p.running >= p.window || q.probing >= max(1, q.most/2) || l.running > 0 && k == retry:
		return at, false
	}
	if k == retry {
		at = later(later(at, q.retry), l.due)
	}
	if l != p.last {
		at = later(at, p.next)
	}
	return at, true
}

// pace returns what bounds attempts of a kind; nil: only slots do.
func (in *inputQueue) pace(k kind) *pace {
	switch k {
	case fresh:
		return &in.fresh
	case retry:
		return &in.retry
	}
	return nil
}

func (q *queue) start(l *lane, k kind, now time.Time) *attempt {
	a := prio.Pop(&l.waiting).(*attempt)
	q.turn++
	l.in.served = q.turn
	a.kind, a.began = k, now
	a.moved.Store(now.UnixNano())
	q.now[a] = true
	l.in.running++
	l.running++
	if p := l.in.pace(k); p != nil {
		p.running++
		q.probing++
	}
	return a
}

// stalled returns what cancels a running attempt so that blocked can be tried, or
// when to look again. An attempt under the same prefix is left alone: it
// shows what would become of another.
func (q *queue) stalled(blocked *lane, now time.Time) (cancel context.CancelFunc, wake time.Time) {
	if blocked.running > 0 || blocked.failing {
		return nil, time.Time{}
	}
	var a *attempt
	var worst time.Time
	for r := range q.now {
		if r.lane == blocked || r.cancel == nil {
			continue
		}
		at := now.Add(q.patience() - r.idle(now))
		if a == nil || at.Before(worst) {
			a, worst = r, at
		}
	}
	if a == nil || worst.After(now) {
		return nil, worst
	}
	cancel, a.cancel = a.cancel, nil
	return cancel, time.Time{}
}

// patience is how long an attempt may move no byte while others wait for its slot.
// It grows with what the destination has needed lately. One that is slow from the
// first answer on is waited for as well: once its prefixes fail, nothing that is
// expected to succeed waits for the slot.
func (q *queue) patience() time.Duration { return max(stallAfter, 3*q.slowest) }

// done takes back an attempt. err is the destination's if it refused it. counts
// says that it did, and was not merely told how to be asked.
func (q *queue) done(a *attempt, o outcome, err *sink.Error, now time.Time) (counts bool) {
	l := a.lane
	in := l.in
	delete(q.now, a)
	a.cancel = nil
	in.running--
	l.running--
	success := o == succeeded
	if success {
		q.slowest = max(now.Sub(a.began), q.slowest*9/10)
		q.succeeded(l, a.kind, now)
		delete(q.attempts, a.seq)
	} else {
		a.due = now
		switch o {
		case refused:
			counts = q.refused(a, err, now)
		case held:
			a.due = now.Add(backoff(a.n, backoffMax, 0))
		}
		prio.Push(&l.waiting, a)
	}
	if p := in.pace(a.kind); p != nil {
		q.probing--
		wait := freshEvery
		if a.kind == retry {
			wait = spacing(retryEvery, retryMax, in.failures.rounds-1)
		}
		if idle := a.idle(now); q.most == 1 && idle >= stallAfter { // it had the only slot
			wait = min(3*idle, stallMax)
		}
		p.done(l, success, now.Add(wait))
	}
	if len(l.waiting) == 0 && l.running == 0 {
		q.forget(l)
	}
	return counts
}

// keptLanes is how many prefixes of an input without chunks are remembered to work.
const keptLanes = 256

// forget drops a lane without chunks, but not that its prefix works.
func (q *queue) forget(l *lane) {
	l.setFailing(false)
	if l.works.IsZero() {
		delete(l.in.lanes, l.prefix)
		return
	}
	var oldest *lane
	kept := 0
	for _, o := range l.in.lanes {
		if len(o.waiting) > 0 || o.running > 0 {
			continue
		}
		if kept++; oldest == nil || o.works.Before(oldest.works) {
			oldest = o
		}
	}
	if kept > keptLanes {
		delete(l.in.lanes, oldest.prefix)
	}
}

// remove takes out a chunk that is not running and not to be tried any more.
func (q *queue) remove(a *attempt) {
	delete(q.attempts, a.seq)
	if a.at >= 0 {
		prio.Remove(&a.lane.waiting, a.at)
	}
	if l := a.lane; len(l.waiting) == 0 && l.running == 0 {
		q.forget(l)
	}
}

func (q *queue) succeeded(l *lane, k kind, now time.Time) {
	in := l.in
	recovered, back := k != free && in.failing(), q.failures.n >= failingAfter
	if l.failures.n > 0 {
		l.wake(now)
	}
	l.works, l.failures, l.last = now, row{}, nil
	l.setFailing(false)
	in.failures, in.corrections = row{}, 0
	q.failures, q.next, q.retry = row{}, time.Time{}, time.Time{}
	q.limit = min(q.most, q.limit+1)
	if recovered {
		in.wake(now, true)
	}
	if back {
		for _, other := range q.inputs {
			other.wake(now, false)
		}
	}
}

// wake makes what waits after failures due: all of it, or what has failed in
// passing and was not told when to come again.
func (in *inputQueue) wake(now time.Time, all bool) {
	for _, l := range in.lanes {
		if all || l.last == nil || l.last.Class == sink.Temporary && l.last.RetryAfter == 0 {
			l.wake(now)
		}
	}
}

func (l *lane) wake(now time.Time) {
	l.due = time.Time{}
	for _, a := range l.waiting {
		if a.due.After(now) && !a.told {
			a.due = now
		}
	}
	prio.Init(&l.waiting)
}

func (l *lane) setFailing(on bool) {
	if on != l.failing {
		l.failing = on
		if on {
			l.in.refused++
		} else {
			l.in.refused--
		}
	}
}

// refused notes what a failure says of the chunk, its lane, its input and the
// destination.
func (q *queue) refused(a *attempt, e *sink.Error, now time.Time) (counts bool) {
	l, in := a.lane, a.lane.in
	passing := e.Class == sink.Temporary || e.Class == sink.Throttled
	if e.Class == sink.Adapted || e.Class == sink.NotConditional {
		if in.corrections++; in.corrections <= maxCorrections {
			return false
		}
	}
	idle := a.idle(now)
	l.failures.add(a.began, now)
	in.failures.add(a.began, now)
	l.works, l.last = time.Time{}, e
	a.told = e.RetryAfter > 0
	most := refusedMax
	if passing {
		most = backoffMax
	}
	a.due, l.due = now.Add(backoff(a.n, most, e.RetryAfter)), now.Add(backoff(l.failures.rounds, most, e.RetryAfter))
	if idle >= stallAfter { // it must not have a slot most of the time
		l.due = later(l.due, now.Add(min(3*idle, stallMax)))
	}
	if !passing || l.failures.n >= failingAfter || idle >= stallAfter {
		l.setFailing(true)
	}
	if !passing {
		return true
	}
	q.failures.add(a.began, now)
	if q.failures.n >= failingAfter {
		q.next = now.Add(spacing(backoffBase/4, nextMax, q.failures.rounds))
		q.retry = now.Add(backoff(q.failures.rounds, backoffMax, 0))
	}
	if q.failures.n >= failingAfter || e.Class == sink.Throttled {
		q.limit = max(1, q.limit/2)
	}
	return true
}

// mayDrop reports whether a chunk may be dropped: nobody uploads it, it has not
// arrived, and it is of a prefix that fails, or of one that does not.
func (q *queue) mayDrop(seq uint64, failing bool) bool {
	a := q.attempts[seq]
	return a != nil && !q.now[a] && !a.delivered && a.lane.failing == failing
}

// reset is called when a chunk has become a tombstone: another object, of which
// nothing was tried.
func (a *attempt) reset(s spool.ChunkState) { a.state, a.tries = s, tries{} }

// backoff returns a random time in the n-th window (n from 1), which is at most
// most, and never less than the destination asked for.
func backoff(n int, most, least time.Duration) time.Duration {
	return least + rand.N(spacing(backoffBase, most, n-1)) //nolint:gosec // jitter need not be secret
}

// spacing doubles base n times, up to most.
func spacing(base, most time.Duration, n int) time.Duration {
	return min(most, base<<min(max(0, n), 16))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// attempts is a heap by (due, Seq).
type attempts []*attempt

func (h attempts) Len() int { return len(h) }

func (h attempts) Less(i, j int) bool {
	return cmp.Or(h[i].due.Compare(h[j].due), cmp.Compare(h[i].seq, h[j].seq)) < 0
}

func (h attempts) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is called by package heap.
func (h *attempts) Push(x any) {
	a := x.(*attempt)
	a.at = len(*h)
	*h = append(*h, a)
}

// Pop is called by package heap.
func (h *attempts) Pop() any {
	old := *h
	a := old[len(old)-1]
	a.at = -1
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return a
}
