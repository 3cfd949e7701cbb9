package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"testing"
	"time"

	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// closedSegments makes a spool of 20 sealed chunks over several segments.
func closedSegments(t *testing.T) *Spool {
	t.Helper()
	o := Options{Dir: quickDir(t), SegmentSize: testSize}
	s := openTest(t, o)
	for i := range 20 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 30_000, 1))
	}
	closeTest(t, s)
	return openTest(t, o) // with no closed segment open
}

// readsLater checks that a chunk's read fails without being called damage, and
// succeeds once the cause is gone.
func readsLater(t *testing.T, s *Spool, want error, undo func()) {
	t.Helper()
	_, err := readChunk(s, 1)
	undo()
	if errors.As(err, new(*DamageError)) || !errors.Is(err, want) {
		t.Fatalf("read: %v", err)
	}
	if got, err := readChunk(s, 1); err != nil || !bytes.Equal(got, content("0", 30_000)) {
		t.Fatalf("read again: %v", err)
	}
}

// Case: the process has no descriptors left for a moment.
func TestReadWithoutDescriptors(t *testing.T) {
	s := closedSegments(t)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	readsLater(t, s, unix.EMFILE, func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	})
}

// Case: a segment's file is away for a moment, however many ask for it; then
// the whole directory is, for long.
func TestSegmentAway(t *testing.T) {
	s := closedSegments(t)
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	path := s.segs.path(1)
	move(path, path+".away")
	for range 3 {
		if _, err := readChunk(s, 2); errors.As(err, new(*DamageError)) || !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("read: %v", err)
		}
	}
	readsLater(t, s, fs.ErrNotExist, func() { move(path+".away", path) })
	if len(s.segs.missed) != 0 {
		t.Fatal("it still counts as missing")
	}
	s.segs.drop(1) // or its file stays open
	move(s.segs.dir, s.segs.dir+".away")
	s.segs.missed[1] = time.Now().Add(-goneAfter)
	readsLater(t, s, fs.ErrNotExist, func() { move(s.segs.dir+".away", s.segs.dir) })
}

// Case: which errors of a read are no damage.
func TestUnread(t *testing.T) {
	fault := guard(func() error {
		b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return err
		}
		defer unix.Munmap(b)
		b[0]++
		return nil
	})
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("page 3: %w", &fs.PathError{Op: "read", Path: "x", Err: unix.EIO}), true},
		{fmt.Errorf("open segment: %w", unix.ENOMEM), true},
		{fmt.Errorf("open segment: %w", berrors.ErrTimeout), true},
		{fault, true},
		{guard(func() error { panic("assertion failed: page") }), false},
		{fmt.Errorf("%w: %w", errGone, unix.ENOENT), false},
		{fmt.Errorf("page 3: %w", io.ErrUnexpectedEOF), false},
		{errNoBlocks, false},
		{berrors.ErrChecksum, false},
	} {
		if got := unread(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
	if p := (*panicError)(nil); !errors.As(fault, &p) {
		t.Errorf("no fault: %v", fault)
	}
}

// Case: the head could not be opened for want of descriptors: that is no
// reason to repair it.
func TestRefuse(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir()})
	for err, damaged := range map[error]bool{unix.EMFILE: false, unix.ENOMEM: false, unix.EIO: true, errMalformed: true} {
		got := s.refuse("x", fmt.Errorf("open: %w", err))
		if errors.Is(got, ErrDamagedHead) != damaged || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
