package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unmapPages makes every mapped page of a file but the meta pages a fault, as a
// disk does that can't read them, and returns how to undo it.
func unmapPages(t *testing.T, path string) (undo func()) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 2*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	return func() { overwrite(t, path, 0, b) }
}

// Case: a page of the head can't be read, in an append or in a read. The process
// lives, nothing is lost, and the next open gets the lock of the segment at once,
// although the mapping stays.
func TestFaultGivesLockBack(t *testing.T) {
	for name, touch := range map[string]func(s *Spool) error{
		"append": func(s *Spool) error { return s.Append(&Batch{Blocks: []Block{testBlock("a", "x", 5, 1)}}) },
		"seal": func(s *Spool) error {
			_, err := s.Seal(func(Chunk) bool { return true })
			return err
		},
		"positions": func(s *Spool) error {
			_, err := s.Positions()
			return err
		},
		"read": func(s *Spool) error {
			if _, err := readChunk(s, 1); !unread(err) || errors.As(err, new(*DamageError)) {
				t.Errorf("read: %v", err)
			}
			return s.Ack(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := quickDir(t)
			s := openTest(t, Options{Dir: dir})
			mustAppend(t, s, testBlock("a", "0", 5000, 1<<20), testBlock("b", "1", 5000, 1))
			want := dump(t, s)
			undo := unmapPages(t, s.head.path)
			if err := touch(s); !errors.Is(err, ErrOutcomeUnknown) {
				t.Fatalf("error: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			undo()
			began := time.Now()
			s = openTest(t, Options{Dir: dir, Suspect: true})
			if took := time.Since(began); took > 900*time.Millisecond { // bbolt's wait for a lock is 1 s
				t.Errorf("open took %s", took)
			}
			if got := dump(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v\nwant %v", got, want)
			}
		})
	}
}

// Case: a closed segment takes its time to open. Those who want another one,
// or hand over the head, do not wait for it.
func TestSlowSegmentDelaysNobodyElse(t *testing.T) {
	s := closedSegments(t)
	path := s.segs.path(1)
	b, err := os.ReadFile(path)
	if err == nil {
		err = errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) // its open waits for a writer
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := readChunk(s, 1)
		read <- err
	}()
	for waiting := false; !waiting; {
		s.segs.mu.Lock()
		_, waiting = s.segs.opening[1]
		s.segs.mu.Unlock()
	}
	went := make(chan error, 1)
	go func() {
		_, err := readChunk(s, s.Chunks()[s.Len()-1].Seq)
		went <- errors.Join(err, s.handOver(false))
	}()
	select {
	case err := <-went:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("others wait")
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.Remove(path), os.WriteFile(path, b, 0o640)); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Error("a pipe was read as a segment")
	}
	if got, err := readChunk(s, 1); err != nil || !bytes.Equal(got, content("0", 30_000)) {
		t.Errorf("read: %v", err)
	}
}

// blockingContext stops Verify in the middle of the head until go is closed.
type blockingContext struct {
	context.Context
	calls  atomic.Int64
	at     int64
	inside chan struct{} // closed when it has stopped
	goOn   chan struct{}
}

func (c *blockingContext) Err() error {
	if c.calls.Add(1) == c.at {
		close(c.inside)
		<-c.goOn
	}
	return c.Context.Err()
}

// Case: writes go on while Verify walks the head, and do not mislead it.
func TestVerifyDelaysNoWrite(t *testing.T) {
	s := openTest(t, Options{Dir: quickDir(t)})
	for i := range 20 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 9000, 1<<20), testBlock(fmt.Sprint("in", i), fmt.Sprint(i), 300, 1<<20))
	}
	c := &blockingContext{Context: t.Context(), at: 8, inside: make(chan struct{}), goOn: make(chan struct{})}
	found := make(chan error, 1)
	go func() {
		var all []error
		err := s.Verify(c, func(err error) { all = append(all, err) }, func(int64) {})
		found <- errors.Join(append(all, err)...)
	}()
	<-c.inside
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for i := range 50 {
			mustAppend(t, s, testBlock("a", fmt.Sprint("more", i), 9000, 1<<20))
		}
		sealAll(t, s)
		for _, c := range s.Chunks() {
			if err := s.Ack(c.Seq); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-wrote:
	case <-time.After(10 * time.Second):
		t.Error("writes wait for Verify")
	}
	close(c.goOn)
	<-wrote
	if err := <-found; err != nil {
		t.Error(err)
	}
}

// Case: whoever asked for Verify goes away.
func TestVerifyEnds(t *testing.T) {
	s := closedSegments(t)
	ctx, cancel := context.WithCancel(t.Context())
	blocks := 0
	err := s.Verify(ctx, func(err error) { t.Error(err) }, func(int64) {
		if blocks++; blocks == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || blocks != 2 {
		t.Errorf("%d blocks, %v", blocks, err)
	}
}
