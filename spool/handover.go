package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ackedHead is the size from which a head without unacked blocks is replaced,
// beyond twice what it was made with.
const ackedHead = 4 << 20

// handOverLarge makes a new head if this one has grown beyond a segment, and
// beyond twice what it was made with: the closed segments keep their old state,
// which so is never more than the blocks in them.
func (s *Spool) handOverLarge() error {
	size, err := s.head.size()
	if err != nil {
		return s.poisoned(err)
	}
	if size < s.base+max(s.base, s.opts.SegmentSize) {
		return nil
	}
	return s.replace(false, false)
}

// handOverAcked gives the disk space of a head back of which nothing is
// needed any more but the state.
func (s *Spool) handOverAcked() error {
	if s.idx.needed[s.head.number] != 0 {
		return nil
	}
	size, err := s.head.size()
	if err != nil {
		return s.poisoned(err)
	}
	if size < 2*s.base+min(ackedHead, s.opts.SegmentSize) {
		return nil
	}
	if err := s.handOver(false); !errors.Is(err, ErrFull) {
		return err
	}
	return nil // a full disk only means that the old head stays for now
}

// handOver makes a new head with all state of the old one. With rescue it
// takes the old head's blocks along, and the old head is dropped; otherwise
// that becomes a closed segment, or is dropped if no chunk needs it.
// A disk without room for it is ErrFull and changes nothing. It costs the
// ballast first: new heads that do not make room are for replace.
func (s *Spool) handOver(rescue bool) error { return s.replace(rescue, true) }

// replace is handOver, without the ballast unless it may be spent.
func (s *Spool) replace(rescue, spend bool) error {
	if err := s.present(); err != nil {
		return err
	}
	x, fill := s.successor(rescue), s.keepRestored
	if rescue {
		fill = s.rescueBlocks
	}
	seg, err := s.newHead(x, fill)
	if spend && diskFull(err) && seg == nil && s.dropBallast() {
		seg, err = s.newHead(x, fill)
	}
	switch {
	case err == nil:
	case seg == nil && diskFull(err):
		s.freeAt = time.Time{} // look again before the next batch
		return fmt.Errorf("%w: new segment: %w", ErrFull, err)
	default:
		if seg != nil {
			err = errors.Join(err, seg.close())
		}
		return s.poisoned(fmt.Errorf("hand over to %s: %w", segmentName(x.state.segment), err))
	}
	return s.adopt(seg, x)
}

// successor is the index as the next head will have it.
func (s *Spool) successor(rescue bool) *index {
	x := newIndex()
	x.state = s.idx.state
	x.state.segment++
	x.inputs = maps.Clone(s.idx.inputs)
	for _, seq := range s.idx.order {
		m := s.idx.chunks[seq]
		if n := len(m.extents); rescue && n > 0 && m.extents[n-1].segment == s.idx.state.segment {
			m = m.clone()
			m.extents[n-1].segment = x.state.segment
		}
		x.set(m)
	}
	x.frozen, x.freezes = slices.Clone(s.idx.frozen), s.idx.freezes // marks stay what they are
	return x
}

// newHead writes the head that x describes and gives it its name: temporary
// file, fsync, rename, fsync of the directory. No segment is returned with an
// error from before the rename, when nothing has changed yet.
func (s *Spool) newHead(x *index, fill filler) (*segment, error) {
	path := s.segs.path(x.state.segment)
	tmp := path + tmpExt
	seg, err := s.writeHead(tmp, x, fill)
	if err == nil {
		err = s.hook("handover", ".created")
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		if seg != nil {
			err = errors.Join(err, seg.close())
		}
		_ = os.Remove(tmp) // or the next open does
		return nil, err
	}
	seg.path = path
	if err := s.hook("handover", ".renamed"); err != nil {
		return seg, err
	}
	// Not before the name is durable may anything be committed to the new
	// head: a power loss would bring the old one back.
	if err := syncDir(s.segs.dir); err != nil {
		return seg, err
	}
	return seg, s.hook("handover", ".done")
}

// filler puts the blocks into a new head that it has from the start.
type filler func(to *segment, x *index) error

// writeHead writes and fsyncs a head under a temporary name.
func (s *Spool) writeHead(tmp string, x *index, fill filler) (seg *segment, err error) {
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	seg, err = openSegment(tmp, x.state.segment, 2*s.opts.SegmentSize, false)
	if err != nil {
		return nil, err
	}
	seg.db.AllocSize = int(min(s.opts.SegmentSize/4, int64(seg.db.AllocSize)))
	err = seg.update(func(tx *bolt.Tx) error { return s.snapshot(tx, x) })
	if err == nil {
		err = fill(seg, x)
	}
	if err == nil {
		err = seg.file.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, seg.close())
	}
	return seg, nil
}

// snapshot writes x, and the old head's positions, into an empty segment.
func (s *Spool) snapshot(tx *bolt.Tx, x *index) error {
	for _, name := range append([][]byte{bucketMeta, bucketBlocks}, stateBuckets...) {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	// What every format has to have in the same place.
	meta := tx.Bucket(bucketMeta)
	if err := meta.Put(keyFormat, binary.BigEndian.AppendUint32(nil, formatVersion)); err != nil {
		return err
	}
	if err := meta.Put(keySegment, be64(x.state.segment)); err != nil {
		return err
	}
	w := entries{tx: tx}
	for _, name := range slices.Sorted(maps.Keys(x.inputs)) {
		if err := w.putCounter(name, x.inputs[name]); err != nil {
			return err
		}
	}
	for _, seq := range x.order {
		if err := w.putManifest(x.chunks[seq]); err != nil {
			return err
		}
	}
	for _, n := range x.closedNeeded() {
		if err := w.put(bucketSegments, be64(n), nil); err != nil {
			return err
		}
	}
	if err := s.copyPositions(&w); err != nil {
		return err
	}
	return w.putState(&x.state)
}

func (s *Spool) copyPositions(w *entries) error {
	if s.head == nil {
		return nil
	}
	return s.head.view(func(tx *bolt.Tx) error {
		return eachEntry(tx, bucketPositions, func(key, payload []byte) error {
			return w.put(bucketPositions, key, payload)
		})
	})
}

// rescueSize bounds the memory of one transaction of rescueBlocks.
const rescueSize = 8 << 20

// rescueBlocks copies all blocks of the old head. One that cannot be read any
// more is left out: its chunk's manifest still counts it, so that the reader
// finds the damage. The old head is kept aside then.
func (s *Spool) rescueBlocks(to *segment, x *index) error {
	whole := true
	for _, seq := range x.order {
		if s.idx.chunks[seq].in(s.head.number) == 0 {
			continue
		}
		keys, err := s.blockKeys(s.head.number, seq)
		if err != nil {
			s.log.Error("blocks are damaged and left behind", "segment", s.head.path, "chunk", seq, "error", err)
		}
		whole = whole && uint64(len(keys)) >= s.idx.chunks[seq].in(s.head.number)
		for len(keys) > 0 {
			err := to.update(func(tx *bolt.Tx) (err error) {
				keys, err = s.copyBlocks(tx, seq, keys, &whole)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	if !whole {
		if err := s.keep(s.head.number); err != nil {
			return err
		}
	}
	return s.copyRestored(to, x, s.head.number)
}

// copyBlocks copies some blocks and returns the keys of the rest. One that it
// leaves out makes whole false.
func (s *Spool) copyBlocks(tx *bolt.Tx, seq uint64, keys []blockKey, whole *bool) ([]blockKey, error) {
	for size := 0; len(keys) > 0 && size < rescueSize; keys = keys[1:] {
		k := keys[0]
		v, err := s.rawBlock(s.head.number, seq, k, nil)
		if err != nil {
			v, err = s.restoredBlock(s.head.number, seq, k, nil)
		}
		if err != nil {
			s.log.Error("block is damaged and left behind", "segment", s.head.path, "chunk", seq, "batch", k.batch, "error", err)
			*whole = false
			continue
		}
		if err := putBlock(tx, seq, k.batch, k.index, v); err != nil {
			return nil, err
		}
		size += len(v)
	}
	return keys, nil
}

// in returns how many blocks the chunk has in a segment.
func (m *manifest) in(number uint64) uint64 {
	for _, e := range m.extents {
		if e.segment == number {
			return e.blocks
		}
	}
	return 0
}

// adopt makes seg the head and drops the old one if nothing needs it.
func (s *Spool) adopt(seg *segment, x *index) (err error) {
	if s.base, err = seg.size(); err != nil {
		return s.poisoned(errors.Join(err, seg.close()))
	}
	old := s.head
	// Readers find either the old index and the old head, which stays open for
	// them, or the new ones.
	s.head, s.spare = seg, 0
	s.segs.setHead(seg)
	s.pub.Lock()
	s.idx = x
	s.announce()
	s.pub.Unlock()
	if old != nil && x.needed[old.number] == 0 {
		s.unlink([]uint64{old.number})
	}
	return nil
}

// unlink removes segment files that no chunk needs. One that stays behind
// because of an error or a crash is not on the head's list, and is removed at
// the next open.
func (s *Spool) unlink(numbers []uint64) {
	if len(numbers) == 0 {
		return
	}
	for _, n := range numbers {
		err := s.hook("unlink", ".before")
		s.segs.drop(n)
		if err == nil {
			err = s.keepReturned(n)
		}
		if err == nil {
			err = os.Remove(s.segs.path(n))
		}
		if err == nil {
			err = s.hook("unlink", ".after")
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("segment stays until the next start", "segment", s.segs.path(n), "error", err)
		}
	}
	s.freeAt = s.freeAt.Add(-freeInterval) // there is more room now: look again
}
