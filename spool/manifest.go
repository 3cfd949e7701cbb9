package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manifest is what the head knows of an unacked chunk. Its size does not grow
// with the chunk's blocks. Published manifests are never changed: a
// transaction changes a clone.
type manifest struct {
	seq      uint64
	state    ChunkState
	labels   []label // at least one; the last one is the chunk's own
	input    string
	template string // name with its variables left in
	name     string // final name; "" while open
	id       string // "" while open
	codec    string
	cause    Cause  // of a tombstone
	reason   string // of a tombstone
	lost     int64  // records that a tombstone stands for
	lostSize int64  // bytes of these records
	records  int64
	blocks   uint64
	stored   int64
	raw      int64
	first    int64
	last     int64
	opened   int64 // ns since 1970
	sealed   int64 // ns since 1970; 0 while open
	chain    [sha256.Size]byte
	extents  []extent // in order of segments, which is the order of blocks
	touched  uint64   // batch of the newest block since the spool was opened; not kept on disk
}

// label is a queue and number a chunk has had, and the first block that was
// written under it. There is more than one only when the state directory was
// copied while the chunk was open.
type label struct {
	queue  string
	number uint64
	from   uint64
}

// extent is a chunk's share of one segment.
type extent struct{ segment, blocks, bytes uint64 }

func (m *manifest) own() *label { return &m.labels[len(m.labels)-1] }

// What a chunk takes of the disk besides its stored bytes. Small blocks, with their
// headers, share pages that are half full; larger ones have pages of their own, the
// last of which is not full. A chunk has a page in each of its segments, and its
// manifest in the head. TestMaxSizeCountsTheDisk compares these with real files.
const (
	smallBlock     = 768
	smallBlockCost = 1 << 10
	blockCost      = 3 << 10
	extentCost     = 4 << 10
	manifestCost   = 1 << 10
)

// disk returns about how many bytes the chunk takes of the disk. A segment's free
// pages, and those of other chunks that it was kept for, are not in it: what one
// input keeps on the disk must not be held against the others.
func (m *manifest) disk() int64 {
	if m.blocks == 0 {
		return 0
	}
	blocks := int64(m.blocks)
	each := int64(blockCost)
	if m.stored <= blocks*smallBlock {
		each = smallBlockCost
	}
	return m.stored + blocks*each + int64(len(m.extents))*extentCost + manifestCost
}

// clone returns a copy that shares nothing that changes.
func (m *manifest) clone() *manifest {
	c := *m
	c.labels = slices.Clone(m.labels)
	c.extents = slices.Clone(m.extents)
	return &c
}

// relabel gives the chunk a (further) queue and number and starts the digest
// anew from them and from what it was, so that copies of one chunk differ.
func (m *manifest) relabel(queue string, number uint64) {
	m.labels = append(m.labels, label{queue: queue, number: number, from: m.blocks})
	m.chain = startChain(m.chain, m.input, *m.own())
}

// startChain is the digest a chunk starts from under a label.
func startChain(before [sha256.Size]byte, input string, l label) [sha256.Size]byte {
	b := append([]byte("spoolship chunk\n"), before[:]...)
	b = appendString(b, l.queue)
	b = appendString(b, input)
	b = binary.AppendUvarint(b, l.number)
	return sha256.Sum256(b)
}

// nextChain adds a block by its header, which has the checksum of its data.
func nextChain(d [sha256.Size]byte, head []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(d[:])
	h.Write(head)
	h.Sum(d[:0])
	return d
}

// add counts a block that was put into a segment.
func (m *manifest) add(b *Block, head []byte, segment uint64) {
	// Blocks of one chunk need not come in order of time.
	if m.blocks == 0 || b.First < m.first {
		m.first = b.First
	}
	if m.blocks == 0 || b.Last > m.last {
		m.last = b.Last
	}
	m.blocks++
	m.records += b.Records
	m.raw += b.RawSize
	m.stored += int64(len(b.Data))
	m.chain = nextChain(m.chain, head)
	if n := len(m.extents); n == 0 || m.extents[n-1].segment != segment {
		m.extents = append(m.extents, extent{segment: segment})
	}
	e := &m.extents[len(m.extents)-1]
	e.blocks++
	e.bytes += uint64(len(b.Data))
}

// freeze seals the chunk: identity and name are final from here on.
func (m *manifest) freeze(state ChunkState, now int64) {
	m.state, m.sealed = state, now
	// The id goes into the name, so it covers the template instead.
	m.id = m.digest()
	m.name = strings.NewReplacer(
		"{queue}", m.own().queue,
		"{chunk}", fmt.Sprintf("%020d", m.own().number),
		"{records}", m.recordsName(),
		"{id}", m.id,
	).Replace(m.template)
}

// recordsName is the {records} of the chunk's name: of a tombstone it says why
// there are none, so that an audit need not open it.
func (m *manifest) recordsName() string {
	n := strconv.FormatInt(m.records, 10)
	if m.state == StateTombstone {
		n += "." + string(m.cause)
	}
	return n
}

// digest is the chunk's {id}: the chain covers the blocks, the rest is what
// the manifest freezes.
func (m *manifest) digest() string {
	b := append([]byte("spoolship id\n"), m.chain[:]...)
	b = append(b, byte(m.state))
	for _, s := range []string{m.own().queue, m.input, m.template, m.codec, string(m.cause), m.reason} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, m.own().number)
	for _, n := range []int64{m.records, int64(m.blocks), m.stored, m.raw, m.lost, m.lostSize, m.first, m.last, m.sealed} {
		b = binary.AppendVarint(b, n)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// bury makes a tombstone of the chunk: it keeps its number and loses its data.
func (m *manifest) bury(cause Cause, reason string, now int64) {
	m.cause, m.reason = cause, cleanReason(reason)
	m.lost, m.lostSize = m.records, m.raw
	m.records, m.blocks, m.stored, m.raw = 0, 0, 0, 0
	m.extents = nil
	m.freeze(StateTombstone, now)
}

// chunk is the caller's view.
func (m *manifest) chunk() Chunk {
	c := Chunk{
		Seq: m.seq, Queue: m.own().queue, Input: m.input, Number: m.own().number,
		Name: m.name, ID: m.id, Codec: m.codec, State: m.state,
		Cause: m.cause, Reason: m.reason, LostRecords: m.lost, LostSize: m.lostSize,
		Records: m.records, Blocks: int(m.blocks), StoredSize: m.stored, DiskSize: m.disk(), RawSize: m.raw,
		First: m.first, Last: m.last, Opened: time.Unix(0, m.opened),
	}
	if m.state == StateOpen {
		c.Name = m.template
	} else {
		c.Sealed = time.Unix(0, m.sealed)
	}
	return c
}

func appendManifest(b []byte, m *manifest) []byte {
	b = append(b, manifestVersion, byte(m.state))
	b = binary.AppendUvarint(b, uint64(len(m.labels)))
	for _, l := range m.labels {
		b = appendString(b, l.queue)
		b = binary.AppendUvarint(b, l.number)
		b = binary.AppendUvarint(b, l.from)
	}
	for _, s := range []string{m.input, m.template, m.name, m.id, m.codec, string(m.cause), m.reason} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, m.blocks)
	for _, n := range []int64{m.records, m.stored, m.raw, m.lost, m.lostSize, m.first, m.last, m.opened, m.sealed} {
		b = binary.AppendVarint(b, n)
	}
	b = append(b, m.chain[:]...)
	b = binary.AppendUvarint(b, uint64(len(m.extents)))
	for _, e := range m.extents {
		b = binary.AppendUvarint(b, e.segment)
		b = binary.AppendUvarint(b, e.blocks)
		b = binary.AppendUvarint(b, e.bytes)
	}
	return b
}

func decodeManifest(seq uint64, b []byte) (*manifest, error) {
	d := decoder{b: b}
	if v := d.byte(); v != manifestVersion {
		return nil, fmt.Errorf("manifest of version %d, want %d", v, manifestVersion)
	}
	m := &manifest{seq: seq, state: ChunkState(d.byte())}
	for range d.count(3) {
		m.labels = append(m.labels, label{d.string(), d.uvarint(), d.uvarint()})
	}
	for _, s := range []*string{&m.input, &m.template, &m.name, &m.id, &m.codec, (*string)(&m.cause), &m.reason} {
		*s = d.string()
	}
	m.blocks = d.uvarint()
	for _, n := range []*int64{&m.records, &m.stored, &m.raw, &m.lost, &m.lostSize, &m.first, &m.last, &m.opened, &m.sealed} {
		*n = d.varint()
	}
	copy(m.chain[:], d.bytes(sha256.Size))
	for range d.count(3) {
		m.extents = append(m.extents, extent{d.uvarint(), d.uvarint(), d.uvarint()})
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return m, m.check()
}

// check refuses a manifest that the rest of the code could not work with.
func (m *manifest) check() error {
	if len(m.labels) == 0 || m.labels[0].from != 0 || m.state > StateTombstone {
		return errMalformed
	}
	if (m.state == StateOpen) != (m.name == "" && m.id == "" && m.sealed == 0) {
		return errMalformed
	}
	if (m.state == StateTombstone) != (m.cause != "") {
		return errMalformed
	}
	// Readers find a block by counting through the extents.
	var blocks, last uint64
	for _, e := range m.extents {
		if e.segment <= last || e.blocks == 0 || e.blocks > m.blocks-blocks {
			return errMalformed
		}
		blocks, last = blocks+e.blocks, e.segment
	}
	if blocks != m.blocks {
		return errMalformed
	}
	return nil
}
