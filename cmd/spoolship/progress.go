//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cheggaaa/pb/v3"
	"github.com/dustin/go-humanize"
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
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		bar := pb.New64(0).Set(pb.Bytes, true).SetWriter(w).Start()
		show, every, finish = func(p progress) {
			bar.Set("suffix", fmt.Sprintf(" spooled, %d chunks to ship", p.chunks)).SetTotal(p.total).SetCurrent(p.spooled)
		}, barEvery, func() { bar.Finish() }
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

// printShipped is the last word of a run with --once.
func printShipped(a *agent.Agent, w io.Writer, took time.Duration) {
	st := a.Status().Uploads
	fmt.Fprintf(w, "shipped %s records in %s objects: %s of records as %s in %s\n", humanize.Comma(st.Records),
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
		fmt.Fprintf(w, "spooled %s of %s, %s/s, %s left; %d chunks to ship\n", size(p.spooled), size(p.total), size(int64(rate)), left, p.chunks)
	}
}

// size prints bytes for people.
func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
