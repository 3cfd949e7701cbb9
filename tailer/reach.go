package tailer

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Unread are bytes of a file that were not handed on, and can't be for now.
type Unread struct {
	Input  string `json:"input"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

// Why bytes are left.
const (
	ReasonPaused     = "the input is paused"
	ReasonUnreadable = "the file can't be read"
	ReasonPartial    = "the last line has no newline yet"
	ReasonTorn       = "the last object has no end yet"
	ReasonWaiting    = "it is not known yet what happened to the file"
)

// ErrOver is returned by Reach when Run has ended.
var ErrOver = errors.New("the tailer has stopped")

// reach is a call of Reach.
type reach struct {
	began   time.Time
	targets []target // nil: the scan that it asked for is still to come
	left    []Unread // files that are not followed yet
	sum     int64    // of the offsets of those that are pending
	moved   time.Time
	answer  chan []Unread
}

// target is what stood in a file.
type target struct {
	f    *file
	size int64
}

// Reach has all files looked at once, whatever the intervals, and waits until what
// stood in them was handed on. It returns what can't be: it does not wait for a
// paused input, a file that can't be read, or the rest of a last line. Any goroutine
// may call it while Run works.
func (t *Tailer) Reach(ctx context.Context) ([]Unread, error) {
	r := &reach{answer: make(chan []Unread, 1)}
	select {
	case t.reaches <- r:
	case <-t.over:
		return nil, ErrOver
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case left := <-r.answer:
		return left, nil
	case <-t.over:
		return nil, ErrOver
	case <-ctx.Done():
		return nil, ctx.Err() // its answer has room to wait in
	}
}

// begin takes a call, which asks for a scan.
func (t *Tailer) begin(r *reach) {
	r.began = t.now()
	t.asked, t.scanAt = true, time.Time{}
	t.reaching = append(t.reaching, r)
}

// reachSome goes on with the calls of Reach, after a scan or a round.
func (t *Tailer) reachSome(ctx context.Context) error {
	for _, r := range slices.Clone(t.reaching) {
		if r.targets == nil {
			if t.verified.Before(r.began) || t.undecided() && t.now().Sub(r.began) < t.patience() {
				continue
			}
			t.aim(r)
			continue // they have a turn first
		}
		left, pending, err := t.reached(ctx, r)
		if err != nil {
			return err
		}
		if pending && t.now().Sub(r.moved) < t.patience() {
			continue
		}
		r.answer <- left
		t.reaching = slices.DeleteFunc(t.reaching, func(o *reach) bool { return o == r })
	}
	return nil
}

// patience is how long a call of Reach waits for a decision: longer than rotations,
// events and looks at files take.
func (t *Tailer) patience() time.Duration {
	wait := 4 * t.o.RotateWait
	for _, in := range t.inputs {
		wait = max(wait, in.EventWait)
	}
	return wait + 2*time.Second
}

// undecided reports whether files may be followed soon that are not yet.
func (t *Tailer) undecided() bool {
	for _, in := range t.inputs {
		for _, fam := range in.families {
			if fam.pending {
				return true
			}
		}
	}
	return false
}

// aim notes what stands in the files now, and gives each a turn.
func (t *Tailer) aim(r *reach) {
	r.targets, r.moved = []target{}, t.now()
	for _, in := range t.inputs {
		for _, fam := range in.families {
			for _, o := range fam.seen {
				if fam.pending && o.owner == nil && o.matched {
					r.left = append(r.left, Unread{in.Name, o.path, o.size, ReasonWaiting})
				}
			}
			for _, f := range fam.live {
				to := target{f, f.size}
				i, err := info{}, errors.New("unknown")
				switch {
				case f.pos.Packed > 0: // all of it
				case f.fd >= 0:
					i, err = statFD(f.fd)
				case f.seen != nil:
					i, err = statPath(f.seen.real)
				}
				if err == nil {
					to.size = max(to.size, i.size)
				}
				r.targets = append(r.targets, to)
				t.enqueue(f)
			}
		}
	}
}

// reached returns what is left of what r waits for. pending: more of that may be
// handed on soon.
func (t *Tailer) reached(ctx context.Context, r *reach) (left []Unread, pending bool, err error) {
	left, sum := slices.Clone(r.left), int64(len(t.surveys))
	for _, to := range r.targets {
		f := to.f
		rest := to.size - f.pos.Offset
		if f.pos.Done || rest <= 0 && !f.failed && (f.pos.Packed == 0 || f.atEnd) {
			continue
		}
		if f.held && t.now().Sub(f.active) >= f.in.EventWait {
			if err := t.release(ctx, f); err != nil {
				return nil, false, err
			}
		}
		why, wait := f.leftBecause()
		if wait {
			sum, pending = sum+f.pos.Offset, true
		}
		if rest = min(rest, f.size-f.pos.Offset); rest > 0 || f.failed { // but for space behind the last line
			left = append(left, Unread{f.in.Name, f.pos.Path, max(0, rest), why})
		}
	}
	if sum != r.sum {
		r.sum, r.moved = sum, t.now()
	}
	slices.SortFunc(left, func(a, b Unread) int { return compare(a.Path, b.Path) })
	return left, pending, nil
}

// leftBecause says why there are bytes left in f. wait: they may go soon.
func (f *file) leftBecause() (why string, wait bool) {
	switch {
	case f.in.Paused:
		return ReasonPaused, false
	case f.failed, f.bytes == unsure:
		return ReasonUnreadable, false
	case f.atEnd && !f.queued && !f.held && !f.gated():
		return ReasonPartial, false
	}
	return ReasonWaiting, true
}

// noteUnread notes, at the end of a run with Once, what it leaves in the files.
func (t *Tailer) noteUnread() {
	for _, in := range t.inputs {
		for _, fam := range in.families {
			for _, f := range fam.live {
				if rest := f.size - f.pos.Offset; rest > 0 {
					why, _ := f.leftBecause()
					if f.held { // with Input.Stream: all other events were released
						why = ReasonTorn
					}
					t.left = append(t.left, Unread{in.Name, f.pos.Path, rest, why})
				}
			}
		}
	}
	slices.SortFunc(t.left, func(a, b Unread) int { return compare(a.Path, b.Path) })
}

// Left returns what a run with Once has left in the files, after it.
func (t *Tailer) Left() []Unread { return t.left }
