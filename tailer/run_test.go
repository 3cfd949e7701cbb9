package tailer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// running is a tailer at work in its own goroutine, with short waits.
type running struct {
	*fixture
	done chan error
}

func run(t *testing.T, f *fixture, poll bool) *running {
	f.kill()
	o := f.o
	o.Poll = poll
	o.ScanInterval, o.PollInterval = time.Hour, time.Hour
	if poll {
		o.PollInterval = 5 * time.Millisecond
	}
	o.RotateWait, o.CloseInactive = 20*time.Millisecond, 50*time.Millisecond
	o.Positions = f.c.positions(len(f.c.log))
	tl, err := New(o, f.c)
	f.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{f, make(chan error, 1)}
	go func() { r.done <- tl.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	})
	<-tl.Ready()
	return r
}

// await waits until text was handed on.
func (r *running) await(text string) {
	r.t.Helper()
	late := time.After(10 * time.Second)
	for {
		r.c.mu.Lock()
		change := r.c.change
		r.c.mu.Unlock()
		if r.c.text() == text {
			return
		}
		select {
		case <-change:
		case <-late:
			r.t.Fatalf("handed on %q, want %q\n%s", r.c.text(), text, r.c.dump())
		}
	}
}

// TestRun drives files under a tailer that hears of changes by inotify only,
// and under one that only polls.
func TestRun(t *testing.T) {
	for name, poll := range map[string]bool{"inotify": false, "poll": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "**/*.log")
			f.append("a.log", "one\n")
			r := run(t, f, poll)
			r.await("one\n")
			f.append("a.log", "two\n")
			r.await("one\ntwo\n")
			f.rename("a.log", "a.log.1")
			f.append("a.log.1", "late\n")
			r.await("one\ntwo\nlate\n")
			f.append("a.log", "new\n")
			r.await("one\ntwo\nlate\nnew\n")
			f.tick()
			f.rename("a.log.1", "a.log.2")
			f.copy("a.log", "a.log.1")
			f.truncate("a.log")
			f.append("a.log", "3\n")
			r.await("one\ntwo\nlate\nnew\n3\n")
			f.remove("a.log")
			f.append("sub/dir/b.log", "b\n")
			r.await("one\ntwo\nlate\nnew\n3\nb\n")
		})
	}
}

func TestOnce(t *testing.T) {
	for _, flush := range []bool{false, true} {
		f := newFixture(t, "*.log")
		f.append("a.log", "one\npart")
		f.append("b.log", "gone\n")
		f.step()
		f.kill()
		f.truncate("b.log") // a decision that has to be waited for
		f.append("b.log", "b\n")
		f.o.Positions = f.c.positions(len(f.c.log))
		f.o.Once, f.o.FlushPartial, f.o.RotateWait = true, flush, 10*time.Millisecond
		tl, err := New(f.o, f.c)
		f.must(err)
		f.must(tl.Run(t.Context()))
		want := "one\ngone\nb\n"
		if flush {
			want = "one\ngone\n" + "b\npart"
		}
		f.want(want)
	}
}

// Space that a writer has allocated ahead is no part of the last line.
func TestFlushWithoutNULs(t *testing.T) {
	f := newFixture(t, "*.log")
	f.kill()
	f.o.Once, f.o.FlushPartial = true, true
	f.append("a.log", "one\npart\x00\x00\x00\x00")
	f.append("b.log", "\x00\x00")
	tl, err := New(f.o, f.c)
	f.must(err)
	f.must(tl.Run(t.Context()))
	f.want("one\npart")
}

func TestHandlerErrorEndsRun(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.c.err = errors.New("no room")
	if err := f.Run(t.Context()); !errors.Is(err, f.c.err) {
		t.Errorf("got %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Inputs: []Input{{Name: "app", Include: []string{"/l/[a"}}}}, "malformed"},
		{Options{Inputs: []Input{{Name: "app", Include: []string{"*.log"}}}}, "relative"},
		{Options{Positions: [][]byte{{9, 9, 9}}}, "position 1 of 1: position: format 9"},
	} {
		if _, err := New(c.o, newCollector(1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	// A pattern that matches nothing, in a directory that is not there, is fine.
	tl, err := New(Options{Inputs: []Input{{Name: "app", Include: []string{filepath.Join(dir, "no/such/*.log")}}}, Once: true}, newCollector(1))
	if err == nil {
		err = tl.Run(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

// A directory that can't be listed has lost nothing.
func TestUnlistableDirectory(t *testing.T) {
	f := newFixture(t, "logs/*.log")
	f.append("logs/a.log", "one\n")
	f.step()
	f.pass(idle)
	f.rename("logs", "away")
	f.must(os.WriteFile(f.path("logs"), nil, 0o644)) // not a directory
	f.pass(idle)
	f.pass(idle)
	f.remove("logs")
	f.rename("away", "logs")
	f.append("logs/a.log", "two\n")
	f.step()
	f.want("one\ntwo\n")
	if s := f.stats(); len(s.Errors) != 0 || s.LostBytes != 0 || s.Files != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// An overflow of the kernel's queue costs a scan; a full table of watches, polling.
func TestWatcherTroubles(t *testing.T) {
	f := newFixture(t, "*.log")
	f.step()
	events := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error, 1)}
	f.watch = &watcher{w: events, log: f.log}
	events.Errors <- fsnotify.ErrEventOverflow
	f.takeEvents()
	if !f.asked {
		t.Error("an overflow asks for no scan")
	}
	f.asked = false
	if due := f.scanDue(); !due.Equal(f.scanned.Add(f.Tailer.o.ScanInterval)) {
		t.Errorf("watching, the next scan is %v after the last", due.Sub(f.scanned))
	}
	f.watch.full = true
	if due := f.scanDue(); due.After(f.scanned.Add(f.Tailer.o.PollInterval)) {
		t.Errorf("polling, the next scan is %v after the last", due.Sub(f.scanned))
	}
	f.watch = nil
}

// BenchmarkRead is the read path alone, over a file in the page cache.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	line := strings.Repeat("x", 449) + "\n"
	path := filepath.Join(dir, "a.log")
	if err := os.WriteFile(path, []byte(strings.Repeat(line, 256<<20/len(line))), 0o644); err != nil {
		b.Fatal(err)
	}
	i, err := statPath(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(i.size)
	for b.Loop() {
		t, err := New(Options{Inputs: []Input{{Name: "app", Include: []string{path}}}, Once: true}, discard{})
		if err == nil {
			err = t.Run(b.Context())
		}
		if err != nil || t.Stats()[0].BytesRead != i.size {
			b.Fatal(err, t.Stats())
		}
	}
}

// BenchmarkIdleScan is a scan of 10,000 files of which none has changed.
func BenchmarkIdleScan(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		fd, err := unix.Open(filepath.Join(dir, strings.Repeat("n", i%50)+string(rune('a'+i%26))+time.Duration(i).String()+".log"), unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
	t, err := New(Options{Inputs: []Input{{Name: "app", Include: []string{dir + "/*.log"}}}, Poll: true}, discard{})
	if err != nil {
		b.Fatal(err)
	}
	t.start()
	defer t.stop()
	for b.Loop() {
		t.asked, t.scanAt = true, time.Time{}
		if err := t.step(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGlance is what the timer costs with 10,000 files of which none has changed.
func BenchmarkGlance(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("service-%05d.log", i)), []byte("a line\n"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	t, err := New(Options{Inputs: []Input{{Name: "app", Include: []string{dir + "/*.log"}}}, Poll: true}, discard{})
	if err != nil {
		b.Fatal(err)
	}
	t.start()
	defer t.stop()
	for range 2 {
		t.asked = true
		if err := t.step(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() {
		if !t.glance(t.sight.names) {
			b.Fatal("something seems to have changed")
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10_000, "heap-B/file")
}

type discard struct{}

func (discard) Span(context.Context, *Span) error    { return nil }
func (discard) Forget(context.Context, uint64) error { return nil }
func (discard) Idle(context.Context) error           { return nil }

// TestRest: only what follows a read waits, and not longer than the agent's stop.
func TestRest(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	if !f.fed {
		t.Error("a step that read something does not say so")
	}
	f.fed = false
	f.step()
	if f.fed {
		t.Error("a step that read nothing says that it did")
	}
	synctest.Test(t, func(t *testing.T) {
		r := &Tailer{}
		took := func(ctx context.Context, fed bool) time.Duration {
			began := time.Now()
			r.fed = fed
			r.rest(ctx)
			return time.Since(began)
		}
		if d := took(t.Context(), false); d != 0 {
			t.Errorf("rests %v after nothing was read", d)
		}
		if d := took(t.Context(), true); d != pace || r.fed {
			t.Errorf("rests %v after something was read, still fed: %v", d, r.fed)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if d := took(stopped, true); d != 0 {
			t.Errorf("rests %v although it is to stop", d)
		}
	})
}

// What is old is followed once it is written to; a generation that was missed
// is, however old it looks.
func TestIgnoreOlder(t *testing.T) {
	f := newFixture(t, "*.log*")
	f.kill()
	f.o.Inputs[0].IgnoreOlder = time.Hour
	f.clock.t = time.Now()
	at := f.clock.t.Add(-2 * time.Hour)
	for _, name := range []string{"a.log", "b.log", "b.log.1"} {
		f.append(name, name+"\n")
		f.must(os.Chtimes(f.path(name), at, at))
	}
	f.append("b.log", "more\n")
	f.start()
	f.step()
	f.step()
	f.want("b.log\nmore\n")
	if s := f.stats(); s.Ignored != 2 || s.Files != 1 {
		t.Errorf("stats: %+v", s)
	}
	f.append("a.log", "more\n")
	f.step()
	f.want("b.log\nmore\na.log\nmore\n")
	f.restart(func() {
		f.rename("b.log", "b.log.2")
		f.append("b.log.1", "grown\n") // never followed before
		f.append("b.log", "new\n")
	})
	f.clock.t = f.clock.t.Add(3 * time.Hour)
	f.append("b.log", "")
	f.pass(0)
	f.pass(idle)
	if s := f.stats(); s.Ignored != 0 || s.Lag != 0 {
		t.Errorf("after three hours: %+v", s)
	}
	f.wantStreams("a.log\nmore\n", "b.log\nmore\n", "b.log.1\ngrown\n", "new\n")
}
