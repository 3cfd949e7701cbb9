package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// maxClosed is how many closed segments stay open for reading: a few uploads
// run at a time, mostly of neighbouring chunks.
const maxClosed = 4

// segments hands out open segments by number. Safe for concurrent use.
type segments struct {
	dir    string
	mu     sync.Mutex
	idle   sync.Cond // a view ended, or an opening
	clock  uint64
	head   *segment
	closed map[uint64]*segment
	// opening are the closed segments that are just being opened, with mu
	// released: true if they were dropped meanwhile.
	opening map[uint64]bool
	missed  map[uint64]time.Time // segments whose file was not there, and since when
	done    bool
}

func newSegments(dir string) *segments {
	g := &segments{dir: dir, closed: map[uint64]*segment{}, opening: map[uint64]bool{}, missed: map[uint64]time.Time{}}
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

// acquire returns an open segment that stays so until it is released.
func (g *segments) acquire(number uint64) (*segment, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if g.done {
			return nil, ErrClosed
		}
		s := g.head
		if s == nil || number != headSegment && s.number != number {
			s = g.closed[number]
		}
		if s != nil {
			g.use(s)
			g.evict()
			return s, nil
		}
		if _, busy := g.opening[number]; !busy {
			return g.open(number)
		}
		g.idle.Wait()
	}
}

// use counts a view. Callers hold mu.
func (g *segments) use(s *segment) {
	g.clock++
	s.used = g.clock
	s.refs++
}

// open opens a closed segment for a view. Callers hold mu, which is released
// while the pages are checked: a slow disk delays only those who want this segment.
func (g *segments) open(number uint64) (*segment, error) {
	g.opening[number] = false
	g.mu.Unlock()
	s, err := openChecked(g.path(number), number)
	g.mu.Lock()
	dropped := g.opening[number]
	delete(g.opening, number)
	defer g.idle.Broadcast()
	if err != nil {
		return nil, g.missing(number, err)
	}
	delete(g.missed, number)
	if g.done {
		return nil, errors.Join(ErrClosed, s.close())
	}
	if s.gone = dropped; !dropped {
		g.closed[number] = s
	}
	g.use(s)
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

// unread reports whether err, of reading a segment, is one of the system rather
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
		errors.Is(err, errSeized) || errors.Is(err, berrors.ErrTimeout) // a foreign tool has the file
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
	if _, busy := g.opening[number]; busy {
		g.opening[number] = true
	}
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
	if len(g.opening) > 0 || g.head != nil && g.head.refs > 0 {
		return true
	}
	for _, s := range g.closed {
		if s.refs > 0 {
			return true
		}
	}
	return false
}
