package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// segment is one open segment file.
type segment struct {
	number uint64
	path   string
	db     *bolt.DB
	file   *os.File    // bbolt's own descriptor, for fstat
	refs   int         // views under way
	used   uint64      // clock of the last use
	gone   bool        // unlinked: close at the last release
	broken atomic.Bool // bbolt panicked in it: its locks may be held, so it is never closed properly
}

// openSegment opens a segment file with bbolt. A writable one is created if
// it does not exist; mmap is the size to map from the start.
func openSegment(path string, number uint64, mmap int64, readOnly bool) (s *segment, err error) {
	s = &segment{number: number, path: path}
	var file *os.File // not s.file: s is nil when an error is returned
	defer func() {
		if err != nil && file != nil {
			// bbolt forgets the descriptor, and the lock with it, when it panics.
			_ = file.Close()
		}
	}()
	err = guard(func() error {
		s.db, err = bolt.Open(path, 0o640, &bolt.Options{
			Timeout:         time.Second, // the spool's own lock is held, so only a foreign tool can have it
			NoFreelistSync:  true,
			FreelistType:    bolt.FreelistMapType,
			ReadOnly:        readOnly,
			InitialMmapSize: int(mmap),
			NoStatistics:    true,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				s.file, file = f, f
				return f, err
			},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", path, err)
	}
	return s, nil
}

// openChecked checks the pages of a segment that exists and opens it for
// reading.
func openChecked(path string, number uint64) (*segment, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	s, err := openSegment(path, number, 0, true)
	if err != nil {
		return nil, err
	}
	if err := s.view(func(tx *bolt.Tx) error { return checkIdentity(tx, path, number) }); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// checkFile runs the page checker over a file.
func checkFile(path string) error {
	return withFile(path, func(f *os.File, size int64) error {
		if err := checkPages(f, size); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// guard runs f, turning panics and memory faults in it into errors. The disk
// can go bad after the page check, and a bad mapped page is a fault.
func guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p}
		}
	}()
	return f()
}

// panicError is what guard makes of a panic.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("damaged page: %v", e.value) }

// view runs f in a read transaction.
func (s *segment) view(f func(*bolt.Tx) error) error {
	err := guard(func() error { return s.db.View(f) })
	if p := (*panicError)(nil); errors.As(err, &p) {
		s.broken.Store(true)
	}
	return err
}

// size is the number of bytes in use or free for reuse, without what bbolt
// allocates ahead.
func (s *segment) size() (n int64, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		n = tx.Size()
		return nil
	})
	return n, err
}

func (s *segment) close() error {
	if s.broken.Load() {
		return s.file.Close() // gives back the lock; the mapping stays until the process ends
	}
	return guard(s.db.Close)
}

// maxClosed is how many closed segments stay open for reading: a few uploads
// run at a time, mostly of neighbouring chunks.
const maxClosed = 4

// segments hands out open segments by number. Safe for concurrent use.
type segments struct {
	dir    string
	mu     sync.Mutex
	idle   sync.Cond // a view ended
	clock  uint64
	head   *segment
	closed map[uint64]*segment
	missed map[uint64]time.Time // segments whose file was not there, and since when
	done   bool
}

func newSegments(dir string) *segments {
	g := &segments{dir: dir, closed: map[uint64]*segment{}, missed: map[uint64]time.Time{}}
	g.idle.L = &g.mu
	return g
}

func (g *segments) path(number uint64) string {
	return filepath.Join(g.dir, segmentName(number))
}

// view runs f in a read transaction of a segment.
func (g *segments) view(number uint64, f func(*bolt.Tx) error) error {
	s, err := g.acquire(number)
	if err != nil {
		return err
	}
	defer g.release(s)
	return s.view(f)
}

// headSegment stands for the number of the head, whichever that is.
const headSegment = 0

// acquire returns an open segment that stays so until it is released. The
// page check of a closed one runs with mu held: others would mostly wait for
// the same segment.
func (g *segments) acquire(number uint64) (*segment, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done {
		return nil, ErrClosed
	}
	s := g.head
	if s == nil || number != headSegment && s.number != number {
		if s = g.closed[number]; s == nil {
			var err error
			if s, err = openChecked(g.path(number), number); err != nil {
				return nil, g.missing(number, err)
			}
			g.closed[number] = s
			delete(g.missed, number)
		}
	}
	g.clock++
	s.used = g.clock
	s.refs++
	g.evict()
	return s, nil
}

// goneAfter is how long a segment's file has to be missing before it counts as
// gone: somebody may be moving things, or a remote file system be out of date.
const goneAfter = 2 * time.Second

// errGone: the file of a segment is missing for good.
var errGone = errors.New("the segment is gone")

// missing makes an errGone of an error that says that a file is not there, if
// a look some time ago agrees and the files beside it are there. Callers hold mu.
func (g *segments) missing(number uint64, err error) error {
	if !errors.Is(err, os.ErrNotExist) {
		delete(g.missed, number)
		return err
	}
	if g.head == nil {
		return err
	}
	if _, herr := os.Lstat(g.head.path); herr != nil {
		delete(g.missed, number) // all of the directory, so it says nothing of this one
		return err
	}
	since, again := g.missed[number]
	if !again {
		g.missed[number] = time.Now()
	}
	if !again || time.Since(since) < goneAfter {
		return err
	}
	return fmt.Errorf("%w: %w", errGone, err)
}

// unread says whether err, of reading a segment, is one of the system rather
// than one of what was read: another try may well succeed. A fault is a mapped
// page that the disk did not give; the page check of the next try looks at it
// without faulting. A segment that is gone is damage.
func unread(err error) bool {
	if errors.Is(err, errGone) {
		return false
	}
	if p := (*panicError)(nil); errors.As(err, &p) {
		_, fault := p.value.(interface{ Addr() uintptr })
		return fault
	}
	return errors.As(err, new(syscall.Errno)) || errors.As(err, new(*fs.PathError)) ||
		errors.Is(err, berrors.ErrTimeout) // a foreign tool has the file
}

// release gives a segment back, and closes it if it was only waited for.
func (g *segments) release(s *segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.refs--
	if s.broken.Load() && g.closed[s.number] == s {
		delete(g.closed, s.number)
		s.gone = true
	}
	if s.refs == 0 && s.gone {
		_ = s.close() // only read from, nothing can get lost
	}
	g.evict()
	g.idle.Broadcast()
}

// evict closes the closed segments that were not used for longest.
func (g *segments) evict() {
	for len(g.closed) > maxClosed {
		var oldest *segment
		for _, s := range g.closed {
			if s.refs == 0 && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return // all in use: the next release tries again
		}
		delete(g.closed, oldest.number)
		_ = oldest.close()
	}
}

// setHead makes s the head. The old one becomes a closed segment, and keeps
// its handle: views of it may be under way.
func (g *segments) setHead(s *segment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old := g.head; old != nil {
		g.closed[old.number] = old
	}
	g.head = s
	g.evict()
}

// drop forgets a closed segment, so that its disk space comes back as soon as
// no view of it runs any more.
func (g *segments) drop(number uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.closed[number]
	if s == nil {
		return
	}
	delete(g.closed, number)
	if s.gone = true; s.refs == 0 {
		_ = s.close()
	}
}

// close waits for running views and closes everything.
func (g *segments) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = true
	for g.busy() { // a view is a read of one block, so this is short
		g.idle.Wait()
	}
	var errs []error
	for _, s := range g.closed {
		errs = append(errs, s.close())
	}
	if g.head != nil {
		errs = append(errs, g.head.close())
	}
	g.closed, g.head = nil, nil
	return errors.Join(errs...)
}

func (g *segments) busy() bool {
	if g.head != nil && g.head.refs > 0 {
		return true
	}
	for _, s := range g.closed {
		if s.refs > 0 {
			return true
		}
	}
	return false
}
