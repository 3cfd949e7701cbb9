package spool

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// entries writes checksummed state entries and keeps their tally.
type entries struct {
	tx    *bolt.Tx
	tally tally
	arena []byte // backs values until the commit: bbolt keeps what Put is given
	buf   []byte // payload being built
}

func (w *entries) put(bucket, key, payload []byte) error {
	b := w.tx.Bucket(bucket)
	if old := b.Get(key); old != nil {
		w.tally.remove(old)
	}
	// Growing the arena leaves earlier values in the old array, which they keep alive.
	from := len(w.arena)
	w.arena = appendEntry(w.arena, bucket, key, payload)
	v := w.arena[from:len(w.arena):len(w.arena)]
	w.tally.add(v)
	return b.Put(key, v)
}

func (w *entries) delete(bucket, key []byte) error {
	b := w.tx.Bucket(bucket)
	old := b.Get(key)
	if old == nil {
		return nil
	}
	w.tally.remove(old)
	return b.Delete(key)
}

func (w *entries) putManifest(m *manifest) error {
	w.buf = appendManifest(w.buf[:0], m)
	return w.put(bucketChunks, be64(m.seq), w.buf)
}

func (w *entries) putCounter(input string, c counter) error {
	w.buf = appendCounter(w.buf[:0], c)
	return w.put(bucketInputs, []byte(input), w.buf)
}

// putState is the last write of a transaction: it has the tally of the others.
func (w *entries) putState(s *state) error {
	s.tally = w.tally
	w.buf = appendState(w.buf[:0], s)
	from := len(w.arena)
	w.arena = appendEntry(w.arena, bucketMeta, keyState, w.buf)
	b := w.tx.Bucket(bucketMeta)
	if err := b.Put(keyQueue, []byte(s.queue)); err != nil {
		return err
	}
	return b.Put(keyState, w.arena[from:])
}

// txn is one write transaction of the head and the changes of the index that
// come true with it. The index itself is only read until the commit.
type txn struct {
	entries
	x      *index
	now    int64
	id     int
	state  state
	inputs map[string]*counter  // nil: removed
	chunks map[uint64]*manifest // nil: removed
	open   map[openKey]uint64   // 0: none
	unlink []uint64             // closed segments that nobody needs after the commit
	values []byte               // block values, as arena is of entries
	staged bool                 // everything is in the transaction, only the commit is left
}

// chunk returns a version of the chunk that may be changed, or nil.
func (t *txn) chunk(seq uint64) *manifest {
	m, ok := t.chunks[seq]
	if !ok && t.x.chunks[seq] != nil {
		m = t.x.chunks[seq].clone()
		t.chunks[seq] = m
	}
	return m
}

// openChunk returns the chunk that takes blocks of that key, or nil.
func (t *txn) openChunk(k openKey) *manifest {
	seq, ok := t.open[k]
	if !ok {
		seq = t.x.open[k]
	}
	if seq == 0 {
		return nil
	}
	return t.chunk(seq)
}

// counter returns a version of the input's counter that may be changed.
func (t *txn) counter(input string) *counter {
	c := t.inputs[input]
	if c == nil {
		c = &counter{queue: t.state.queue, next: 1}
		if old, ok := t.x.inputs[input]; ok {
			*c = old
		}
		t.inputs[input] = c
	}
	return c
}

// newChunk makes an empty chunk with the next number of its input.
func (t *txn) newChunk(k openKey) *manifest {
	c := t.counter(k.input)
	m := &manifest{seq: t.state.nextSeq, input: k.input, template: k.name, codec: k.codec, opened: t.now}
	m.relabel(c.queue, c.next)
	c.next++
	t.state.nextSeq++
	t.chunks[m.seq] = m
	t.open[k] = m.seq
	return m
}

// seal freezes an open chunk.
func (t *txn) seal(m *manifest) {
	t.open[m.key()] = 0
	m.freeze(StateSealed, t.now)
}

// dropBlocks deletes what the head has of a chunk.
func (t *txn) dropBlocks(seq uint64) error {
	for _, name := range [...][]byte{bucketBlocks, bucketRestored} {
		b := t.tx.Bucket(name)
		if b == nil {
			continue
		}
		if err := b.DeleteBucket(be64(seq)); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
	}
	return nil
}

// store writes the staged changes.
func (t *txn) store() error {
	// In order of keys, as bbolt's pages are filled best that way.
	for _, seq := range slices.Sorted(maps.Keys(t.chunks)) {
		err := error(nil)
		if m := t.chunks[seq]; m != nil {
			err = t.putManifest(m)
		} else {
			err = t.delete(bucketChunks, be64(seq))
		}
		if err != nil {
			return err
		}
	}
	for name, c := range t.inputs {
		err := error(nil)
		if c != nil {
			err = t.putCounter(name, *c)
		} else {
			err = t.delete(bucketInputs, []byte(name))
		}
		if err != nil {
			return err
		}
	}
	if err := t.releaseSegments(); err != nil {
		return err
	}
	return t.putState(&t.state)
}

// releaseSegments takes closed segments off the list that lose their last
// chunk in this transaction.
func (t *txn) releaseSegments() error {
	// Chunks never lose only a part of their blocks: they are acked or buried.
	lost := map[uint64]int{}
	for seq, m := range t.chunks {
		if old := t.x.chunks[seq]; old != nil && (m == nil || len(m.extents) == 0) {
			for _, e := range old.extents {
				lost[e.segment]++
			}
		}
	}
	for n, count := range lost {
		if n == t.state.segment || t.x.needed[n] != count {
			continue
		}
		t.unlink = append(t.unlink, n)
		if err := t.delete(bucketSegments, be64(n)); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the index follow the disk.
func (t *txn) publish() {
	x := t.x
	x.state = t.state
	for name, c := range t.inputs {
		if c != nil {
			x.inputs[name] = *c
		} else {
			delete(x.inputs, name)
		}
	}
	var removed []uint64
	for _, seq := range slices.Sorted(maps.Keys(t.chunks)) {
		if m := t.chunks[seq]; m != nil {
			x.set(m)
		} else {
			removed = append(removed, seq)
		}
	}
	x.remove(removed)
}

// update runs one write transaction: stage, commit, publish, in this order
// and nowhere else. Callers hold s.mu. An error of stage leaves everything as
// it was, and so does a full disk (ErrFull); any other one leaves the outcome
// unknown and the spool poisoned. step names the hooks; with spend, a full disk
// costs the ballast first.
func (s *Spool) update(step string, spend bool, stage func(*txn) error) error {
	if err := s.writable(); err != nil {
		return err
	}
	t, err := s.commit(step, stage)
	// The one failure whose outcome is known: out of space, meta page untouched.
	if spend && s.outOfSpace(t, err) && s.dropBallast() {
		t, err = s.commit(step, stage)
	}
	if s.outOfSpace(t, err) {
		s.freeAt = time.Time{} // look again before the next batch
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err == nil {
		err = s.hook(step, ".committed")
	} else if !t.staged && !isPanic(err) && !unread(err) {
		return err // rolled back before bbolt wrote anything
	}
	if err != nil {
		return s.poisoned(err)
	}
	s.publish(t)
	// Only now, when the list without them is durable.
	s.unlink(t.unlink)
	return nil
}

// commit runs stage and the bbolt commit. The staged transaction is returned
// with any error.
func (s *Spool) commit(step string, stage func(*txn) error) (*txn, error) {
	t := &txn{
		x: s.idx, now: time.Now().UnixNano(), state: s.idx.state,
		inputs: map[string]*counter{}, chunks: map[uint64]*manifest{}, open: map[openKey]uint64{},
		values: s.values[:0],
	}
	t.arena, t.tally = s.arena[:0], t.state.tally
	err := s.head.update(func(tx *bolt.Tx) error {
		t.tx, t.id = tx, tx.ID()
		if err := stage(t); err != nil {
			return err
		}
		if err := t.store(); err != nil {
			return err
		}
		t.staged = true
		return s.hook(step, ".commit")
	})
	s.arena, s.values = recycle(t.arena), recycle(t.values)
	return t, err
}

// maxRecycled keeps one outsized batch from holding its memory for ever.
const maxRecycled = 16 << 20

func recycle(b []byte) []byte {
	if cap(b) > maxRecycled {
		return nil
	}
	return b[:0]
}

// outOfSpace says whether t failed for want of space and has changed nothing.
func (s *Spool) outOfSpace(t *txn, err error) bool {
	return t.staged && diskFull(err) && s.nothingCommitted(t)
}

// nothingCommitted says whether the head's newest transaction is still the
// one before t. bbolt writes the meta page last, so a commit that ran out of
// space before it has changed nothing that counts.
func (s *Spool) nothingCommitted(t *txn) bool {
	id := -1
	err := s.head.view(func(tx *bolt.Tx) error {
		id = tx.ID()
		return nil
	})
	return err == nil && id == t.id-1
}

// writable says whether a write may be tried.
func (s *Spool) writable() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.opts.ReadOnly:
		return errors.New("spool is open for reading only")
	case s.poison != nil:
		return s.poison
	case s.head.broken.Load():
		return s.poisoned(errors.New("a page of it cannot be read"))
	}
	return s.present()
}

// poisoned marks the spool as unfit for further writes, for the next process
// too, as far as the disk still lets it.
func (s *Spool) poisoned(err error) error {
	if err := os.WriteFile(s.suspectMark(), nil, 0o640); err != nil {
		s.log.Warn("a restart will not know that the head is suspect", "dir", s.opts.Dir, "error", err)
	}
	s.poison = fmt.Errorf("%w: spool in %s: %w", ErrOutcomeUnknown, s.opts.Dir, err)
	return s.poison
}

// publish applies a committed transaction and wakes whoever waits on Changed.
func (s *Spool) publish(t *txn) {
	s.pub.Lock()
	defer s.pub.Unlock()
	t.publish()
	s.announce()
}

// hook calls the test hook for one step of an operation.
func (s *Spool) hook(step, event string) error {
	if s.opts.Hook == nil || step == "" {
		return nil
	}
	return s.opts.Hook(step + event)
}
