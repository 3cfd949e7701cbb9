package spool

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Report is what is to be found of a head that Open refuses.
type Report struct {
	Head   string  // path of the head's file
	Damage error   // why it is refused; nil: it is not, and the rest is empty
	Pages  []error // damaged places in the tree of pages
	// State is nil if all but the blocks can be read: positions, manifests and
	// numbers. Then a salvage is exact, up to the blocks that are missing.
	State   error
	Files   int // with a position, if the state can be read
	Missing int // blocks that unacked chunks have in the head and that were not found intact
	Chunks  []FoundChunk
}

// FoundChunk is what the head's file has of one chunk.
type FoundChunk struct {
	Input       string
	Queue       string
	Number, Seq uint64
	Intact      int     // blocks
	Damaged     int     // blocks with an intact header and damaged data
	Records     int64   // in the intact blocks
	Ranges      []Range // that the intact blocks cover, joined per file
	Unacked     bool    // the state, if it can be read, has the chunk; others were shipped, or set aside
}

// Examine looks at the head of a stopped agent's spool and changes nothing.
func Examine(dir string) (*Report, error) {
	s, err := openDamaged(Options{Dir: dir, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	r, err := s.examine()
	return r, errors.Join(err, s.segs.close(), s.unlock())
}

// Salvage replaces a head that Open refuses by a new one with the same state
// and with all its blocks that are found. The old one goes to quarantine/, its
// intact blocks beside it as a file of their own. If the state cannot be read,
// nothing is changed, and the report's State is not nil; with anew, all
// segments go to quarantine/ like this, and the next Open makes an empty
// spool. It may be repeated after a crash.
func Salvage(o Options, anew bool) (*Report, error) {
	s, err := openDamaged(o)
	if err != nil {
		return nil, err
	}
	r, err := s.examine()
	switch {
	case err != nil || r.Damage == nil:
	case r.State == nil:
		err = s.replaceHead()
	case anew:
		err = s.startAnew()
	}
	return r, errors.Join(err, s.segs.close(), s.unlock())
}

// openDamaged takes the lock of a spool and finds its head without reading it.
func openDamaged(o Options) (*Spool, error) {
	s, err := newSpool(o)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.segs.dir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNoSpool, s.opts.Dir)
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	numbers, err := s.scan()
	if err == nil && len(numbers) == 0 {
		err = fmt.Errorf("%w in %s", ErrNoSpool, s.opts.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	s.idx.state.segment = numbers[len(numbers)-1]
	return s, nil
}

// examine reads of the head what can be read. If that is all of the state, the
// spool has it afterwards.
func (s *Spool) examine() (*Report, error) {
	number := s.idx.state.segment
	r := &Report{Head: s.segs.path(number)}
	seg, err := openChecked(r.Head, number)
	if err == nil {
		_, err = readHead(seg)
		err = errors.Join(err, seg.close())
	}
	if err == nil {
		return r, nil
	}
	if r.Damage = s.refuse(r.Head, err); !errors.Is(r.Damage, ErrDamagedHead) {
		return nil, r.Damage
	}
	r.Damage = err
	if err := withFile(r.Head, func(f *os.File, size int64) error {
		c := pageChecker{r: f, size: size, report: func(err error) { r.Pages = append(r.Pages, err) }}
		if err := c.check(); err != nil {
			r.Pages = append(r.Pages, err)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	r.State = s.readDamaged(number)
	return r, s.find(r, number)
}

func readHead(seg *segment) (x *index, err error) {
	err = seg.view(func(tx *bolt.Tx) error {
		if x, err = readIndex(tx, seg.number); err != nil {
			return err
		}
		return eachEntry(tx, bucketPositions, func(_, _ []byte) error { return nil })
	})
	return x, err
}

// readDamaged reads the state of a head some of whose other pages are damaged.
// A read transaction touches only the pages that it is led to, so once those
// of the state are checked bbolt can be let in.
func (s *Spool) readDamaged(number uint64) error {
	path := s.segs.path(number)
	seg, err := openSegment(path, number, 0, true, bucketBlocks, bucketRestored)
	if err != nil {
		return errors.Unwrap(err) // without the path, which the report names already
	}
	err = seg.view(func(tx *bolt.Tx) error { return checkIdentity(tx, path, number) })
	if err == nil {
		var x *index
		if x, err = readHead(seg); err == nil {
			s.idx, s.head = x, seg
			s.segs.setHead(seg)
			return nil
		}
	}
	return errors.Join(err, seg.close())
}

// find fills in what blocks there are.
func (s *Spool) find(r *Report, number uint64) error {
	found, intact := map[uint64]*FoundChunk{}, map[string]bool{} // by header: a block may be there more than once
	err := s.carveFile(number, func(c *carved) error {
		f := found[c.h.seq]
		if f == nil {
			f = &FoundChunk{Input: c.h.block.Input, Queue: c.h.queue, Number: c.h.number, Seq: c.h.seq}
			found[f.Seq] = f
		}
		was, known := intact[string(c.head)]
		if known && (was || !c.sound) {
			return nil
		}
		intact[string(c.head)] = c.sound
		if !c.sound {
			f.Damaged++
			return nil
		}
		if known {
			f.Damaged--
		}
		f.Intact++
		f.Records += c.h.block.Records
		f.Ranges = append(f.Ranges, c.h.block.Ranges...)
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range found {
		f.Unacked = s.idx.chunks[f.Seq] != nil
		f.Ranges = joinRanges(f.Ranges)
		r.Chunks = append(r.Chunks, *f)
	}
	slices.SortFunc(r.Chunks, func(a, b FoundChunk) int { return cmp.Compare(a.Seq, b.Seq) })
	if r.State != nil {
		return nil
	}
	r.Files, err = s.countPositions()
	for _, seq := range s.idx.order {
		m := s.idx.chunks[seq]
		ps, perr := s.places(number, m)
		r.Missing += int(m.in(number)) - len(slices.DeleteFunc(ps, func(p place) bool { return !p.sound }))
		err = errors.Join(err, perr)
	}
	return err
}

func (s *Spool) countPositions() (n int, err error) {
	return n, s.head.view(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucketPositions).Stats().KeyN
		return nil
	})
}

// joinRanges sorts ranges by file and joins those that meet.
func joinRanges(all []Range) (joined []Range) {
	slices.SortFunc(all, func(a, b Range) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.From, b.From)) })
	for _, r := range all {
		if n := len(joined); n > 0 && joined[n-1].File == r.File && joined[n-1].To == r.From {
			joined[n-1].To = r.To
			joined[n-1].Records += r.Records
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// replaceHead makes a new head of the state and of the blocks that are found.
func (s *Spool) replaceHead() error {
	if err := s.settle(); err != nil {
		return err
	}
	number := s.head.number
	if err := s.exportBlocks(number, "the head is damaged; its state was saved"); err != nil {
		return err
	}
	seg, err := s.newHead(s.successor(true), s.carveBlocks)
	if seg != nil {
		err = errors.Join(err, seg.close())
	}
	if err != nil {
		return err
	}
	// A crash here leaves a damaged segment that the new head does not list:
	// the next Open sets it aside.
	return s.setSegmentAside(number)
}

// carveBlocks copies blocks from the old head's file into a new head, damaged
// ones too: their headers say how to restore them. It is a filler.
func (s *Spool) carveBlocks(to *segment, x *index) error {
	for _, seq := range x.order {
		m := s.idx.chunks[seq]
		if m.in(s.head.number) == 0 {
			continue
		}
		ps, err := s.places(s.head.number, m)
		if err != nil {
			return err
		}
		for i := range ps {
			v, err := s.placed(s.head.number, &ps[i])
			if err != nil {
				return err
			}
			err = to.update(func(tx *bolt.Tx) error { return putBlock(tx, seq, ps[i].batch, ps[i].index, v) })
			if err != nil {
				return err
			}
		}
	}
	if s.head.check(bucketBlocks) == nil {
		return s.copyRestored(to, x, s.head.number)
	}
	return s.carveRestored(to, x)
}

// startAnew sets all segments aside. The head goes last: without it, the
// segment before would be taken for the head, with a state of long ago.
func (s *Spool) startAnew() error {
	if err := s.settle(); err != nil {
		return err
	}
	numbers, err := s.scan()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := s.exportBlocks(n, "the head was damaged; the spool was started anew"); err != nil {
			return err
		}
	}
	// To the next Open, a suspect spool without segments would be a vanished one.
	if err := os.Remove(s.suspectMark()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, n := range numbers {
		if err := s.setSegmentAside(n); err != nil {
			return err
		}
	}
	return nil
}

// exportBlocks writes all intact blocks of a segment to quarantine/.
func (s *Spool) exportBlocks(number uint64, reason string) error {
	path := s.asidePath(strings.TrimSuffix(segmentName(number), segmentExt) + ".blocks")
	seen := map[string]bool{}
	var records int64
	err := writeDurably(path, func(f *os.File) error {
		return s.carveFile(number, func(c *carved) error {
			if !c.sound || seen[string(c.head)] {
				return nil
			}
			seen[string(c.head)] = true
			records += c.h.block.Records
			_, err := f.Write(c.value)
			return err
		})
	})
	if err != nil {
		return err
	}
	return writeDurably(strings.TrimSuffix(path, ".blocks")+".txt", func(f *os.File) error {
		_, err := fmt.Fprintf(f, "%s %s: %d blocks, %d records: %s\n", time.Now().UTC().Format(time.RFC3339),
			segmentName(number), len(seen), records, reason)
		return err
	})
}

// setSegmentAside moves a segment to quarantine/ for good.
func (s *Spool) setSegmentAside(number uint64) error {
	if err := os.Rename(s.segs.path(number), s.asidePath(segmentName(number))); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Join(s.opts.Dir, quarantineDir)), syncDir(s.segs.dir))
}

// asidePath returns a path in quarantine/ for a name, with a number added to
// it if there is a file of that name: a spool that was started anew counts its
// segments anew.
func (s *Spool) asidePath(name string) string {
	ext := filepath.Ext(name)
	for i, stem, at := 2, strings.TrimSuffix(name, ext), name; ; i++ {
		path := filepath.Join(s.opts.Dir, quarantineDir, at)
		if _, err := os.Lstat(path); err != nil {
			return path
		}
		at = fmt.Sprintf("%s-%d%s", stem, i, ext)
	}
}

// withFile calls f with a file and its size.
func withFile(path string, f func(file *os.File, size int64) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return f(file, info.Size())
}
