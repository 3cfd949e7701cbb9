package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// Restored blocks are the head's copies of blocks that are damaged where the
// manifest says they are. They are only looked for when the block itself is
// damaged, and are under the same checks; losing one is losing nothing more.

// Rebuild returns the stored bytes of a block that is damaged. b is what its
// header says, without Data; fits says whether bytes are the ones that were
// stored. Both are valid during the call only.
type Rebuild func(b *Block, fits func(data []byte) bool) ([]byte, error)

// Restore makes a damaged chunk whole again, bit for bit: blocks of a segment
// whose pages are damaged are looked for in its file, and damaged data whose
// header is sound is asked for from rebuild. It returns nil when the whole
// chunk, digest included, can be read, and how many blocks it has restored. A
// chunk that stays damaged is a *DamageError, and may be restored in part.
func (s *Spool) Restore(seq uint64, rebuild Rebuild) (restored int, err error) {
	r, err := s.OpenChunk(seq)
	if err != nil {
		return 0, err
	}
	for part, e := range r.m.extents {
		if err := r.load(part); err == nil {
			continue
		} else if unread(err) {
			return restored, err
		}
		n, err := s.salvage(r.m, e, rebuild)
		if restored += n; err != nil {
			return restored, err
		}
	}
	r.part = -1
	for i := range r.Len() {
		_, err := r.Block(i)
		if err == nil {
			continue
		}
		d := (*DamageError)(nil)
		if !errors.As(err, &d) || d.Batch == 0 {
			return restored, err
		}
		if err := s.mend(r, i, d, rebuild); err != nil {
			return restored, err
		}
		restored++
		if _, err := r.Block(i); err != nil {
			return restored, err
		}
	}
	return restored, nil
}

// salvage copies a chunk's blocks out of a segment whose pages do not lead to
// them any more.
func (s *Spool) salvage(m *manifest, e extent, rebuild Rebuild) (n int, err error) {
	damage := func(batch uint64, err error) error {
		if unread(err) {
			return fmt.Errorf("chunk %d in segment %s: %w", m.seq, segmentName(e.segment), err)
		}
		return &DamageError{Segment: segmentName(e.segment), Chunk: m.seq, Batch: batch, Err: err}
	}
	ps, err := s.places(e.segment, m)
	if err == nil && uint64(len(ps)) != e.blocks {
		err = fmt.Errorf("%d of %d blocks are to be found", len(ps), e.blocks)
	}
	if err != nil {
		return 0, damage(0, err)
	}
	for i := range ps {
		v, err := s.placed(e.segment, &ps[i])
		if err == nil && !ps[i].sound {
			v, err = rebuildValue(v, rebuild)
		}
		if err != nil {
			return n, damage(ps[i].batch, err)
		}
		if err := s.putRestored(m.seq, e.segment, ps[i].blockKey, v); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// mend restores block i of a chunk, which was found damaged.
func (s *Spool) mend(r *Reader, i int, d *DamageError, rebuild Rebuild) error {
	part, in := r.locate(uint64(i))
	segment, k := r.m.extents[part].segment, r.keys[in]
	v, err := s.rawBlock(segment, r.m.seq, k, nil)
	if unread(err) {
		return fmt.Errorf("chunk %d in segment %s: %w", r.m.seq, segmentName(segment), err)
	}
	if err == nil {
		v, err = rebuildValue(v, rebuild)
	}
	if err != nil {
		d.Err = fmt.Errorf("%w; %w", d.Err, err)
		return d
	}
	return s.putRestored(r.m.seq, segment, k, v)
}

var errSound = errors.New("its data is as it was stored")

// rebuildValue puts rebuilt data behind a block's own header, which says what
// it has to be.
func rebuildValue(v []byte, rebuild Rebuild) ([]byte, error) {
	head, data, err := splitBlock(v)
	if err != nil {
		return nil, err
	}
	h, err := decodeHeader(head, &Block{})
	if err != nil {
		return nil, fmt.Errorf("block header: %w", err)
	}
	fits := func(data []byte) bool {
		return uint64(len(data)) == h.stored && crc32.Checksum(data, castagnoli) == h.dataCRC
	}
	if fits(data) {
		return nil, errSound
	}
	rebuilt, err := rebuild(h.block, fits)
	if err != nil {
		return nil, errors.New("rebuild: " + err.Error()) // the source's error: it says nothing of the segment
	}
	if !fits(rebuilt) {
		return nil, errors.New("what was rebuilt is not what was stored")
	}
	return append(head[:len(head):len(head)], rebuilt...), nil
}

// putRestored makes one restored block durable.
func (s *Spool) putRestored(seq, segment uint64, k blockKey, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.update("restore", true, func(t *txn) error {
		if m := t.x.chunks[seq]; m == nil || m.in(segment) == 0 {
			return fmt.Errorf("restore chunk %d: %w", seq, ErrNoChunk)
		}
		return putRestored(t.tx, seq, segment, k, v)
	})
}

func putRestored(tx *bolt.Tx, seq, segment uint64, k blockKey, v []byte) error {
	all, err := tx.CreateBucketIfNotExists(bucketRestored)
	if err != nil {
		return err
	}
	b, err := all.CreateBucketIfNotExists(be64(seq))
	if err != nil {
		return err
	}
	return b.Put(restoredKey(segment, k), v)
}

// restoredKey is a block's place in a chunk's restored bucket.
func restoredKey(segment uint64, k blockKey) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(be64(segment), k.batch), k.index)
}

// restoredBucket returns what the head has restored of a chunk, or nil.
func restoredBucket(tx *bolt.Tx, seq uint64) *bolt.Bucket {
	b := tx.Bucket(bucketRestored)
	if b == nil {
		return nil
	}
	return b.Bucket(be64(seq))
}

// eachRestored calls f for the restored blocks of a chunk, in order.
func (s *Spool) eachRestored(seq uint64, f func(segment uint64, k blockKey, v []byte) error) error {
	return s.segs.view(headSegment, func(tx *bolt.Tx) error {
		b := restoredBucket(tx, seq)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			if len(k) != 20 {
				return errMalformed
			}
			key := blockKey{binary.BigEndian.Uint64(k[8:]), binary.BigEndian.Uint32(k[16:])}
			return f(binary.BigEndian.Uint64(k), key, v)
		})
	})
}

// restoredKeys lists the restored blocks of a chunk's share of a segment.
func (s *Spool) restoredKeys(segment, seq uint64) (keys []blockKey, err error) {
	err = s.eachRestored(seq, func(n uint64, k blockKey, _ []byte) error {
		if n == segment {
			keys = append(keys, k)
		}
		return nil
	})
	return keys, err
}

// restoredBlock appends the value of a restored block to buf.
func (s *Spool) restoredBlock(segment, seq uint64, k blockKey, buf []byte) ([]byte, error) {
	return s.readValue(headSegment, buf, func(tx *bolt.Tx) []byte {
		b := restoredBucket(tx, seq)
		if b == nil {
			return nil
		}
		return b.Get(restoredKey(segment, k))
	})
}

// keepRestored takes the restored blocks along to a new head.
func (s *Spool) keepRestored(to *segment, x *index) error { return s.copyRestored(to, x, 0) }

// copyRestored takes the restored blocks of all chunks of x along to a new
// head. Those of the segment moved, if that is not 0, count as the new head's.
func (s *Spool) copyRestored(to *segment, x *index, moved uint64) error {
	for _, seq := range x.order {
		err := s.eachRestored(seq, func(n uint64, k blockKey, v []byte) error {
			if n == moved {
				n = x.state.segment
			}
			return to.update(func(tx *bolt.Tx) error { return putRestored(tx, seq, n, k, v) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// carveRestored copies the restored blocks of closed segments from a head whose
// pages do not lead to them any more: sound blocks in its file that have the
// header of a block whose data is damaged.
func (s *Spool) carveRestored(to *segment, x *index) error {
	sound := map[string]place{} // by header
	err := s.carveFile(s.head.number, func(c *carved) error {
		if c.sound && s.idx.chunks[c.h.seq] != nil {
			sound[string(c.head)] = place{at: c.at, size: len(c.value)}
		}
		return nil
	})
	if err != nil || len(sound) == 0 {
		return err
	}
	for _, seq := range x.order {
		m := s.idx.chunks[seq]
		for _, e := range m.extents {
			if e.segment == s.head.number {
				continue
			}
			err := s.eachStored(m, e, func(k blockKey, v []byte) error {
				head, data, err := splitBlock(v)
				if err != nil {
					return nil
				}
				h, err := decodeHeader(head, &Block{})
				p, restored := sound[string(head)]
				if err != nil || !restored || crc32.Checksum(data, castagnoli) == h.dataCRC {
					return nil
				}
				if v, err = s.placed(s.head.number, &p); err != nil {
					return err
				}
				return to.update(func(tx *bolt.Tx) error { return putRestored(tx, seq, e.segment, k, v) })
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// eachStored calls f with the blocks of an extent as its segment has them,
// damaged or not. One that can't be read is left out.
func (s *Spool) eachStored(m *manifest, e extent, f func(k blockKey, v []byte) error) error {
	if keys, err := s.blockKeys(e.segment, m.seq); err == nil {
		for _, k := range keys {
			v, err := s.rawBlock(e.segment, m.seq, k, nil)
			if err != nil {
				continue
			}
			if err := f(k, v); err != nil {
				return err
			}
		}
		return nil
	}
	ps, err := s.places(e.segment, m)
	for i := range ps {
		v, err := s.placed(e.segment, &ps[i])
		if err != nil {
			continue
		}
		if err := f(ps[i].blockKey, v); err != nil {
			return err
		}
	}
	if unread(err) {
		return nil
	}
	return err
}
