package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// Open opens or creates the spool in o.Dir. A directory that another process
// has is a *LockedError. A head that is damaged or of a newer format is
// refused and left as it is. With Suspect, a disk without room for a second
// head is an ErrFull: nothing is lost, try again when there is room.
func Open(o Options) (*Spool, error) {
	s, err := newSpool(o)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.segs.close(), s.unlock())
	}
	return s, nil
}

// newSpool fills in what the options leave open.
func newSpool(o Options) (*Spool, error) {
	s := &Spool{opts: o, log: o.Logger, idx: newIndex(), aside: map[uint64]bool{}, changed: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.opts.fitSegments()
	// The directory is asked for by path before each commit, so the path must
	// not depend on the working directory.
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	s.opts.Dir = dir
	s.segs = newSegments(filepath.Join(dir, queueDir))
	return s, nil
}

// fitSegments keeps segments small against the spool.
func (o *Options) fitSegments() {
	if o.SegmentSize <= 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.MaxSize > 0 {
		o.SegmentSize = min(o.SegmentSize, max(o.MaxSize/8, 1))
	}
	if strconv.IntSize == 32 { // six are mapped at once, at up to twice their size
		o.SegmentSize = min(o.SegmentSize, maxSegment32)
	}
}

// prepare makes the directories and takes the lock. What Suspect speaks of was
// there a moment ago: a new spool in its place would forget every position.
func (s *Spool) prepare() (err error) {
	if _, err := os.Stat(s.segs.dir); errors.Is(err, os.ErrNotExist) {
		switch {
		case s.opts.Suspect:
			return fmt.Errorf("%w: %s", ErrVanished, s.segs.dir)
		case s.opts.ReadOnly:
			return fmt.Errorf("%w in %s", ErrNoSpool, s.opts.Dir)
		}
	}
	if !s.opts.ReadOnly {
		for _, d := range []string{"", queueDir, quarantineDir} {
			if err := os.MkdirAll(filepath.Join(s.opts.Dir, d), 0o750); err != nil {
				return fmt.Errorf("state directory: %w", err)
			}
		}
	}
	if s.dir, err = homeOf(s.opts.Dir); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	s.lock, err = takeLock(s.opts.Dir, s.opts.ReadOnly)
	return err
}

// Dirs returns the directories in which a spool in dir keeps its files.
func Dirs(dir string) []string {
	return []string{dir, filepath.Join(dir, queueDir), filepath.Join(dir, quarantineDir)}
}

// open brings the directory into a state where it may be written.
func (s *Spool) open() error {
	if !s.opts.ReadOnly {
		if err := s.settle(); err != nil {
			return err
		}
		if _, err := os.Lstat(s.suspectMark()); err == nil {
			s.opts.Suspect = true
		}
	}
	numbers, err := s.scan()
	if err != nil {
		return err
	}
	if len(numbers) == 0 && s.opts.Suspect {
		return fmt.Errorf("%w: no segment is left in %s", ErrVanished, s.segs.dir)
	}
	if len(numbers) == 0 {
		return s.create()
	}
	if err := s.load(numbers[len(numbers)-1]); err != nil || s.opts.ReadOnly {
		return err
	}
	if err := s.settleHead(); err != nil {
		return err
	}
	if err := s.settleHome(); err != nil {
		return err
	}
	if err := s.removeLeftovers(numbers[:len(numbers)-1]); err != nil {
		return err
	}
	s.ensureBallast()
	return nil
}

// settleHead makes durable what the head says, before anyone acts on it: a
// process that was killed in a commit may have left it in memory only, and a
// chunk must not be shipped under a name that a power loss takes back. A head
// that a sync failed for is not asked again, but replaced.
func (s *Spool) settleHead() error {
	if !s.opts.Suspect {
		err := s.head.file.Sync()
		if err == nil {
			return nil
		}
		s.log.Error("the head cannot be synced: it is replaced", "segment", s.head.path, "error", err)
	}
	if err := s.handOver(true); err != nil {
		return err
	}
	if err := os.Remove(s.suspectMark()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// suspectMark is a file that tells the next process what Suspect tells the
// next Open in this one.
func (s *Spool) suspectMark() string { return filepath.Join(s.opts.Dir, suspectName) }

// settle removes temporary files and makes all names durable: a rename that
// an earlier run did not get to sync counts from here on.
func (s *Spool) settle() error {
	for _, d := range []string{s.segs.dir, filepath.Join(s.opts.Dir, quarantineDir)} {
		files, err := os.ReadDir(d)
		if err != nil {
			return err
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), tmpExt) {
				continue
			}
			if err := os.Remove(filepath.Join(d, f.Name())); err != nil {
				return err
			}
		}
		if err := syncDir(d); err != nil {
			return err
		}
	}
	if err := syncDir(s.opts.Dir); err != nil {
		return err
	}
	// The state directory may have been made a moment ago. Who made it in a
	// directory that this user may not read has seen to it.
	if err := syncDir(filepath.Dir(s.opts.Dir)); !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// scan lists the segments by ascending number. A name that only looks like a
// segment's is an error: guessing its number could make it the head.
func (s *Spool) scan() ([]uint64, error) {
	files, err := os.ReadDir(s.segs.dir)
	if err != nil {
		return nil, fmt.Errorf("spool in %s: %w", s.opts.Dir, err)
	}
	var numbers []uint64
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), segmentExt)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil || n == 0 || segmentName(n) != f.Name() {
			return nil, fmt.Errorf("%s: not the name of a segment: move the file out of the way", filepath.Join(s.segs.dir, f.Name()))
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// create makes the first head.
func (s *Spool) create() error {
	if s.opts.ReadOnly {
		return fmt.Errorf("%w in %s", ErrNoSpool, s.opts.Dir)
	}
	x := newIndex()
	x.state.segment, x.state.queue, x.state.home = 1, newQueueID(), s.dir
	seg, err := s.newHead(x, func(*segment, *index) error { return nil })
	if err != nil {
		if seg != nil {
			err = errors.Join(err, seg.close())
		}
		return fmt.Errorf("create spool in %s: %w", s.opts.Dir, err)
	}
	if err := s.adopt(seg, x); err != nil {
		return err
	}
	s.ensureBallast()
	return nil
}

// load reads the head, which is the segment of the highest number, without
// writing to it, and only then opens it for writing.
func (s *Spool) load(number uint64) error {
	path := s.segs.path(number)
	seg, err := openChecked(path, number)
	if err == nil {
		err = seg.view(func(tx *bolt.Tx) (err error) {
			s.idx, err = readIndex(tx, number)
			return err
		})
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", path, err), seg.close())
		}
	}
	if err != nil {
		return s.refuse(path, err)
	}
	// A suspect head is only read from: its successor is written instead.
	if !s.opts.ReadOnly && !s.opts.Suspect {
		if err := seg.close(); err != nil {
			return fmt.Errorf("close segment %s: %w", path, err)
		}
		if seg, err = openSegment(path, number, 2*s.opts.SegmentSize, false); err != nil {
			return err
		}
		seg.db.AllocSize = int(min(s.opts.SegmentSize/4, int64(seg.db.AllocSize)))
	}
	s.head = seg
	s.segs.setHead(seg)
	return nil
}

// refuse says what can be done about a head that cannot be used.
func (s *Spool) refuse(path string, err error) error {
	if p := (*misnamedError)(nil); errors.As(err, &p) {
		return fmt.Errorf("%w (the other one is %s)", err, filepath.Join(s.segs.dir, segmentName(p.number)))
	}
	if v := (*versionError)(nil); errors.As(err, &v) || errors.Is(err, os.ErrPermission) {
		return err
	}
	for _, passing := range [...]error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ESTALE, berrors.ErrTimeout} {
		if errors.Is(err, passing) {
			return err // says nothing of the head; a bad sector (EIO) does
		}
	}
	return fmt.Errorf("%w, nothing was changed: %w; run `spoolship spool repair` to see what can be saved of %s",
		ErrDamagedHead, err, path)
}

// settleHome notices that the state directory is a copy. Two agents that ship
// one queue would put different chunks under the same numbers, so the copy
// takes a queue id of its own: its open chunks go on under it, numbered from 1.
// Sealed chunks are frozen: original and copy ship them as the same objects.
func (s *Spool) settleHome() error {
	was := s.idx.state.home
	if was == s.dir {
		return nil
	}
	copied := was.moved(s.dir)
	err := s.update("home", true, func(t *txn) error {
		t.state.home = s.dir
		if !copied {
			return nil
		}
		t.state.queue = newQueueID()
		for name, c := range t.x.inputs {
			t.inputs[name] = &counter{queue: t.state.queue, next: 1, dropped: c.dropped}
		}
		for _, seq := range t.x.order {
			if t.x.chunks[seq].state == StateOpen {
				m := t.chunk(seq)
				m.relabel(t.state.queue, t.inputs[m.input].next)
				t.inputs[m.input].next++
			}
		}
		return nil
	})
	if !copied && errors.Is(err, ErrFull) {
		return nil // only what boot it is; acks can get on with making room
	}
	if err == nil && copied {
		s.log.Warn("the state directory is a copy or was restored: it gets a new queue id; "+
			"lines that the original also ships arrive twice, under both ids",
			"dir", s.opts.Dir, "queue", s.idx.state.queue)
	}
	return err
}

// removeLeftovers unlinks closed segments that the head does not list: a
// crash came between the commit that released them and their unlinking. What
// cannot be recognised as one of those is set aside.
func (s *Spool) removeLeftovers(numbers []uint64) error {
	var done []uint64
	for _, n := range numbers {
		if s.idx.needed[n] != 0 {
			continue // not looked at: opening must not depend on the backlog
		}
		if s.kept(n) {
			done = append(done, n)
			continue
		}
		path := s.segs.path(n)
		seg, err := openChecked(path, n)
		switch p := (*misnamedError)(nil); {
		case errors.As(err, &p):
			return s.refuse(path, err)
		case err != nil:
			s.log.Error("segment is damaged and not needed: set aside", "segment", path, "error", err)
			if err := os.Rename(path, s.asidePath(segmentName(n))); err != nil {
				return err
			}
			continue
		}
		if err := seg.close(); err != nil {
			return err
		}
		done = append(done, n)
	}
	s.unlink(done)
	return nil
}

// readIndex reads and checks all state of a head but the positions' contents.
func readIndex(tx *bolt.Tx, number uint64) (*index, error) {
	x := newIndex()
	var err error
	if x.state, err = readState(tx); err != nil {
		return nil, err
	}
	if q := tx.Bucket(bucketMeta).Get(keyQueue); x.state.segment != number || string(q) != x.state.queue {
		return nil, errors.New("the state is another segment's")
	}
	if tx.Bucket(bucketBlocks) == nil {
		return nil, errNoBlocks
	}
	// Reading goes through all entries once, so the tally costs nothing more.
	var sum tally
	listed := map[uint64]bool{}
	read := map[string]func(k, p []byte) error{
		string(bucketInputs): func(k, p []byte) (err error) {
			x.inputs[string(k)], err = decodeCounter(p)
			return err
		},
		string(bucketPositions): func(k, _ []byte) error {
			_, err := from64(k)
			return err
		},
		string(bucketChunks): func(k, p []byte) error { return x.read(k, p) },
		string(bucketSegments): func(k, _ []byte) error {
			n, err := from64(k)
			listed[n] = true
			return err
		},
	}
	for _, name := range stateBuckets {
		if err := tallyEntries(tx, name, &sum, read[string(name)]); err != nil {
			return nil, err
		}
	}
	if sum != x.state.tally {
		return nil, fmt.Errorf("%d state entries with sum %x, want %d with %x", sum.count, sum.sum, x.state.tally.count, x.state.tally.sum)
	}
	return x, x.check(listed)
}

// read takes in one entry of the chunks bucket.
func (x *index) read(k, p []byte) error {
	seq, err := from64(k)
	if err != nil {
		return err
	}
	m, err := decodeManifest(seq, p)
	if err != nil {
		return fmt.Errorf("chunk %d: %w", seq, err)
	}
	x.set(m)
	return nil
}

// check compares what the head says in two places.
func (x *index) check(listed map[uint64]bool) error {
	for n := range x.needed {
		if n > x.state.segment || n < x.state.segment && !listed[n] {
			return fmt.Errorf("chunks need segment %d, which the head does not list", n)
		}
	}
	for _, m := range x.chunks {
		c, ok := x.inputs[m.input]
		if l := m.own(); m.seq >= x.state.nextSeq || l.queue == x.state.queue && (!ok || l.number >= c.next) {
			return fmt.Errorf("chunk %d is beyond its input's counter", m.seq)
		}
	}
	return nil
}

// eachEntry calls f with the checked payloads of a state bucket.
func eachEntry(tx *bolt.Tx, bucket []byte, f func(key, payload []byte) error) error {
	return tallyEntries(tx, bucket, &tally{}, f)
}

func tallyEntries(tx *bolt.Tx, bucket []byte, sum *tally, f func(key, payload []byte) error) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return fmt.Errorf("there is no bucket %s", bucket)
	}
	return b.ForEach(func(k, v []byte) error {
		p, err := openEntry(bucket, k, v)
		if err != nil {
			return err
		}
		sum.add(v)
		return f(k, p)
	})
}
