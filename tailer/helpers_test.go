package tailer

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the quick run the same every time; make soak explores.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == seed.DefValue {
		_ = flag.Set("rapid.seed", "1")
	}
	goleak.VerifyTestMain(m)
}

// event is one call of a handler; no position means that the file was forgotten.
type event struct {
	Span
	forget bool
}

// collector is a handler that keeps everything, like a spool whose batches may
// be cut anywhere by a crash. It checks what every span has to keep to.
type collector struct {
	unwraps bool // data is not the bytes of the file
	mark    int  // bytes that are left out where a file begins
	mu      sync.Mutex
	log     []event
	maxLen  int // MaxLineSize
	err     error
	change  chan struct{} // closed at the next call
	onSpan  func(*Span)
}

func newCollector(maxLen int) *collector {
	return &collector{maxLen: maxLen, change: make(chan struct{})}
}

func (c *collector) add(e event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, e)
	close(c.change)
	c.change = make(chan struct{})
	return c.err
}

func (c *collector) Span(_ context.Context, s *Span) error {
	var p Position
	if err := p.UnmarshalBinary(s.Position); err != nil {
		return err
	}
	if p.File != s.File || p.Path != s.Path || p.Path != "" && p.Offset != s.To || !c.unwraps && s.To-s.From != int64(len(s.Data)) {
		return fmt.Errorf("span %d [%d, %d) of %s does not fit its position %+v", s.File, s.From, s.To, s.Path, p)
	}
	if s.Cut && (len(s.Data) == 0 || len(s.Data)%c.maxLen != 0) {
		return fmt.Errorf("a cut span of %d bytes", len(s.Data))
	}
	if c.onSpan != nil {
		c.onSpan(s)
	}
	e := event{Span: *s}
	e.Data, e.Position = bytes.Clone(s.Data), bytes.Clone(s.Position)
	return c.add(e)
}

func (c *collector) Forget(_ context.Context, file uint64) error {
	return c.add(event{Span: Span{File: file}, forget: true})
}

func (c *collector) Idle(context.Context) error { return nil }

// positions returns what is durable after the first n calls.
func (c *collector) positions(n int) [][]byte {
	at := map[uint64][]byte{}
	for _, e := range c.log[:n] {
		if at[e.File] = e.Position; e.forget {
			delete(at, e.File)
		}
	}
	return slices.Collect(maps.Values(at))
}

// streams returns the bytes of each file, and fails if their order or numbering
// is broken.
func (c *collector) streams() (map[uint64]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, at, part := map[uint64]string{}, map[uint64]int64{}, map[uint64]int{}
	for _, e := range c.log {
		if e.forget {
			continue
		}
		if last, ok := at[e.File]; ok && last != e.From && last+int64(c.mark) != e.From || part[e.File] != e.Part {
			return nil, fmt.Errorf("file %d: [%d, %d) part %d after %d part %d", e.File, e.From, e.To, e.Part, last, part[e.File])
		}
		at[e.File], part[e.File] = e.To, 0
		if e.Cut {
			part[e.File] = e.Part + len(e.Data)/c.maxLen
		} else if len(e.Data) == 0 {
			part[e.File] = e.Part
		}
		data[e.File] += string(e.Data)
	}
	return data, nil
}

// dump shows all calls, for people.
func (c *collector) dump() string {
	var b strings.Builder
	for _, e := range c.log {
		var p Position
		_ = p.UnmarshalBinary(e.Position)
		fmt.Fprintf(&b, "%d %s [%d, %d) ino %d done %v lost %v %.12q\n", e.File, filepath.Base(e.Path), e.From, e.To, p.Ino, p.Done, p.Lost, e.Data)
	}
	return b.String()
}

// text is all that was handed on, in order.
func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b []byte
	for _, e := range c.log {
		b = append(b, e.Data...)
	}
	return string(b)
}

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// fixture is a directory, a collector, and a tailer that is stepped by hand.
type fixture struct {
	t     testing.TB
	dir   string
	o     Options
	c     *collector
	clock *clock
	aged  int
	*Tailer
}

const testLine = 64 // MaxLineSize of tests

func newFixture(t testing.TB, patterns ...string) *fixture {
	dir := t.TempDir()
	for i, p := range patterns {
		patterns[i] = filepath.Join(dir, p)
	}
	f := &fixture{t: t, dir: dir, c: newCollector(testLine), clock: &clock{time.Unix(1e9, 0)}}
	f.o = Options{Inputs: []Input{{Name: "app", Include: patterns, MaxLineSize: testLine}}, Poll: true}
	f.start()
	t.Cleanup(f.kill)
	return f
}

// start starts a tailer from what the collector has.
func (f *fixture) start() {
	f.t.Helper()
	f.o.Positions = f.c.positions(len(f.c.log))
	f.o.NextFile = 1
	for _, e := range f.c.log {
		f.o.NextFile = max(f.o.NextFile, e.File+1)
	}
	tl, err := New(f.o, f.c)
	if err != nil {
		f.t.Fatal(err)
	}
	tl.now = f.clock.now
	f.Tailer = tl
	tl.start()
}

func (f *fixture) kill() {
	if f.Tailer != nil {
		f.stop()
		f.Tailer = nil
	}
}

// restart kills the tailer; then, while it is down, then starts one again.
func (f *fixture) restart(down func()) {
	f.kill()
	down()
	f.start()
}

// step looks at everything and reads all there is.
func (f *fixture) step() {
	f.t.Helper()
	f.asked = true
	if err := f.Tailer.step(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// pass lets time pass, and steps.
func (f *fixture) pass(d time.Duration) {
	f.t.Helper()
	f.clock.t = f.clock.t.Add(d)
	f.step()
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fixture) append(name, text string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	w, err := os.OpenFile(f.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = io.WriteString(w, text)
	if err = errors.Join(err, w.Close()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) rename(from, to string) {
	f.t.Helper()
	f.must(os.Rename(f.path(from), f.path(to)))
}

func (f *fixture) copy(from, to string) {
	f.t.Helper()
	b, err := os.ReadFile(f.path(from))
	f.must(err)
	f.must(os.WriteFile(f.path(to), b, 0o644))
}

func (f *fixture) truncate(name string) { f.t.Helper(); f.must(os.Truncate(f.path(name), 0)) }
func (f *fixture) remove(name string)   { f.t.Helper(); f.must(os.Remove(f.path(name))) }

// age has directories look as if the last change in them were long ago.
func (f *fixture) age(dirs ...string) {
	f.t.Helper()
	f.aged++
	at := time.Unix(1e9+int64(f.aged), 0)
	for _, dir := range append(dirs, "") {
		f.must(os.Chtimes(f.path(dir), at, at))
	}
}

// want checks everything that was handed on so far, in order.
func (f *fixture) want(text string) {
	f.t.Helper()
	if got := f.c.text(); got != text {
		f.t.Fatalf("handed on\n%q\nwant\n%q", got, text)
	}
	if _, err := f.c.streams(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) stats() InputStats { return f.Stats()[0] }

// tick waits until the file system's clock has moved on: it is coarse (4 ms),
// and the order of births is what tells generations without content apart.
func (f *fixture) tick() {
	f.t.Helper()
	probe := filepath.Join(f.t.TempDir(), "probe")
	var first int64
	for {
		f.must(os.WriteFile(probe, nil, 0o644))
		i, err := statPath(probe)
		f.must(errors.Join(err, os.Remove(probe)))
		if first == 0 {
			first = i.born
		}
		if i.born > first {
			return
		}
	}
}

func newLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
