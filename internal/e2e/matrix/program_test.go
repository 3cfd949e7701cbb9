//go:build e2e

package matrix

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// program is a service that logs to one file at a steady rate. It opens the
// file anew when it is asked to over a named pipe, as a service does on
// SIGHUP, and answers once it has.
type program struct {
	path string
	rate int // lines per second

	mu          sync.Mutex
	file        *os.File
	generations []bucket.Stream
	written     int
	allowed     int // it pauses after that many, so that a slow machine makes no big data
	err         error

	stop context.CancelFunc
	done sync.WaitGroup
}

// tickEvery is how often lines are written, if the rate is higher.
const tickEvery = 5 * time.Millisecond

// startProgram writes the first line and goes on until halt.
func startProgram(t *testing.T, path string, rate int) *program {
	t.Helper()
	p := &program{path: path, rate: rate}
	for _, pipe := range []string{p.asked(), p.answered()} {
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Opened for both ways, so that opening waits for nobody.
	asked, err := os.OpenFile(p.asked(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.reopen(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = func() { stop(); asked.Close() }
	p.done.Go(func() { p.serve(asked) })
	p.done.Go(func() { p.run(ctx) })
	t.Cleanup(func() { p.halt(t) })
	return p
}

// The pipes lie beside the directory of the logs.
func (p *program) asked() string    { return filepath.Dir(p.path) + ".asked" }
func (p *program) answered() string { return filepath.Dir(p.path) + ".answered" }

// halt ends the program; it may be called again.
func (p *program) halt(t *testing.T) {
	t.Helper()
	p.stop()
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
	if p.err != nil {
		t.Error(p.err)
	}
}

// serve opens the file anew for each line that comes through the pipe.
func (p *program) serve(asked *os.File) {
	for b := make([]byte, 16); ; {
		if _, err := asked.Read(b); err != nil {
			return
		}
		p.note(p.reopen())
		answer, err := os.OpenFile(p.answered(), os.O_WRONLY, 0)
		p.note(err)
		if err == nil {
			_, err = answer.WriteString("done\n")
			p.note(err)
			answer.Close()
		}
	}
}

func (p *program) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// reopen starts a generation with a line of its own.
func (p *program) reopen() error {
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		p.file.Close()
	}
	p.file = f
	p.generation()
	return p.write(1)
}

// generation is called with mu held.
func (p *program) generation() {
	p.generations = append(p.generations, bucket.Stream{
		Input: inputName, Format: bucket.JSON, Name: fmt.Sprintf("%s, generation %d", p.path, len(p.generations)+1),
	})
}

// write writes n lines in one call; mu is held.
func (p *program) write(n int) error {
	var lines []byte
	for i := range n {
		lines = fmt.Appendf(lines, "{\"seq\":%d,\"text\":\"one of the lines of a busy service\"}\n", p.written+i)
	}
	if _, err := p.file.Write(lines); err != nil {
		return err
	}
	g := &p.generations[len(p.generations)-1]
	g.Lines = append(g.Lines, bytes.Split(lines[:len(lines)-1], []byte("\n"))...)
	p.written += n
	return nil
}

// run writes what the rate makes due.
func (p *program) run(ctx context.Context) {
	last, due := time.Now(), 0.0
	tick := time.NewTicker(max(tickEvery, time.Second/time.Duration(p.rate)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		due += now.Sub(last).Seconds() * float64(p.rate)
		last = now
		p.mu.Lock()
		due = min(due, float64(p.allowed-p.written))
		if n := int(due); n > 0 {
			due -= float64(n)
			if err := p.write(n); err != nil && p.err == nil {
				p.err = err
			}
		}
		p.mu.Unlock()
	}
}

// lines waits until n more lines are written. Half as many again may follow
// while the case does something else.
func (w *world) lines(p *program, n int) {
	w.t.Helper()
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.written
	}
	p.mu.Lock()
	want := p.written + n
	p.allowed = want + n/2
	p.mu.Unlock()
	w.eventually("lines are written", func() bool { return count() >= want },
		func() string { return fmt.Sprintf("%d of %d", count(), want) })
}

// truncated runs rotate while the program holds its breath: what is written
// between logrotate's copy and its truncation is lost before anyone sees it.
func (p *program) truncated(rotate func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rotate()
	p.generation()
	if err := p.write(1); err != nil && p.err == nil {
		p.err = err
	}
}
