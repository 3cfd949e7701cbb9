package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
)

// Rotation is how a log file is rotated.
type Rotation string

// The rotations. With both of them path.1 becomes path.2 and so on, and
// nothing is ever deleted.
const (
	Never        Rotation = "never"
	Rename       Rotation = "rename"       // path becomes path.1, a new file takes its place
	CopyTruncate Rotation = "copytruncate" // path is copied to path.1, then cut to nothing
)

// Writer is a program that logs to one path. The lines of each generation of
// the file are kept for the comparison. One goroutine at a time.
type Writer struct {
	Path     string
	Source   Source
	Rate     float64 // lines per second
	Rotation Rotation
	Every    time.Duration // mean time between rotations
	Partial  float64       // share of the writes that stop in the middle of a line for a moment
	Rand     *rand.Rand

	// Followed starts the rotation: a generation that was gone before the
	// agent ever knew the file is nobody's promise.
	Followed atomic.Bool

	file        *os.File
	generations []Generation
	buf         []byte
	pending     float64 // lines that are due
}

// Generation is what one generation of the file was given, line by line.
type Generation struct{ Lines [][]byte }

// Generations returns all lines by generation, the oldest first.
func (w *Writer) Generations() []Generation { return w.generations }

// Burst writes n lines at once, before Run.
func (w *Writer) Burst(n int) error {
	if err := w.open(); err != nil {
		return err
	}
	for ; n > 0; n -= min(n, 1000) {
		if err := w.write(w.take(min(n, 1000))); err != nil {
			return err
		}
	}
	return nil
}

// Run writes until ctx ends, and never ends in the middle of a line.
func (w *Writer) Run(ctx context.Context) error {
	if err := w.open(); err != nil {
		return err
	}
	defer w.file.Close()
	last := time.Now()
	rotate := last.Add(w.interval())
	for sleep(ctx, time.Duration(1+w.Rand.IntN(20))*time.Millisecond) {
		now := time.Now()
		w.pending += w.Rate * now.Sub(last).Seconds()
		last = now
		if n := int(w.pending); n > 0 {
			w.pending -= float64(n)
			if err := w.burst(ctx, w.take(n)); err != nil {
				return err
			}
		}
		if w.Rotation != Never && w.Followed.Load() && now.After(rotate) {
			if err := w.rotate(); err != nil {
				return fmt.Errorf("rotate %s: %w", w.Path, err)
			}
			rotate = now.Add(w.interval())
		}
	}
	return nil
}

// sleep waits for d; false says that ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// interval is the time to the next rotation: 0.5 to 1.5 times the mean.
func (w *Writer) interval() time.Duration {
	return w.Every/2 + time.Duration(w.Rand.Float64()*float64(w.Every))
}

func (w *Writer) open() error {
	if w.file != nil {
		return nil
	}
	f, err := os.OpenFile(w.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	w.file = f
	w.generations = append(w.generations, Generation{})
	return nil
}

// take makes n lines and keeps a copy of each.
func (w *Writer) take(n int) []byte {
	w.buf = w.buf[:0]
	for range n {
		w.buf = w.Source.Append(w.buf)
	}
	g := &w.generations[len(w.generations)-1]
	kept := bytes.Clone(w.buf)
	g.Lines = append(g.Lines, bytes.Split(kept[:len(kept)-1], []byte("\n"))...)
	return w.buf
}

// burst writes lines in one piece, or in two with a moment between them.
func (w *Writer) burst(ctx context.Context, lines []byte) error {
	if w.Rand.Float64() < w.Partial {
		at := w.Rand.IntN(len(lines))
		if err := w.write(lines[:at]); err != nil {
			return err
		}
		sleep(ctx, time.Duration(w.Rand.IntN(50))*time.Millisecond)
		lines = lines[at:]
	}
	return w.write(lines)
}

func (w *Writer) write(p []byte) error {
	_, err := w.file.Write(p)
	return err
}

// rotate starts a new generation.
func (w *Writer) rotate() error {
	if err := w.shift(); err != nil {
		return err
	}
	if w.Rotation == CopyTruncate {
		if err := w.copy(); err != nil {
			return err
		}
		w.generations = append(w.generations, Generation{})
		return w.file.Truncate(0)
	}
	if err := os.Rename(w.Path, w.Path+".1"); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	w.file = nil
	return w.open()
}

// shift makes room for path.1.
func (w *Writer) shift() error {
	for n := len(w.generations) - 1; n >= 1; n-- {
		if err := os.Rename(fmt.Sprintf("%s.%d", w.Path, n), fmt.Sprintf("%s.%d", w.Path, n+1)); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) copy() error {
	from, err := os.Open(w.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(w.Path + ".1")
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}
