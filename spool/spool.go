package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Options says where a spool lives and how much it may hold.
type Options struct {
	Dir         string // state directory; created (0750) unless ReadOnly
	SegmentSize int64  // bytes after which the head is handed over; 0 means 64 MiB; at most 128 MiB on 32 bits
	MaxSize     int64  // limit of what unacked chunks take of the disk; 0 means none
	MinFree     int64  // bytes to leave free on the file system; 0 means none

	// ReadOnly opens a stopped agent's spool for looking at: only Chunks,
	// OpenChunk, Positions, Stats and Verify may be called.
	ReadOnly bool

	// Suspect says that the previous user of the directory in this process
	// ended in ErrOutcomeUnknown: the head's pages may be in the page cache
	// only, so Open moves everything live into a new, fsynced head first. A
	// file in the directory says the same to a later process.
	Suspect bool

	Logger *slog.Logger // nil means discard

	// Hook, if set, is called with the name of each durable step; an error it
	// returns is treated as the failure of that step. Tests crash or inject
	// faults there.
	// The steps: append.commit, append.committed, seal.commit, seal.committed,
	// ack.commit, ack.committed, bury.quarantined, bury.commit, bury.committed,
	// drop.commit, drop.committed, restore.commit, restore.committed, home.commit, home.committed, handover.created, handover.renamed,
	// handover.done, unlink.before, unlink.after.
	Hook func(step string) error
}

// defaultSegmentSize bounds what a hand-over leaves behind, and keeps the
// mapping of the head small.
const defaultSegmentSize = 64 << 20

// maxSegment32 is the most where a process has at most 3 GiB of addresses.
const maxSegment32 = 128 << 20

// Errors that callers tell apart with errors.Is / errors.As.
var (
	// ErrFull: MaxSize or MinFree would be exceeded, or the disk ran full.
	// Nothing was changed; wait on Changed and try the call again; now and then
	// without it, as room that others make on the file system is not announced.
	// Where a limit was reached, it is a FullError.
	ErrFull = errors.New("spool is full")
	// ErrOutcomeUnknown: a commit failed, so it may or may not be on disk. The
	// spool takes no more writes: Close it, Open it again with Suspect, and
	// take the positions from disk.
	ErrOutcomeUnknown = errors.New("commit failed, outcome unknown")
	// ErrVanished: the state directory or the head was removed or replaced
	// under the running agent.
	ErrVanished = errors.New("state directory was removed")
	// ErrDamagedHead: Open refuses the head; see Examine and Salvage.
	ErrDamagedHead = errors.New("the spool's head is damaged")
	// ErrNoSpool: there is nothing to read in the directory yet.
	ErrNoSpool = errors.New("there is no spool")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
	// ErrNoChunk: the spool has no unacked chunk of that Seq (any more).
	ErrNoChunk = errors.New("no such chunk")
)

// FullError is the ErrFull of a limit.
type FullError struct {
	Missing int64 // bytes that have to be given up before the call can succeed
	what    string
}

func (e *FullError) Error() string { return ErrFull.Error() + ": " + e.what }

// Is makes errors.Is(e, ErrFull) true.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// LockedError says that another process has the state directory.
type LockedError struct {
	Dir string
	PID int // 0 if unknown
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("state directory %s is in use by process %d", e.Dir, e.PID)
}

// Spool is an open queue. Append and Seal may be called by one goroutine
// each; everything else by any.
type Spool struct {
	opts Options
	log  *slog.Logger
	lock *os.File
	segs *segments

	// mu is held by whoever writes to disk, for the whole of it.
	mu     sync.Mutex
	head   *segment
	base   int64 // size of the head when it was made
	dir    home  // of the state directory, as opened
	arena  []byte
	values []byte
	free   int64           // bytes free on the file system, less what was appended since
	freeAt time.Time       // when free was measured
	spare  int64           // of the head's bytes, those that drops gave up and no append took yet
	poison error           // why nothing more may be written
	aside  map[uint64]bool // segments that were kept in quarantine/
	closed bool

	// pub guards idx for those who do not hold mu. Changing it takes both.
	pub     sync.RWMutex
	idx     *index
	given   uint64 // newest file id given out by NextFile
	changed chan struct{}
}

// Close waits for running calls, releases the lock and closes all files.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.segs.close(), s.unlock())
}

// unlock gives the lock back by name, not only by closing: a process that is
// just being forked has a copy of the descriptor.
func (s *Spool) unlock() error {
	if !s.opts.ReadOnly {
		_ = s.lock.Truncate(0) // the process id is for people; nothing depends on it
	}
	return errors.Join(unix.Flock(int(s.lock.Fd()), unix.LOCK_UN), s.lock.Close())
}

// SetLimits changes what Options says of sizes: MaxSize, MinFree, and the
// SegmentSize of segments that are made from now on.
func (s *Spool) SetLimits(maxSize, minFree, segmentSize int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.MaxSize, s.opts.MinFree, s.opts.SegmentSize = maxSize, minFree, segmentSize
	s.opts.fitSegments()
	s.pub.Lock()
	defer s.pub.Unlock()
	s.announce() // there may be room now
}

// Positions returns all durable positions, by ascending file id. Where they
// can't be read, the error is an ErrOutcomeUnknown: a new Open may get over it.
func (s *Spool) Positions() ([]Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	var ps []Position
	err := s.head.view(func(tx *bolt.Tx) error {
		return eachEntry(tx, bucketPositions, func(key, payload []byte) error {
			file, err := from64(key)
			ps = append(ps, Position{File: file, Data: append([]byte{}, payload...)})
			return err
		})
	})
	if err != nil && !s.opts.ReadOnly {
		return nil, s.poisoned(fmt.Errorf("segment %s: %w", s.head.path, err))
	}
	return ps, err
}

// NextFile returns a file id above every id that was ever appended, and never
// the same one twice.
func (s *Spool) NextFile() uint64 {
	s.pub.Lock()
	defer s.pub.Unlock()
	s.given = max(s.given+1, s.idx.state.nextFile)
	return s.given
}

// Chunks returns all unacked chunks by ascending Seq.
func (s *Spool) Chunks() []Chunk {
	s.pub.RLock()
	defer s.pub.RUnlock()
	return s.idx.list()
}

// Len returns the number of unacked chunks.
func (s *Spool) Len() int {
	s.pub.RLock()
	defer s.pub.RUnlock()
	return len(s.idx.chunks)
}

// OpenChunks returns the open chunks by ascending Seq. Its cost does not depend
// on the backlog.
func (s *Spool) OpenChunks() []Chunk {
	s.pub.RLock()
	defer s.pub.RUnlock()
	cs := make([]Chunk, 0, len(s.idx.open))
	for _, seq := range s.idx.openSeqs() {
		cs = append(cs, s.idx.chunks[seq].chunk())
	}
	return cs
}

// NextSealed returns the first sealed chunk or tombstone whose Seq is above
// after, and false if there is none. Its cost does not depend on the backlog.
func (s *Spool) NextSealed(after uint64) (Chunk, bool) {
	s.pub.RLock()
	defer s.pub.RUnlock()
	m := s.idx.nextSealed(after)
	if m == nil {
		return Chunk{}, false
	}
	return m.chunk(), true
}

// Frozen returns the unacked chunks that were sealed, or became tombstones while
// open, after an earlier call returned the mark since, and a mark for the next call.
// 0 is the mark of none. Its cost does not depend on the backlog.
func (s *Spool) Frozen(since uint64) (chunks []Chunk, mark uint64) {
	s.pub.RLock()
	defer s.pub.RUnlock()
	return s.idx.frozenSince(since)
}

// Held returns what unacked chunks take of the disk, as MaxSize counts it: those
// of one input, and all. Its cost does not depend on the backlog.
func (s *Spool) Held(input string) (own, all int64) {
	s.pub.RLock()
	defer s.pub.RUnlock()
	return s.idx.held[input], s.idx.disk
}

// Changed returns a channel that is closed at the next change of any chunk
// (made, sealed, acked, buried, dropped) or of the room left.
func (s *Spool) Changed() <-chan struct{} {
	s.pub.RLock()
	defer s.pub.RUnlock()
	return s.changed
}

// announce closes the channel that Changed gave out. Callers hold pub.
func (s *Spool) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Stats returns current figures.
func (s *Spool) Stats() Stats {
	st, numbers := s.figures()
	for _, n := range numbers {
		// A segment may be unlinked just now, or be missing altogether.
		if used, err := diskUsage(s.segs.path(n)); err == nil {
			st.Segments++
			st.DiskBytes += used
		}
	}
	var err error
	if st.FreeBytes, err = freeBytes(s.opts.Dir); err != nil {
		st.FreeBytes = -1
	}
	return st
}

// Counters returns the numbers of all inputs that the spool knows, by name. A
// chunk whose number is below Next and that Chunks has not was acked.
func (s *Spool) Counters() []Counter {
	s.pub.RLock()
	defer s.pub.RUnlock()
	list := make([]Counter, 0, len(s.idx.inputs))
	for _, name := range slices.Sorted(maps.Keys(s.idx.inputs)) {
		c := s.idx.inputs[name]
		list = append(list, Counter{Input: name, Queue: c.queue, Next: c.next})
	}
	return list
}

// figures returns what memory knows, and the segments to ask the disk about.
func (s *Spool) figures() (Stats, []uint64) {
	s.pub.RLock()
	defer s.pub.RUnlock()
	x := s.idx
	var dropped Loss
	for _, c := range x.inputs {
		dropped.add(c.dropped)
	}
	return Stats{
		Queue: x.state.queue, Batch: x.state.batch, Unacked: x.unacked, Taken: x.disk,
		OpenChunks: len(x.open), SealedChunks: len(x.chunks) - len(x.open),
		Quarantined: int64(x.state.quarantined), Dropped: dropped,
	}, append(x.closedNeeded(), x.state.segment)
}
