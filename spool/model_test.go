package spool

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// modelChunk is what a chunk should be.
type modelChunk struct {
	input, name string
	number      uint64
	state       ChunkState
	cause       Cause
	lost        Loss
	blocks      []string
	touched     int // batch of the newest block since the spool was opened
}

func (c *modelChunk) stored() (n int64) {
	for _, b := range c.blocks {
		n += int64(len(b))
	}
	return n
}

// model is the spool as slices and maps.
type model struct {
	dir       string
	opts      Options
	s         *Spool
	tags      int
	batches   int
	buried    int64
	dropped   Loss
	chunks    []*modelChunk
	next      map[string]uint64
	positions map[uint64]string
	frozen    map[string]Chunk // input/number -> what was frozen
}

const modelMax = 400_000

func (m *model) unacked() (n int64) {
	for _, c := range m.chunks {
		n += c.stored()
	}
	return n
}

// appendBlock does what the spool should do with a block.
func (m *model) appendBlock(b *Block) {
	var open *modelChunk
	for _, c := range m.chunks {
		if c.state == StateOpen && c.input == b.Input && c.name == b.Name {
			open = c
		}
	}
	if open != nil && open.stored()+int64(len(b.Data)) > b.Limit {
		open.state, open = StateSealed, nil
	}
	if open == nil {
		m.sealIdlest(b.Input, b.MaxOpen-1)
		m.next[b.Input]++
		open = &modelChunk{input: b.Input, name: b.Name, number: m.next[b.Input]}
		m.chunks = append(m.chunks, open)
	}
	open.blocks, open.touched = append(open.blocks, string(b.Data)), m.batches
	if open.stored() >= b.Limit {
		open.state = StateSealed
	}
}

// sealIdlest leaves at most so many chunks of an input open.
func (m *model) sealIdlest(input string, most int) {
	var open []*modelChunk
	for _, c := range m.chunks {
		if c.state == StateOpen && c.input == input {
			open = append(open, c)
		}
	}
	slices.SortStableFunc(open, func(a, b *modelChunk) int { return cmp.Compare(a.touched, b.touched) })
	for i, c := range open {
		if most >= 0 && i < len(open)-most {
			c.state = StateSealed
		}
	}
}

func (m *model) Append(t *rapid.T) {
	var batches []*Batch
	var size int64
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		b := m.batch(t)
		batches = append(batches, b)
		size += b.size()
	}
	unacked := m.s.Stats().Taken // see TestMaxSizeCountsTheDisk
	err := m.s.Append(batches...)
	if full := size > 0 && unacked > 0 && unacked+size > modelMax; full != errors.Is(err, ErrFull) || !full && err != nil {
		t.Fatalf("append %d bytes to %d: %v", size, unacked, err)
	}
	if err != nil {
		return
	}
	for _, b := range batches {
		m.batches++
		for i := range b.Blocks {
			m.appendBlock(&b.Blocks[i])
		}
		for _, p := range b.Positions {
			m.positions[p.File] = string(p.Data)
		}
		for _, f := range b.Forget {
			delete(m.positions, f)
		}
	}
}

func (m *model) batch(t *rapid.T) *Batch {
	var batch Batch
	for range rapid.IntRange(0, 4).Draw(t, "blocks") {
		m.tags++
		size := rapid.SampledFrom([]int{1, 200, 5000, 30_000}).Draw(t, "size")
		b := testBlock(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "input"), fmt.Sprint(m.tags), size, 50_000)
		b.Name = rapid.SampledFrom([]string{"x/", "y/", "z/", "u/"}).Draw(t, "name") + nameTemplate
		b.MaxOpen = 3
		batch.Blocks = append(batch.Blocks, b)
	}
	for range rapid.IntRange(0, 3).Draw(t, "positions") {
		p := Position{File: uint64(rapid.IntRange(1, 9).Draw(t, "file")), Data: fmt.Append(nil, "at", m.tags)}
		batch.Positions = append(batch.Positions, p)
	}
	if rapid.Bool().Draw(t, "forget") {
		batch.Forget = append(batch.Forget, uint64(rapid.IntRange(1, 9).Draw(t, "file")))
	}
	return &batch
}

func (m *model) Seal(t *rapid.T) {
	input, want := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "input"), 0
	for _, c := range m.chunks {
		if c.state == StateOpen && c.input == input {
			c.state = StateSealed
			want++
		}
	}
	if n, err := m.s.Seal(func(c Chunk) bool { return c.Input == input }); err != nil || n != want {
		t.Fatalf("sealed %d, want %d: %v", n, want, err)
	}
}

func (m *model) Ack(t *rapid.T) {
	var keep []*modelChunk
	var seqs []uint64
	for i, c := range m.s.Chunks() {
		if c.State != StateOpen && rapid.Bool().Draw(t, "ack") {
			seqs = append(seqs, c.Seq)
		} else {
			keep = append(keep, m.chunks[i])
		}
	}
	if err := m.s.Ack(seqs...); err != nil {
		t.Fatal(err)
	}
	m.chunks = keep
}

func (m *model) Bury(t *rapid.T) {
	cs := m.s.Chunks()
	if len(cs) == 0 {
		t.Skip("no chunks")
	}
	i := rapid.IntRange(0, len(cs)-1).Draw(t, "chunk")
	err := m.s.Bury(cs[i].Seq, "model")
	if m.chunks[i].state == StateTombstone {
		if err == nil {
			t.Fatal("buried twice")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.buried++
	m.chunks[i].state, m.chunks[i].blocks, m.chunks[i].cause = StateTombstone, nil, Damaged
	m.chunks[i].lost = Loss{1, cs[i].Records, cs[i].RawSize}
	delete(m.frozen, m.chunks[i].key())
}

// Drop gives up some of the sealed chunks at once.
func (m *model) Drop(t *rapid.T) {
	var seqs []uint64
	losses := map[string]FileLoss{}
	for i, c := range m.s.Chunks() {
		if c.State != StateSealed || !rapid.Bool().Draw(t, "drop") {
			continue
		}
		seqs = append(seqs, c.Seq)
		m.dropped.add(Loss{1, c.Records, c.RawSize})
		l := losses[c.Input]
		losses[c.Input] = FileLoss{c.Input, 3, l.Records + c.Records, l.Bytes + c.RawSize}
		m.chunks[i].state, m.chunks[i].blocks, m.chunks[i].cause = StateTombstone, nil, Dropped
		m.chunks[i].lost = Loss{1, c.Records, c.RawSize}
		delete(m.frozen, m.chunks[i].key())
	}
	got, err := m.s.Drop("model", seqs...)
	if err != nil || len(got) != len(losses) {
		t.Fatalf("dropped %v: %+v, want %+v: %v", seqs, got, losses, err)
	}
	for _, l := range got {
		if l != losses[l.Input] {
			t.Fatalf("lost %+v, want %+v", l, losses[l.Input])
		}
	}
}

// Damage spoils a chunk's blocks where they lie, and has them restored.
func (m *model) Damage(t *rapid.T) {
	if len(m.chunks) == 0 {
		t.Skip("no chunks")
	}
	i := rapid.IntRange(0, len(m.chunks)-1).Draw(t, "chunk")
	c := m.s.idx.chunks[m.s.Chunks()[i].Seq]
	for _, e := range c.extents {
		if err := spoil(m.s, e.segment, c); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.s.Restore(c.seq, func(_ *Block, fits func([]byte) bool) ([]byte, error) {
		for _, b := range m.chunks[i].blocks {
			if fits([]byte(b)) {
				return []byte(b), nil
			}
		}
		return nil, errors.New("no such block")
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) Reopen(t *rapid.T) {
	closeTest(t, m.s)
	m.opts.Suspect = rapid.Bool().Draw(t, "suspect")
	s, err := Open(m.opts)
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
	for _, c := range m.chunks {
		c.touched = 0
	}
}

func (c *modelChunk) key() string { return fmt.Sprint(c.input, "/", c.number) }

// Check compares the spool with the model after every action.
func (m *model) Check(t *rapid.T) {
	cs := m.s.Chunks()
	if len(cs) != len(m.chunks) {
		t.Fatalf("%d chunks, want %d", len(cs), len(m.chunks))
	}
	for i, want := range m.chunks {
		c := cs[i]
		if c.Input != want.input || c.Number != want.number || c.State != want.state ||
			c.Cause != want.cause || c.LostRecords != want.lost.Records || c.LostSize != want.lost.Bytes ||
			c.Blocks != len(want.blocks) || c.StoredSize != want.stored() || c.Queue != m.s.Stats().Queue {
			t.Fatalf("chunk %+v, want %+v", c, want)
		}
		if i > 0 && c.Seq <= cs[i-1].Seq {
			t.Fatalf("sequence %d after %d", c.Seq, cs[i-1].Seq)
		}
		m.checkFrozen(t, c, want)
		data, err := readChunk(m.s, c.Seq)
		if err != nil || string(data) != strings.Join(want.blocks, "") {
			t.Fatalf("chunk %+v has %d other bytes: %v", c, len(data), err)
		}
	}
	m.checkLists(t, cs)
	ps, err := m.s.Positions()
	if err != nil || len(ps) != len(m.positions) {
		t.Fatalf("%d positions, want %d: %v", len(ps), len(m.positions), err)
	}
	for _, p := range ps {
		if m.positions[p.File] != string(p.Data) {
			t.Fatalf("position %d is %q, want %q", p.File, p.Data, m.positions[p.File])
		}
	}
	if u := m.s.Stats().Unacked; u != m.unacked() {
		t.Fatalf("unacked %d, want %d", u, m.unacked())
	}
}

// checkLists compares what is looked up by other ways with the list of all.
func (m *model) checkLists(t *rapid.T, cs []Chunk) {
	var open, sealed, walked []Chunk
	for _, c := range cs {
		if c.State == StateOpen {
			open = append(open, c)
		} else {
			sealed = append(sealed, c)
		}
	}
	for c, ok := m.s.NextSealed(0); ok; c, ok = m.s.NextSealed(c.Seq) {
		walked = append(walked, c)
	}
	if !slices.Equal(m.s.OpenChunks(), open) || !slices.Equal(walked, sealed) || m.s.Len() != len(cs) {
		t.Fatalf("%d chunks: open %+v, sealed %+v, of %+v", m.s.Len(), m.s.OpenChunks(), walked, cs)
	}
	if _, ok := m.s.NextSealed(math.MaxUint64); ok {
		t.Fatal("a chunk after the last")
	}
	if st := m.s.Stats(); st.Quarantined != m.buried || st.Dropped != m.dropped {
		t.Fatalf("%d buried, want %d; dropped %+v, want %+v", st.Quarantined, m.buried, st.Dropped, m.dropped)
	}
}

// checkFrozen checks that a sealed chunk never changes.
func (m *model) checkFrozen(t *rapid.T, c Chunk, want *modelChunk) {
	if c.State == StateOpen {
		return
	}
	key := want.key()
	old, ok := m.frozen[key]
	if !ok {
		m.frozen[key] = c
		return
	}
	if !old.Sealed.Equal(c.Sealed) || old.Name != c.Name || old.ID != c.ID || old.Records != c.Records {
		t.Fatalf("sealed chunk changed: %+v, was %+v", c, old)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(memoryDir(), "spool-model-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{
			dir: dir, opts: Options{Dir: dir, SegmentSize: 64 << 10, MaxSize: modelMax},
			next: map[string]uint64{}, positions: map[uint64]string{}, frozen: map[string]Chunk{},
		}
		if m.s, err = Open(m.opts); err != nil {
			t.Fatal(err)
		}
		defer func() { closeTest(t, m.s) }()
		t.Repeat(map[string]func(*rapid.T){
			"":        m.Check,
			"append":  m.Append,
			"append2": m.Append,
			"seal":    m.Seal,
			"ack":     m.Ack,
			"bury":    m.Bury,
			"drop":    m.Drop,
			"damage":  m.Damage,
			"reopen":  m.Reopen,
		})
	})
}
