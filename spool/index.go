package spool

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// index is the head's state in memory. It changes only after the transaction
// that changed the disk, so it never says more than the disk does.
type index struct {
	state   state
	inputs  map[string]counter
	chunks  map[uint64]*manifest
	order   []uint64 // keys of chunks, ascending
	open    map[openKey]uint64
	needed  map[uint64]int // segment -> unacked chunks with blocks in it
	unacked int64
	disk    int64            // bytes that unacked chunks take of the disk, see manifest.disk
	held    map[string]int64 // the same by input
	frozen  []frozen         // chunks that are not open, in the order they came to be so
	freezes uint64           // how many there were
}

// frozen is a chunk that is not open any more.
type frozen struct{ n, seq uint64 } // n counts from 1

// openKey is what blocks that go to one chunk have in common.
type openKey struct{ input, name, codec string }

func (m *manifest) key() openKey { return openKey{m.input, m.template, m.codec} }

func newIndex() *index {
	return &index{
		state:  state{nextSeq: 1, nextFile: 1},
		inputs: map[string]counter{},
		chunks: map[uint64]*manifest{},
		open:   map[openKey]uint64{},
		needed: map[uint64]int{},
		held:   map[string]int64{},
	}
}

// set puts a chunk in, in place of an older version of it if there is one.
func (x *index) set(m *manifest) {
	old := x.chunks[m.seq]
	if old != nil {
		x.forget(old)
	} else {
		x.insert(m.seq)
	}
	if m.state != StateOpen && (old == nil || old.state == StateOpen) {
		x.freezes++
		x.frozen = append(x.frozen, frozen{x.freezes, m.seq})
	}
	x.chunks[m.seq] = m
	x.unacked += m.stored
	x.disk += m.disk()
	x.held[m.input] += m.disk()
	if m.state == StateOpen {
		x.open[m.key()] = m.seq
	}
	for _, e := range m.extents { // the head counts as well: see handOverAcked
		x.needed[e.segment]++
	}
}

// insert keeps order sorted; new chunks come last.
func (x *index) insert(seq uint64) {
	x.order = slices.Insert(x.order, x.find(seq), seq)
}

// find returns the place of the first chunk in order from seq on.
func (x *index) find(seq uint64) int {
	i, _ := slices.BinarySearch(x.order, seq)
	return i
}

// remove takes chunks out.
func (x *index) remove(seqs []uint64) {
	for _, seq := range seqs {
		x.forget(x.chunks[seq])
		delete(x.chunks, seq)
		// Acks come from the front, so what is before a chunk moves up.
		i := x.find(seq)
		copy(x.order[1:i+1], x.order[:i])
		x.order = x.order[1:]
	}
	if len(x.frozen) > 2*len(x.chunks)+64 {
		x.frozen = slices.DeleteFunc(x.frozen, func(f frozen) bool { return x.chunks[f.seq] == nil })
	}
}

// frozenSince returns the unacked chunks that were frozen after the n-th, and how
// many there were by now.
func (x *index) frozenSince(n uint64) ([]Chunk, uint64) {
	i, _ := slices.BinarySearchFunc(x.frozen, n+1, func(f frozen, n uint64) int { return cmp.Compare(f.n, n) })
	var cs []Chunk
	for _, f := range x.frozen[i:] {
		if m := x.chunks[f.seq]; m != nil {
			cs = append(cs, m.chunk())
		}
	}
	return cs, x.freezes
}

// forget takes back what set counted.
func (x *index) forget(m *manifest) {
	x.unacked -= m.stored
	x.disk -= m.disk()
	if x.held[m.input] -= m.disk(); x.held[m.input] == 0 {
		delete(x.held, m.input)
	}
	if x.open[m.key()] == m.seq {
		delete(x.open, m.key())
	}
	for _, e := range m.extents {
		if x.needed[e.segment]--; x.needed[e.segment] == 0 {
			delete(x.needed, e.segment)
		}
	}
}

// list returns the chunks by ascending Seq.
func (x *index) list() []Chunk {
	cs := make([]Chunk, len(x.order))
	for i, seq := range x.order {
		cs[i] = x.chunks[seq].chunk()
	}
	return cs
}

// openSeqs returns the open chunks, ascending.
func (x *index) openSeqs() []uint64 { return slices.Sorted(maps.Values(x.open)) }

// nextSealed returns the first chunk above after that is not open, or nil.
// There are only as many open ones to pass as there are inputs and partitions.
func (x *index) nextSealed(after uint64) *manifest {
	if after == math.MaxUint64 {
		return nil
	}
	for _, seq := range x.order[x.find(after+1):] {
		if m := x.chunks[seq]; m.state != StateOpen {
			return m
		}
	}
	return nil
}

// closedNeeded returns the segments below the head that chunks need.
func (x *index) closedNeeded() []uint64 {
	var ns []uint64
	for n := range x.needed {
		if n != x.state.segment {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return ns
}
