package tailer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// Run follows files until ctx ends (nil), the handler fails, or, with Once,
// all is read. It is called once.
func (t *Tailer) Run(ctx context.Context) error {
	t.start()
	defer t.stop()
	defer close(t.over)
	for {
		if err := t.step(ctx); err != nil || ctx.Err() != nil {
			if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
				return nil
			}
			return err
		}
		if t.o.Once && t.wakeAt.IsZero() && !t.asked && !t.blocked {
			return t.flush(ctx)
		}
		t.rest(ctx)
		t.wait(ctx)
	}
}

// pace is how long the tailer rests after it has read something. Writers of
// single lines would wake it for each; now what they write meanwhile is one
// read. A line that comes after silence does not wait, and it is short beside
// any commit interval that is kind to a disk.
const pace = 40 * time.Millisecond

// rest lets events gather, if the last step has read something.
func (t *Tailer) rest(ctx context.Context) {
	if !t.fed {
		return
	}
	t.fed = false
	timer := time.NewTimer(pace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (t *Tailer) start() {
	if !t.o.Poll && !t.o.Once {
		t.watch = newWatcher(t.log)
	}
}

func (t *Tailer) stop() {
	t.watch.close()
	for _, in := range t.inputs {
		for _, s := range in.surveys {
			s.close()
		}
	}
	if !t.o.KeepOpen {
		t.Release().Close()
	}
}

// step does all that can be done now: it scans if that is due, reads until
// there is nothing more to read, and says so.
func (t *Tailer) step(ctx context.Context) error {
	for ctx.Err() == nil {
		t.takeEvents()
		select {
		case r := <-t.reaches:
			t.begin(r)
		default:
		}
		now := t.now()
		switch due := t.scanDue(); {
		case !now.Before(due):
			if err := t.rescan(ctx); err != nil {
				return err
			}
			if err := t.tend(ctx); err != nil {
				return err
			}
		case !now.Before(t.polled.Add(t.o.PollInterval)):
			if err := t.tend(ctx); err != nil {
				return err
			}
		}
		progress, err := t.round(ctx)
		if err != nil {
			return err
		}
		t.fed = t.fed || progress
		if err := t.reachSome(ctx); err != nil {
			return err
		}
		if !progress && t.now().Before(t.scanDue()) {
			return t.h.Idle(ctx)
		}
	}
	return ctx.Err()
}

// scanDue is when the next scan has to be.
func (t *Tailer) scanDue() time.Time {
	if t.scanned.IsZero() {
		return t.scanned
	}
	interval := t.o.ScanInterval
	if !t.watch.working() {
		// A little early: what is written right after one look is to be durable
		// within the interval, not only read.
		interval = min(interval, t.o.PollInterval*19/20)
	}
	due := earliest(t.scanned.Add(interval), t.wakeAt)
	if t.asked {
		due = t.scanned
	}
	if due.Before(t.scanAt) && !t.glanceable() {
		due = t.scanAt
	}
	return due
}

// earliest returns the earlier of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// closeRead is for how long a file is held open that has been read to its end
// and was not seen growing.
const closeRead = 10 * time.Second

// tend looks at all open files, in case an event was missed, and ends or closes
// those that have been still for long.
func (t *Tailer) tend(ctx context.Context) error {
	t.polled = t.now()
	for _, f := range slices.SortedFunc(maps.Keys(t.tended), byID) {
		switch {
		case f.held && t.polled.Sub(f.heldAt) >= f.in.EventWait:
			if err := t.release(ctx, f); err != nil {
				return err
			}
		case !t.still(f):
			t.enqueue(f)
		case !f.rotated:
			t.closeFile(f)
		default:
			if err := t.end(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// still says whether f has not grown for long. While that was never seen, a
// look at all of it is enough: of many files most are not written to at all.
func (t *Tailer) still(f *file) bool {
	long := t.o.CloseInactive
	if f.atEnd && !f.grown && !f.rotated {
		long = min(long, closeRead)
	}
	return !f.waiting && !t.unread(f.in) && t.polled.Sub(f.active) >= long
}

// flush ends what is read once: nobody waits for the rest of an event. That of an
// object is one to wait for: without it, it is none.
func (t *Tailer) flush(ctx context.Context) error {
	t.flushing = true
	for _, f := range slices.SortedFunc(maps.Keys(t.tended), byID) {
		if f.held && f.in.Stream == nil {
			if err := t.release(ctx, f); err != nil {
				return err
			}
		}
	}
	if err := t.flushPartial(ctx); err != nil {
		return err
	}
	t.noteUnread()
	return t.h.Idle(ctx)
}

// flushPartial hands on the last lines that have no newline, if that is wanted.
func (t *Tailer) flushPartial(ctx context.Context) error {
	if !t.o.FlushPartial {
		return nil
	}
	if err := t.flushPacked(ctx); err != nil {
		return err
	}
	for _, in := range t.inputs {
		for _, fam := range in.families {
			for _, f := range fam.live {
				if f.pos.Packed > 0 || !t.openFile(f) {
					continue
				}
				data, end, err := t.block(f)
				if err == nil {
					data, end, err = t.written(ctx, f, data, end)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil || len(data) == 0 || !end {
					continue
				}
				if n, _, _ := f.frame(data); n > 0 {
					continue
				}
				if err := t.emit(ctx, f, data, 0, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// reachEvery is how often a call of Reach looks whether it waits for anything still.
const reachEvery = 50 * time.Millisecond

// wait sleeps until something happens or is due.
func (t *Tailer) wait(ctx context.Context) {
	due := t.scanDue()
	if len(t.tended) > 0 {
		due = earliest(due, t.polled.Add(t.o.PollInterval))
	}
	if len(t.reaching) > 0 {
		due = earliest(due, t.now().Add(reachEvery))
	}
	timer := time.NewTimer(max(0, due.Sub(t.now())))
	defer timer.Stop()
	t.o.Pulse(false)
	defer t.o.Pulse(true)
	select {
	case <-ctx.Done():
	case <-timer.C:
	case r := <-t.reaches:
		t.begin(r)
	case e, ok := <-t.watch.events():
		t.event(e, ok)
	case err := <-t.watch.errors():
		t.watch.failed(err)
		t.asked = true
	}
}
