package spool

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Append makes batches durable, in one transaction: when it returns nil, blocks,
// manifests and positions are on disk. Batches may be reused afterwards. On
// ErrFull, which a disk that fills up during the commit also ends in, nothing was
// written and they may be tried again; on ErrOutcomeUnknown only the disk knows.
func (s *Spool) Append(batches ...*Batch) error {
	var size int64
	empty := true
	for _, b := range batches {
		if err := b.check(); err != nil {
			return err
		}
		size += b.size()
		empty = empty && b.empty()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil || empty {
		return err
	}
	if err := s.room(size); err != nil {
		return err
	}
	// Before the batch rather than after the last one: then an idle spool does
	// no work, and a failure concerns a batch that was not taken yet.
	if err := s.handOverLarge(); err != nil {
		return err
	}
	err := s.update("append", false, func(t *txn) error {
		t.values = slices.Grow(t.values, int(size+size/64)) // with their headers
		for _, b := range batches {
			if err := t.append(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		reused := min(s.spare, size)
		s.spare -= reused
		s.free -= size - reused
	}
	return err
}

func (b *Batch) empty() bool {
	return len(b.Blocks) == 0 && len(b.Positions) == 0 && len(b.Forget) == 0
}

// size is the stored bytes of all blocks.
func (b *Batch) size() (n int64) {
	for i := range b.Blocks {
		n += int64(len(b.Blocks[i].Data))
	}
	return n
}

// maxName bounds names, so that headers stay small; S3 keys have 1,024 bytes.
const maxName = 4096

// check refuses what could not be stored, before anything is.
func (b *Batch) check() error {
	for i := range b.Blocks {
		k := &b.Blocks[i]
		switch {
		case k.Input == "" || k.Name == "":
			return fmt.Errorf("block %d has no input or no name", i)
		case len(k.Input) > maxName || len(k.Name) > maxName || len(k.Codec) > maxName:
			return fmt.Errorf("block %d: input, name or codec is longer than %d bytes", i, maxName)
		case k.Records < 0 || k.RawSize < 0:
			return fmt.Errorf("block %d: negative records or size", i)
		case len(k.Data) > math.MaxInt32/2: // bbolt ends at 2 GiB a value
			return fmt.Errorf("block %d: %d bytes are more than one block can hold", i, len(k.Data))
		}
	}
	return nil
}

// append stages a batch.
func (t *txn) append(b *Batch) error {
	t.state.batch++
	for i := range b.Blocks {
		if err := t.block(&b.Blocks[i], uint32(i)); err != nil {
			return err
		}
	}
	for i := range b.Positions {
		p := &b.Positions[i]
		t.sawFile(p.File)
		if err := t.put(bucketPositions, be64(p.File), p.Data); err != nil {
			return err
		}
	}
	for _, file := range b.Forget {
		t.sawFile(file)
		if err := t.delete(bucketPositions, be64(file)); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) sawFile(file uint64) {
	if file >= t.state.nextFile && file != math.MaxUint64 {
		t.state.nextFile = file + 1
	}
}

// block stages one block: its chunk is chosen here, where nothing else can
// seal it, so rolling and appending cannot race.
func (t *txn) block(b *Block, i uint32) error {
	m := t.chunkFor(b)
	// All blocks of a batch have the same commit time; the digest covers it, so
	// that two queues never give one id to different runs of the same lines.
	h := header{
		queue: m.own().queue, seq: m.seq, number: m.own().number, batch: t.state.batch,
		committed: t.now, stored: uint64(len(b.Data)),
		dataCRC: crc32.Checksum(b.Data, castagnoli), block: b,
	}
	from := len(t.values)
	t.values = appendHeader(t.values, &h)
	body := len(t.values)
	t.values = append(t.values, b.Data...)
	v := t.values[from:len(t.values):len(t.values)]
	if err := putBlock(t.tx, m.seq, t.state.batch, i, v); err != nil {
		return err
	}
	m.add(b, v[:body-from], t.state.segment)
	m.touched = t.state.batch
	for r := range b.Ranges {
		t.sawFile(b.Ranges[r].File)
	}
	if m.stored >= b.Limit {
		t.seal(m)
	}
	return nil
}

// chunkFor returns the chunk that takes b. One that b would make too big is
// sealed before it is reached.
func (t *txn) chunkFor(b *Block) *manifest {
	k := openKey{b.Input, b.Name, b.Codec}
	m := t.openChunk(k)
	if m != nil && m.stored+int64(len(b.Data)) > b.Limit {
		t.seal(m)
		m = nil
	}
	if m == nil {
		t.sealIdlest(b.Input, b.MaxOpen-1)
		m = t.newChunk(k)
	}
	return m
}

// sealIdlest seals those of an input's open chunks that got no block for longest
// until no more than most are left; a negative number is no limit.
func (t *txn) sealIdlest(input string, most int) {
	if most < 0 {
		return
	}
	var seqs []uint64
	for k, seq := range t.x.open {
		if _, changed := t.open[k]; k.input == input && !changed {
			seqs = append(seqs, seq)
		}
	}
	for k, seq := range t.open {
		if k.input == input && seq != 0 {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) <= most {
		return
	}
	slices.SortFunc(seqs, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(t.touched(a), t.touched(b)), cmp.Compare(a, b))
	})
	for _, seq := range seqs[:len(seqs)-most] {
		t.seal(t.chunk(seq))
	}
}

// touched is the batch of an open chunk's newest block.
func (t *txn) touched(seq uint64) uint64 {
	if m := t.chunks[seq]; m != nil {
		return m.touched
	}
	return t.x.chunks[seq].touched
}

// putBlock stores a block value. Every batch has a bucket of its own in its
// chunk's bucket: bbolt rewrites a leaf's neighbours with it, and here there
// are none.
func putBlock(tx *bolt.Tx, seq, batch uint64, i uint32, v []byte) error {
	chunk, err := tx.Bucket(bucketBlocks).CreateBucketIfNotExists(be64(seq))
	if err != nil {
		return err
	}
	b, err := chunk.CreateBucketIfNotExists(be64(batch))
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint32(nil, i), v)
}

// Seal freezes every open chunk for which due returns true, in one
// transaction, and returns how many. due is called with the spool locked for
// writing and must not call it back. On ErrFull, the disk being full, nothing
// is sealed: try again later.
func (s *Spool) Seal(due func(Chunk) bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return 0, err
	}
	var seqs []uint64
	for _, seq := range s.idx.openSeqs() {
		if due(s.idx.chunks[seq].chunk()) {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) == 0 {
		return 0, nil
	}
	err := s.update("seal", true, func(t *txn) error {
		for _, seq := range seqs {
			t.seal(t.chunk(seq))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(seqs), nil
}

// ForgetInput removes the chunk counter of an input that has no unacked
// chunks. Should the input come back, its numbers start at 1 again.
func (s *Spool) ForgetInput(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if _, ok := s.idx.inputs[name]; !ok {
		return fmt.Errorf("the spool has no input %q", name)
	}
	for _, m := range s.idx.chunks {
		if m.input == name {
			return fmt.Errorf("input %q has unacked chunks: ship them first", name)
		}
	}
	return s.update("", false, func(t *txn) error {
		t.inputs[name] = nil
		return nil
	})
}
