package spool

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// Reader reads the blocks of one chunk in order. It holds no transaction
// between calls. Not safe for concurrent use.
type Reader struct {
	s    *Spool
	m    *manifest // as it was when the reader was made
	part int       // extent that keys belongs to; -1: none yet
	keys []blockKey
	away bool // keys are those of restored blocks: the segment cannot be read
	buf  []byte

	block Block
	next  uint64            // block that the digest goes on with
	chain [sha256.Size]byte // digest of the blocks before it
}

// OpenChunk returns a reader of a chunk's blocks as they are now. A chunk
// that is not there any more is an ErrNoChunk.
func (s *Spool) OpenChunk(seq uint64) (*Reader, error) {
	s.pub.RLock()
	defer s.pub.RUnlock()
	m := s.idx.chunks[seq]
	if m == nil {
		return nil, fmt.Errorf("open chunk %d: %w", seq, ErrNoChunk)
	}
	return &Reader{s: s, m: m, part: -1}, nil
}

// Len is the number of blocks.
func (r *Reader) Len() int { return int(r.m.blocks) }

// Block reads block i (from 0), checks its CRC and that it belongs here, and
// returns it. The block and all it refers to are valid until the next call.
// Damage is a *DamageError: what was read is not what was written, or a
// segment's file is missing for seconds while the others are there. A chunk
// that was acked or buried meanwhile is an ErrNoChunk. Any other error says
// that the disk could not be read just now (EMFILE, EIO, ESTALE, ...): nothing
// is known to be damaged, so hold the chunk and try again. When all blocks are read in order, the last one also has the
// chunk's digest checked.
func (r *Reader) Block(i int) (*Block, error) {
	if i < 0 || i >= r.Len() {
		return nil, fmt.Errorf("chunk %d has %d blocks, there is no block %d", r.m.seq, r.m.blocks, i)
	}
	part, in := r.locate(uint64(i))
	segment := r.m.extents[part].segment
	if err := r.load(part); err != nil {
		return nil, r.damage(segment, 0, err)
	}
	k := r.keys[in]
	head, err := r.fetch(segment, uint64(i), k)
	if err == nil {
		err = r.digest(head, uint64(i))
	}
	if err != nil {
		return nil, r.damage(segment, k.batch, err)
	}
	return &r.block, nil
}

// fetch makes the block of a key the current one, or, if it is damaged, the
// one that was restored in its place. It returns the header.
func (r *Reader) fetch(segment, i uint64, k blockKey) (head []byte, err error) {
	if !r.away {
		var v []byte
		if v, err = r.s.rawBlock(segment, r.m.seq, k, r.buf[:0]); err == nil {
			r.buf = v
			head, err = r.take(v, i, k)
		} else {
			r.block.Ranges = nil
		}
		if err == nil {
			return head, nil
		}
	}
	v, missing := r.s.restoredBlock(segment, r.m.seq, k, nil)
	if missing != nil {
		return nil, cmp.Or(err, missing)
	}
	r.buf = v
	return r.take(v, i, k)
}

// locate finds the extent of block i and its index in there.
func (r *Reader) locate(i uint64) (part int, in uint64) {
	for part, e := range r.m.extents {
		if i < e.blocks {
			return part, i
		}
		i -= e.blocks
	}
	panic("spool: manifest counts more blocks than its extents have") // decodeManifest checks it
}

// load lists the blocks of one extent. An open chunk may have more of them by
// now than the manifest counts.
func (r *Reader) load(part int) error {
	if r.part == part {
		return nil
	}
	e := r.m.extents[part]
	keys, err := r.s.blockKeys(e.segment, r.m.seq)
	if err == nil && uint64(len(keys)) < e.blocks {
		err = fmt.Errorf("%d of %d blocks are missing", e.blocks-uint64(len(keys)), e.blocks)
	}
	r.away = false
	if err != nil {
		restored, missing := r.s.restoredKeys(e.segment, r.m.seq)
		if missing != nil || uint64(len(restored)) != e.blocks {
			return err
		}
		keys, r.away = restored, true
	}
	r.part, r.keys = part, keys[:e.blocks]
	return nil
}

// take checks a block value, makes it the current block and returns its
// header.
func (r *Reader) take(v []byte, i uint64, k blockKey) ([]byte, error) {
	head, data, err := splitBlock(v)
	if err != nil {
		r.block.Ranges = nil
		return nil, err
	}
	h, err := decodeHeader(head, &r.block)
	if err != nil {
		r.block.Ranges = nil
		return nil, fmt.Errorf("block header: %w", err)
	}
	if err := r.belongs(&h, i, k); err != nil {
		return nil, err
	}
	if uint64(len(data)) != h.stored || crc32.Checksum(data, castagnoli) != h.dataCRC {
		return nil, errors.New("block data: checksum mismatch")
	}
	r.block.Data, r.block.Limit = data, 0
	return head, nil
}

// belongs checks that a block is the one that was looked for.
func (r *Reader) belongs(h *header, i uint64, k blockKey) error {
	l := r.m.labels[0]
	for _, n := range r.m.labels[1:] {
		if n.from <= i {
			l = n
		}
	}
	b := h.block
	if h.seq != r.m.seq || h.batch != k.batch || h.queue != l.queue || h.number != l.number ||
		b.Input != r.m.input || b.Name != r.m.template || b.Codec != r.m.codec {
		return fmt.Errorf("block belongs to queue %s, input %s, chunk %d, batch %d", h.queue, b.Input, h.seq, h.batch)
	}
	return nil
}

// digest follows the digest chain as long as blocks are read in order.
func (r *Reader) digest(head []byte, i uint64) error {
	if i == 0 {
		r.next, r.chain = 0, [sha256.Size]byte{}
	}
	if i != r.next {
		return nil
	}
	r.startLabels(i)
	r.chain = nextChain(r.chain, head)
	r.next++
	if r.next < r.m.blocks {
		return nil
	}
	end := r.chain
	r.startLabels(r.next)
	r.chain, end = end, r.chain
	if end != r.m.chain {
		return errors.New("digest of the blocks is not the manifest's")
	}
	return nil
}

// startLabels restarts the digest for each label that begins before block i.
func (r *Reader) startLabels(i uint64) {
	for _, l := range r.m.labels {
		if l.from == i {
			r.chain = startChain(r.chain, r.m.input, l)
		}
	}
}

// damage gives an error its coordinates, unless it only means that the chunk
// is not there any more, or that nothing could be read.
func (r *Reader) damage(segment, batch uint64, err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	r.s.pub.RLock()
	m := r.s.idx.chunks[r.m.seq]
	r.s.pub.RUnlock()
	if m == nil || m.state == StateTombstone {
		return fmt.Errorf("read chunk %d: %w", r.m.seq, ErrNoChunk)
	}
	if unread(err) {
		return fmt.Errorf("read chunk %d in segment %s: %w", r.m.seq, segmentName(segment), err)
	}
	e := &DamageError{Segment: segmentName(segment), Chunk: r.m.seq, Batch: batch, Err: err}
	if batch != 0 {
		e.Ranges = slices.Clone(r.block.Ranges)
	}
	return e
}

// blockKeys lists a chunk's blocks in one segment, in order.
func (s *Spool) blockKeys(segment, seq uint64) (keys []blockKey, err error) {
	err = s.segs.view(segment, func(tx *bolt.Tx) error {
		chunk := chunkBucket(tx, seq)
		if chunk == nil {
			return errNoBlocks
		}
		return chunk.ForEachBucket(func(k []byte) error {
			batch, err := from64(k)
			if err != nil {
				return err
			}
			return chunk.Bucket(k).ForEach(func(k, _ []byte) error {
				if len(k) != 4 {
					return errMalformed
				}
				keys = append(keys, blockKey{batch, binary.BigEndian.Uint32(k)})
				return nil
			})
		})
	})
	return keys, err
}

// rawBlock appends one block value to buf, unchecked.
func (s *Spool) rawBlock(segment, seq uint64, k blockKey, buf []byte) ([]byte, error) {
	return s.readValue(segment, buf, func(tx *bolt.Tx) []byte { return blockValue(tx, seq, k) })
}

// readValue appends the value that find returns to buf.
func (s *Spool) readValue(segment uint64, buf []byte, find func(*bolt.Tx) []byte) ([]byte, error) {
	seg, err := s.segs.acquire(segment)
	if err != nil {
		return nil, err
	}
	defer s.segs.release(seg)
	err = seg.view(func(tx *bolt.Tx) error {
		v := find(tx)
		if len(v) == 0 {
			return errNoBlocks
		}
		// bbolt tells the kernel that it maps for random access, so a value
		// that is not in memory would come page by page, and a bad sector as a
		// signal. Reading it from the file is one request, and fails as an error.
		at := uintptr(unsafe.Pointer(&v[0])) - tx.DB().Info().Data //nolint:gosec // an address is compared, nothing is read through it
		if at >= uintptr(tx.Size()) {
			buf = append(buf, v...) // a small one, which bbolt has copied out to align it
			return nil
		}
		buf = slices.Grow(buf, len(v))[:len(buf)+len(v)]
		_, err := seg.file.ReadAt(buf[len(buf)-len(v):], int64(at))
		return err
	})
	return buf, err
}

// blockValue finds a block's value in the mapped file, or nil.
func blockValue(tx *bolt.Tx, seq uint64, k blockKey) []byte {
	chunk := chunkBucket(tx, seq)
	if chunk == nil {
		return nil
	}
	batch := chunk.Bucket(be64(k.batch))
	if batch == nil {
		return nil
	}
	return batch.Get(binary.BigEndian.AppendUint32(nil, k.index))
}
