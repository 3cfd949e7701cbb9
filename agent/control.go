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

const (
	// flushLook is how long events may take to tell of what was just written.
	flushLook = 200 * time.Millisecond
	// flushEvery is how often a flush looks whether lines are durable.
	flushEvery = 50 * time.Millisecond
)

// Flush ships what is in the files now, as far as the agent has seen it: it
// waits until that is spooled, closes all objects, and returns once they are
// in the bucket. At ctx's end it says what is not. Paused inputs are not read.
func (a *Agent) Flush(ctx context.Context) error {
	if !pause(ctx, ctx, flushLook) {
		return a.unflushed(ctx, "")
	}
	read, lag := a.read()
	for target := read + lag; lag > 0 && read < target; read, lag = a.read() {
		if !pause(ctx, ctx, flushEvery) {
			return a.unflushed(ctx, "not all is read yet")
		}
	}
	for ctx.Err() == nil {
		s := a.current.Load()
		if s != nil {
			last, err := sealNow(s.spool)
			if err == nil {
				return a.awaitAcks(ctx, last)
			}
			if !errors.Is(err, spool.ErrFull) && !ends(err) {
				return err
			}
		}
		pause(ctx, ctx, flushEvery) // the disk is full, or the spool is opened again
	}
	return a.unflushed(ctx, "objects can't be closed")
}

// read returns how many bytes were spooled since the start, and how many there
// are to read of inputs that are read.
func (a *Agent) read() (spooled, lag int64) {
	st := a.Status()
	lag = st.LagBytes
	for _, in := range st.Inputs {
		spooled += in.Bytes
		if !in.Paused.IsZero() {
			lag -= in.LagBytes
		}
	}
	return spooled, lag
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
	st := a.Status()
	if why == "" {
		why = fmt.Sprintf("%d objects are not in the bucket yet", st.SealedChunks)
	}
	if len(st.Problems) > 0 {
		why += fmt.Sprintf(" (%s: %s)", st.Problems[0].Title(), st.Problems[0].Error)
	}
	return fmt.Errorf("%s: %w", why, ctx.Err())
}
