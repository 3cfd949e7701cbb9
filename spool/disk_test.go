package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Case: a file system of a few MiB runs full under the spool. Appends stop
// with ErrFull, acks get through with the ballast's help, then appends go on.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "24m")
	state := filepath.Join(dir, "state")
	s := openTest(t, Options{Dir: state, SegmentSize: 1 << 20})
	if _, err := os.Stat(s.ballast()); err != nil {
		t.Fatalf("no ballast: %v", err)
	}
	n := 0
	for ; ; n++ {
		s.freeAt = s.freeAt.Add(-freeInterval) // look every time
		err := s.Append(&Batch{Blocks: []Block{testBlock("a", fmt.Sprint(n), 300_000, 1)}})
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fill(t, filepath.Join(dir, "filler")) // others take the rest
	for i, c := range s.Chunks() {
		if got, err := readChunk(s, c.Seq); err != nil || string(got) != string(content(fmt.Sprint(i), 300_000)) {
			t.Fatalf("chunk %d: %v", i, err)
		}
		if err := s.Ack(c.Seq); err != nil {
			t.Fatalf("ack on a full disk: %v", err)
		}
	}
	if n < 10 {
		t.Fatalf("full after %d blocks", n)
	}
	mustAppend(t, s, testBlock("a", "again", 300_000, 1))
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(s.Chunks()[0].Seq); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.ballast()); err != nil {
		t.Fatalf("the ballast is not back: %v", err)
	}
}

// Case: an ack runs out of space in the middle of its commit. The ballast is
// given back and the ack gets through.
func TestAckSpendsBallast(t *testing.T) {
	fail := true
	s := openTest(t, Options{Dir: t.TempDir(), Hook: func(step string) error {
		if step == "ack.commit" && fail {
			fail = false
			return unix.ENOSPC
		}
		return nil
	}})
	mustAppend(t, s, testBlock("a", "0", 10, 1))
	if err := os.WriteFile(s.ballast(), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(1); err != nil || fail || len(s.Chunks()) != 0 {
		t.Fatalf("ack: %v", err)
	}
}

// Case: others fill the disk between the look at it and an append's commit.
// Nothing was written, and the spool works on: acks make room.
func TestFullDiskInAppendCommit(t *testing.T) {
	dir := smallDisk(t, "40m")
	o := Options{Dir: filepath.Join(dir, "state"), SegmentSize: 8 << 20}
	s := openTest(t, o)
	for i := range 70 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 300_000, 1))
	}
	s.free, s.freeAt = 1<<30, time.Now().Add(time.Hour)
	fill(t, filepath.Join(dir, "filler"))
	before := dump(t, s)
	b := &Batch{Blocks: []Block{testBlock("a", "new", 2_000_000, 1)}, Positions: []Position{{File: 1, Data: []byte("new")}}}
	for range 3 {
		err := s.Append(b)
		if !errors.Is(err, ErrFull) || errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("append: %v", err)
		}
		s.free, s.freeAt = 1<<30, time.Now().Add(time.Hour)
	}
	if _, err := os.Stat(s.ballast()); err != nil {
		t.Fatalf("an append spent the ballast: %v", err)
	}
	if got := dump(t, s); !reflect.DeepEqual(got, before) {
		t.Fatal("the failed appends changed something")
	}
	closeTest(t, s)
	s = openTest(t, o)
	if got := dump(t, s); !reflect.DeepEqual(got, before) {
		t.Fatal("the failed appends changed something on disk")
	}
	for _, c := range s.Chunks() {
		if err := s.Ack(c.Seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(b); err != nil {
		t.Fatal(err)
	}
	closeTest(t, s)
	openTest(t, o)
}

// Case: positions alone fill what is left of the disk. They stop before the
// ballast is needed for them, and acks get through.
func TestPositionsLeaveBallast(t *testing.T) {
	dir := smallDisk(t, "40m")
	s := openTest(t, Options{Dir: filepath.Join(dir, "state"), SegmentSize: 16 << 20})
	for i := range 20 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 300_000, 1))
	}
	fill(t, filepath.Join(dir, "filler"))
	if err := os.Truncate(filepath.Join(dir, "filler"), 8<<20); err != nil {
		t.Fatal(err)
	}
	var err error
	data := content("position", 60_000)
	for i := 0; err == nil && i < 20_000; i++ {
		s.freeAt = time.Time{} // look every time
		err = s.Append(&Batch{Positions: []Position{{File: uint64(i), Data: data}}})
	}
	if !errors.Is(err, ErrFull) || diskFull(err) { // not by trying
		t.Fatalf("append of a position: %v", err)
	}
	if _, err := os.Stat(s.ballast()); err != nil {
		t.Fatalf("an append spent the ballast: %v", err)
	}
	fill(t, filepath.Join(dir, "filler2"))
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
}

// Case: no write gets through for want of space or quota, not with the
// ballast's either. Each can be tried again, and none has changed anything.
func TestFullAtEachCommit(t *testing.T) {
	for _, full := range []error{unix.ENOSPC, unix.EDQUOT} {
		fail := false
		s := openTest(t, Options{Dir: t.TempDir(), Hook: func(step string) error {
			if fail && (strings.HasSuffix(step, ".commit") || step == "handover.created") {
				return full
			}
			return nil
		}})
		mustAppend(t, s, testBlock("a", "0", 10, 1), testBlock("b", "1", 10, 100))
		before, writes := dump(t, s), func() []error {
			_, serr := s.Seal(func(Chunk) bool { return true })
			return []error{s.Append(&Batch{Positions: []Position{{File: 1}}}), serr, s.Ack(1), s.Bury(1, "x"), s.handOver(false)}
		}
		fail = true
		for i, err := range writes() {
			if !errors.Is(err, ErrFull) || !errors.Is(err, full) || errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("write %d: %v", i, err)
			}
		}
		if got := dump(t, s); !reflect.DeepEqual(got, before) {
			t.Errorf("changed to %+v", got)
		}
		fail = false
		if _, err := s.Seal(func(Chunk) bool { return true }); err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.Append(&Batch{Positions: []Position{{File: 1}}}), s.Bury(1, "x"), s.Ack(1), s.Ack(2)); err != nil {
			t.Error(err)
		}
	}
}

// Case: the disk is full at a start after a reboot. That it is another boot
// can be written later.
func TestFullAtStart(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	mustAppend(t, s, testBlock("a", "0", 10, 1))
	s.mu.Lock()
	err := s.update("", false, func(t *txn) error {
		t.state.home.boot = "before"
		return nil
	})
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	closeTest(t, s)
	fail := true
	s = openTest(t, Options{Dir: dir, Hook: func(step string) error {
		if fail && step == "home.commit" {
			return unix.ENOSPC
		}
		return nil
	}})
	if s.idx.state.home.boot != "before" {
		t.Fatal("the step was not passed")
	}
	fail = false
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
}

// fill writes until nothing more fits.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4096, 1} {
		for b := make([]byte, size); err == nil; {
			_, err = f.Write(b)
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
