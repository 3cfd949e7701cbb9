//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/spoolship/spoolship/agent"
)

// How often progress is shown on a terminal and elsewhere.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

// showProgress shows how much is spooled and left to ship until the returned
// function is called.
func showProgress(a *agent.Agent, w io.Writer) (stop func()) {
	show, every := lines(w), lineEvery
	finish := func() {}
	if onTerminal(w) {
		var chunks atomic.Int64
		bar, done := newBar(w, 0, decor.CountersKibiByte("% .1f / % .1f"), decor.AverageSpeed(decor.SizeB1024(0), " spooled, % .1f, "),
			decor.AverageETA(decor.ET_STYLE_GO), decor.Any(func(decor.Statistics) string { return fmt.Sprintf(" left; %d chunks to ship", chunks.Load()) }))
		show, every, finish = func(p progress) {
			chunks.Store(int64(p.chunks))
			bar.SetTotal(p.total, false)
			bar.SetCurrent(p.spooled)
		}, barEvery, done
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show(measure(a))
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
		finish()
	}
}

// isTerminal reports whether w is a terminal, of whatever size.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// onTerminal says whether w is a terminal that lines can be drawn on: one that
// has no width, as a program may make it, shows nothing of them.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0
}

// newBar shows a bar on a terminal until done is called; what is said beside it
// comes from right. A total of 0 is not known.
func newBar(w io.Writer, total int64, right ...decor.Decorator) (bar *mpb.Bar, done func()) {
	p := mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(barEvery))
	bar = p.AddBar(total, mpb.AppendDecorators(right...))
	return bar, func() {
		bar.Abort(false)
		p.Wait()
	}
}

// counter shows how many there were on a terminal and nothing elsewhere. A total
// of 0 is not known.
func counter(w io.Writer, what string, total int64) (add func(int), done func()) {
	if !onTerminal(w) {
		return func(int) {}, func() {}
	}
	count := decor.CurrentNoUnit(what + " %d")
	if total > 0 {
		count = decor.CountersNoUnit(what + " %d / %d")
	}
	bar, done := newBar(w, total, count)
	return bar.IncrBy, done
}

// meter shows how many of total bytes are done on a terminal, and nothing elsewhere.
func meter(w io.Writer, total int64) (show func(bytes int64), done func()) {
	if !onTerminal(w) {
		return func(int64) {}, func() {}
	}
	bar, done := newBar(w, total, decor.CountersKibiByte("% .1f / % .1f"))
	return bar.SetCurrent, done
}

// printShipped is the last word of a run with --once.
func printShipped(a *agent.Agent, w io.Writer, took time.Duration) {
	st := a.Status().Uploads
	printf(w, "shipped %s records in %s objects: %s of records as %s in %s\n", humanize.Comma(st.Records),
		humanize.Comma(st.Objects), size(st.RawBytes), size(st.Bytes), took.Round(10*time.Millisecond))
}

// progress is how far a run has come, in bytes of lines.
type progress struct {
	spooled, total int64
	chunks         int // not shipped yet
}

func measure(a *agent.Agent) progress {
	st := a.Status()
	p := progress{chunks: st.OpenChunks + st.SealedChunks}
	for _, in := range st.Inputs {
		p.spooled += in.Bytes
	}
	p.total = p.spooled + st.LagBytes
	return p
}

// lines prints progress for logs and pipes.
func lines(w io.Writer) func(progress) {
	began := time.Now()
	return func(p progress) {
		rate := float64(p.spooled) / time.Since(began).Seconds()
		left := "unknown"
		if rate > 0 {
			left = time.Duration(float64(p.total-p.spooled) / rate * float64(time.Second)).Round(time.Second).String()
		}
		printf(w, "spooled %s of %s, %s/s, %s left; %d chunks to ship\n", size(p.spooled), size(p.total), size(int64(rate)), left, p.chunks)
	}
}

// size prints bytes for people.
func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
