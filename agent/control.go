package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// ErrNoInput is how a pause fails of an input that is not configured.
var ErrNoInput = errors.New("no such input")

// Pause stops reading the files of an input ("": of all inputs), or goes on with
// it. Rotations are followed meanwhile, and what is spooled is shipped. It holds
// until it is taken back or the process ends. It returns once it has effect.
func (a *Agent) Pause(ctx context.Context, input string, on bool) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	su := *a.setup.Load()
	found, changed := false, false
	a.mu.Lock()
	for i := range su.cfg.Inputs {
		name := su.cfg.Inputs[i].Name
		if input != "" && input != name {
			continue
		}
		found = true
		if _, is := a.paused[name]; is == on {
			continue
		}
		changed = true
		if on {
			a.paused[name] = time.Now()
		} else {
			delete(a.paused, name)
		}
	}
	a.mu.Unlock()
	switch {
	case !found:
		return fmt.Errorf("%w: %s", ErrNoInput, input)
	case !changed:
		return nil
	}
	a.o.Logger.Info(map[bool]string{true: "paused", false: "resumed"}[on], "input", input)
	su.following = make(chan struct{})
	return a.renew(ctx, &su)
}

// markPaused tells the tailer which inputs are paused.
func (a *Agent) markPaused(inputs []tailer.Input) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range inputs {
		_, inputs[i].Paused = a.paused[inputs[i].Name]
	}
}

// flushEvery is how often a flush looks whether lines are durable.
const flushEvery = 50 * time.Millisecond

// LeftError is returned by Flush when all is in the bucket that could be read, and
// some bytes could not.
type LeftError struct{ Left []tailer.Unread }

// Error says how many bytes of how many files are left, and names the first.
func (e *LeftError) Error() string {
	sum := int64(0)
	for _, u := range e.Left {
		sum += u.Bytes
	}
	first := e.Left[0]
	return fmt.Sprintf("%d bytes of %d files are not in the bucket: %s (input %s): %s", sum, len(e.Left), first.Path, first.Input, first.Reason)
}

// Flush ships what is in the files now: it has every file looked at once, waits
// until what stood in it is spooled, closes all objects, and returns once they are
// in the bucket. What can't be read for now it does not wait for: the error is a
// LeftError then. At ctx's end it says what is not.
func (a *Agent) Flush(ctx context.Context) error {
	left, err := a.reach(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		s := a.current.Load()
		if s != nil {
			last, err := sealNow(s.spool)
			if err == nil {
				err = a.awaitAcks(ctx, last)
				if err == nil && len(left) > 0 {
					err = &LeftError{left}
				}
				return err
			}
			if !errors.Is(err, spool.ErrFull) && !ends(err) {
				return err
			}
		}
		pause(ctx, ctx, flushEvery) // the disk is full, or the spool is opened again
	}
	return a.unflushed(ctx, "objects can't be closed")
}

// reach waits until what stands in the files now is spooled. It returns what can't
// be read for now. A session that ends meanwhile may not have read it: the next one is
// asked again.
func (a *Agent) reach(ctx context.Context) (left []tailer.Unread, err error) {
	for {
		if s := a.current.Load(); s != nil {
			if left, err = s.tailer.Reach(ctx); err == nil && a.durable(ctx, s) {
				return left, nil
			}
		}
		if !pause(ctx, ctx, flushEvery) {
			return nil, a.unflushed(ctx, "not all is read yet")
		}
	}
}

// durable waits until all that s has taken so far is. It returns false if s ends
// before.
func (a *Agent) durable(ctx context.Context, s *session) bool {
	for taken := s.intake.taken.Load(); s.intake.stored.Load() < taken; {
		if a.current.Load() != s || !pause(ctx, ctx, flushEvery) {
			return s.intake.stored.Load() >= taken
		}
	}
	return true
}

// sealNow seals all open chunks and returns the last chunk's number.
func sealNow(sp *spool.Spool) (last uint64, err error) {
	_, err = sp.Seal(func(spool.Chunk) bool { return true })
	for _, c := range sp.Chunks() {
		if c.State != spool.StateOpen {
			last = c.Seq
		}
	}
	return last, err
}

// awaitAcks waits until no chunk up to last is left.
func (a *Agent) awaitAcks(ctx context.Context, last uint64) error {
	for {
		var changed <-chan struct{}
		if s := a.current.Load(); s != nil {
			changed = s.spool.Changed()
			if c, ok := s.spool.NextSealed(0); !ok || c.Seq > last {
				return nil
			}
		}
		select {
		case <-changed:
		case <-time.After(time.Second): // the spool may have been opened anew
		case <-ctx.Done():
			return a.unflushed(ctx, "")
		}
	}
}

// unflushed is what a flush returns that did not end in time.
func (a *Agent) unflushed(ctx context.Context, why string) error {
	if why == "" {
		why = fmt.Sprintf("%s not in the bucket yet", plural(int64(a.Status().SealedChunks), "object"))
	}
	errs := []error{fmt.Errorf("%s: %w", why, ctx.Err())}
	if s := a.current.Load(); s != nil {
		for _, line := range a.left(s) {
			errs = append(errs, errors.New(line))
		}
	}
	return errors.Join(errs...)
}
