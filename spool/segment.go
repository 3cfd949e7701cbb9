package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// segment is one open segment file.
//
// bbolt maps it, and a mapped page that the disk can't read is a fault instead
// of an error. A fault in this package's calls becomes a panicError (guard). One
// in a goroutine of bbolt's own would end the process: it starts one to walk
// all pages when it opens a file for writing and when a commit fails. So these
// pages are read with pread just before (openSegment, commitLog), which returns
// the error and leaves the pages in memory for the walk.
type segment struct {
	number uint64
	path   string
	db     *bolt.DB
	file   *os.File    // bbolt's own descriptor
	refs   int         // views under way
	used   uint64      // clock of the last use
	gone   bool        // unlinked: close at the last release
	broken atomic.Bool // bbolt panicked in it: it takes no more writes
	seized atomic.Bool // bbolt panicked with its locks held: any further call of it would wait for ever
}

// openSegment opens a segment file with bbolt. A writable one is created if
// it does not exist; mmap is the size to map from the start. The pages of one
// that exists are checked first, but for those of the buckets in skip.
func openSegment(path string, number uint64, mmap int64, readOnly bool, skip ...[]byte) (s *segment, err error) {
	s = &segment{number: number, path: path}
	var file *os.File // not s.file: s is nil when an error is returned
	defer func() {
		if err != nil && file != nil {
			// bbolt forgets the descriptor when it panics.
			_ = closeLocked(file)
		}
	}()
	var onFailure bolt.Logger
	if !readOnly {
		onFailure = &commitLog{Logger: silent, s: s}
	}
	err = guard(func() error {
		s.db, err = bolt.Open(path, 0o640, &bolt.Options{
			Timeout:         time.Second, // the spool's own lock is held, so only a foreign tool can have it
			NoFreelistSync:  true,
			FreelistType:    bolt.FreelistMapType,
			ReadOnly:        readOnly,
			InitialMmapSize: int(mmap),
			NoStatistics:    true,
			Logger:          onFailure,
			OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
				f, err := os.OpenFile(name, flag, mode)
				if err != nil {
					return nil, err
				}
				s.file, file = f, f
				if info, err := f.Stat(); err != nil || info.Size() == 0 && !readOnly {
					return f, err // bbolt will write the first pages
				}
				return f, s.check(skip...)
			},
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", path, err)
	}
	return s, nil
}

// check walks the pages of the file. It is done on the descriptor that bbolt
// maps: some file systems forget what they have in memory of a file when it is
// opened once more.
func (s *segment) check(skip ...[]byte) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	c := pageChecker{r: s.file, size: info.Size(), skip: map[string]bool{}}
	for _, name := range skip {
		c.skip[string(name)] = true
	}
	return c.check()
}

// openChecked opens a segment that exists for reading.
func openChecked(path string, number uint64) (*segment, error) {
	s, err := openSegment(path, number, 0, true)
	if err != nil {
		return nil, err
	}
	if err := s.view(func(tx *bolt.Tx) error { return checkIdentity(tx, path, number) }); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
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

// Unwrap returns the value of the panic if it is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

func isPanic(err error) bool { return errors.As(err, new(*panicError)) }

// errSeized is returned for a segment that can only be closed.
var errSeized = errors.New("bbolt panicked in it: it has to be opened again")

// begin starts a transaction. bbolt reads the meta pages from the mapping with
// its locks held, so they are read from the file first.
func (s *segment) begin(writable bool) (tx *bolt.Tx, err error) {
	if s.seized.Load() {
		return nil, fmt.Errorf("%s: %w", s.path, errSeized)
	}
	var b [1]byte
	for _, at := range [...]int64{0, int64(os.Getpagesize())} {
		if _, err := s.file.ReadAt(b[:], at); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	err = guard(func() error {
		tx, err = s.db.Begin(writable)
		return err
	})
	if isPanic(err) {
		s.seized.Store(true)
		s.broken.Store(true)
	}
	return tx, err
}

// view runs f in a read transaction.
func (s *segment) view(f func(*bolt.Tx) error) error {
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	err = guard(func() error { return f(tx) })
	if isPanic(err) {
		s.broken.Store(true)
	}
	return errors.Join(err, tx.Rollback())
}

// update runs f in a write transaction and commits it. It is not bbolt's own
// Update: that would roll back after a panic, and walk all pages.
func (s *segment) update(f func(*bolt.Tx) error) error {
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	err = guard(func() error {
		if err := f(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
	if isPanic(err) {
		s.seized.Store(true)
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

// close gives back the lock and closes the file. If bbolt holds its own locks
// for good, the mapping stays until the process ends.
func (s *segment) close() error {
	if s.seized.Load() {
		return closeLocked(s.file)
	}
	return errors.Join(unlockFile(s.file), guard(s.db.Close))
}

// silent is a logger for bbolt that prints nothing.
var silent = &bolt.DefaultLogger{Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}

// commitLog is the logger of one segment. bbolt calls Errorf when a commit has
// failed and before it walks all pages.
type commitLog struct {
	bolt.Logger
	s *segment
}

// Errorf panics with the reason if a page can't be read, which update recovers
// from.
func (l *commitLog) Errorf(string, ...any) {
	if l.s.db == nil || l.s.seized.Load() {
		return
	}
	if err := l.s.check(); err != nil {
		panic(fmt.Errorf("a commit failed, and then: %w", err))
	}
}

// closeLocked closes a file that may be locked. The lock is given back by name:
// it belongs to what the descriptor stands for, which a mapping and a process
// that is just being forked keep alive.
func closeLocked(f *os.File) error { return errors.Join(unlockFile(f), f.Close()) }

func unlockFile(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
