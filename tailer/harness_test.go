package tailer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolship/spoolship/tailer"
)

// A tailer from outside: the cases write files, let time pass, stop and start
// tailers, and compare what these handed on and where they were. Time is that of a
// synctest bubble, so that minutes pass at once and nothing is ever early or late;
// there are no events in a bubble, files are polled.

// Times of a harness, unless a case sets its own.
const (
	poll = time.Second     // a look at everything
	idle = 2 * time.Minute // longer than CloseInactive
	line = 64              // MaxLineSize
)

// span is one call of the handler.
type span struct {
	tailer.Span
	forget bool
}

// store is a handler that keeps everything, as a spool does.
type store struct {
	mu     sync.Mutex
	spans  []span
	onSpan func(*tailer.Span) error
}

func (s *store) Span(_ context.Context, sp *tailer.Span) error {
	var p tailer.Position
	if err := p.UnmarshalBinary(sp.Position); err != nil {
		return err
	}
	if p.File != sp.File || p.Path != sp.Path || p.Path != "" && p.Offset != sp.To || sp.To-sp.From != int64(len(sp.Data)) {
		return fmt.Errorf("span %d [%d, %d) of %s does not fit its position %+v", sp.File, sp.From, sp.To, sp.Path, p)
	}
	if sp.Cut && (len(sp.Data) == 0 || len(sp.Data)%line != 0) {
		return fmt.Errorf("a cut span of %d bytes", len(sp.Data))
	}
	if s.onSpan != nil {
		if err := s.onSpan(sp); err != nil {
			return err
		}
	}
	c := span{Span: *sp}
	c.Data, c.Position = bytes.Clone(sp.Data), bytes.Clone(sp.Position)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = append(s.spans, c)
	return nil
}

func (s *store) Forget(_ context.Context, file uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spans = append(s.spans, span{Span: tailer.Span{File: file}, forget: true})
	return nil
}

func (s *store) Idle(context.Context) error { return nil }

// positions is what is durable, and the first file id that is free.
func (s *store) positions() (all [][]byte, next uint64) {
	at := map[uint64][]byte{}
	for _, sp := range s.spans {
		next = max(next, sp.File)
		if at[sp.File] = sp.Position; sp.forget {
			delete(at, sp.File)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(at)) {
		all = append(all, at[file])
	}
	return all, next + 1
}

// text is all that was handed on, in order.
func (s *store) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, sp := range s.spans {
		b.Write(sp.Data)
	}
	return b.String()
}

// streams are the bytes of each file that has some, sorted. Those of one file must
// be in order, without a gap, and its parts numbered.
func (s *store) streams() (all []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, at, part := map[uint64]string{}, map[uint64]int64{}, map[uint64]int{}
	for _, sp := range s.spans {
		if sp.forget {
			continue
		}
		if last, ok := at[sp.File]; ok && last != sp.From || part[sp.File] != sp.Part {
			return nil, fmt.Errorf("file %d: [%d, %d) part %d after %d part %d", sp.File, sp.From, sp.To, sp.Part, last, part[sp.File])
		}
		at[sp.File], part[sp.File] = sp.To, 0
		if sp.Cut {
			part[sp.File] = sp.Part + len(sp.Data)/line
		} else if len(sp.Data) == 0 {
			part[sp.File] = sp.Part
		}
		data[sp.File] += string(sp.Data)
	}
	for _, text := range data {
		if text != "" {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return all, nil
}

// harness is a directory and the tailers that follow files in it, one after the
// other.
type harness struct {
	t      testing.TB
	dir    string
	o      tailer.Options // of the next start
	store  *store
	tailer *tailer.Tailer
	stop   func() error
}

// inBubble runs a case in a synctest bubble, on a harness that has not been started.
func inBubble(t *testing.T, run func(h *harness), patterns ...string) {
	t.Helper()
	dir := t.TempDir() // its removal is not the bubble's
	synctest.Test(t, func(t *testing.T) {
		h := &harness{t: t, dir: dir, store: &store{}}
		in := tailer.Input{Name: "app", MaxLineSize: line}
		for _, p := range patterns {
			in.Include = append(in.Include, h.path(p))
		}
		h.o = tailer.Options{Inputs: []tailer.Input{in}, Poll: true, PollInterval: poll}
		defer h.kill()
		run(h)
	})
}

// follow runs a case with a tailer that has been started.
func follow(t *testing.T, run func(h *harness), patterns ...string) {
	t.Helper()
	inBubble(t, func(h *harness) {
		h.start()
		run(h)
	}, patterns...)
}

// tick waits until the clock of the file system has moved on: it is coarse, and the
// order of births is what tells generations without content apart.
func (h *harness) tick() {
	h.t.Helper()
	probe := h.path(".probe")
	var first time.Time
	for {
		h.must(os.WriteFile(probe, nil, 0o600))
		i, err := os.Stat(probe)
		h.must(errors.Join(err, os.Remove(probe)))
		if first.IsZero() {
			first = i.ModTime()
		}
		if i.ModTime().After(first) {
			return
		}
	}
}

// start starts a tailer from what is durable, and waits for its first scan.
func (h *harness) start() {
	h.t.Helper()
	h.o.Positions, h.o.NextFile = h.store.positions()
	tl, err := tailer.New(h.o, h.store)
	h.must(err)
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- tl.Run(ctx) }()
	h.tailer, h.stop = tl, func() error { cancel(); return <-done }
	synctest.Wait()
}

// kill ends the tailer. What it handed on is durable.
func (h *harness) kill() {
	h.t.Helper()
	if h.tailer != nil {
		h.must(h.stop())
		h.tailer = nil
	}
}

// restart kills the tailer and, after down, starts another.
func (h *harness) restart(down func()) {
	h.t.Helper()
	h.kill()
	down()
	h.start()
}

// pass lets time pass, until the tailer rests.
func (h *harness) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// step lets the tailer look at everything once.
func (h *harness) step() { h.pass(poll) }

// once runs a tailer with Once to its end.
func (h *harness) once() *tailer.Tailer {
	h.t.Helper()
	h.o.Positions, h.o.NextFile = h.store.positions()
	o := h.o
	o.Once = true
	tl, err := tailer.New(o, h.store)
	h.must(err)
	h.must(tl.Run(h.t.Context()))
	return tl
}

func (h *harness) path(name string) string { return filepath.Join(h.dir, name) }

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) append(name, text string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.path(name)), 0o755))
	w, err := os.OpenFile(h.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	h.must(err)
	_, err = io.WriteString(w, text)
	h.must(errors.Join(err, w.Close()))
}

func (h *harness) rename(from, to string) {
	h.t.Helper()
	h.must(os.Rename(h.path(from), h.path(to)))
}

func (h *harness) copy(from, to string) {
	h.t.Helper()
	b, err := os.ReadFile(h.path(from))
	h.must(err)
	h.must(os.WriteFile(h.path(to), b, 0o644))
}

func (h *harness) truncate(name string) { h.t.Helper(); h.must(os.Truncate(h.path(name), 0)) }
func (h *harness) remove(name string)   { h.t.Helper(); h.must(os.Remove(h.path(name))) }

// stats are the figures of the first input.
func (h *harness) stats() tailer.InputStats { return h.tailer.Stats()[0] }

// want compares all that was handed on so far, in order.
func (h *harness) want(text string) {
	h.t.Helper()
	if got := h.store.text(); got != text {
		h.t.Fatalf("handed on\n%q\nwant\n%q", got, text)
	}
	_, err := h.store.streams()
	h.must(err)
}

// wantStreams compares what was handed on of each file, in any order of files, and
// sees that nothing is lost, left or wrong.
func (h *harness) wantStreams(want ...string) {
	h.t.Helper()
	got, err := h.store.streams()
	h.must(err)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		h.t.Errorf("handed on %q, want %q", got, want)
	}
	if s := h.stats(); s.LostBytes != 0 || s.Lag != 0 || len(s.Errors) != 0 {
		h.t.Errorf("stats: %+v", s)
	}
}
