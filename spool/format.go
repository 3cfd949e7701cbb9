package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// Everything that names something on disk stands in this file; doc.go has the
// tables.
const (
	formatVersion   = 1 // of a segment as a whole; a newer one is refused
	headerVersion   = 1 // of a block's header
	manifestVersion = 1
	stateVersion    = 1
	counterVersion  = 1

	lockName      = "lock"
	ballastName   = "ballast"
	suspectName   = "suspect"
	queueDir      = "queue"
	quarantineDir = "quarantine"
	segmentExt    = ".seg"
	tmpExt        = ".tmp"
)

// blockMagic starts every block value. Its first byte is no text and its last
// ones show a transfer that changed line ends.
var blockMagic = [8]byte{0x93, 's', 'p', 'b', 'l', 'k', '\r', '\n'}

var (
	bucketMeta      = []byte("meta")
	bucketInputs    = []byte("inputs")
	bucketPositions = []byte("positions")
	bucketChunks    = []byte("chunks")
	bucketSegments  = []byte("segments")
	bucketBlocks    = []byte("blocks")
	bucketRestored  = []byte("restored") // made when it is first needed

	keyFormat  = []byte("format")
	keySegment = []byte("segment")
	keyQueue   = []byte("queue")
	keyState   = []byte("state")

	// stateBuckets are the ones whose entries carry checksums and are counted
	// in the tally.
	stateBuckets = [][]byte{bucketInputs, bucketPositions, bucketChunks, bucketSegments}
)

// segmentName is the file name of segment n.
func segmentName(n uint64) string { return fmt.Sprintf("%020d%s", n, segmentExt) }

// state is the part of the meta bucket that changes with every transaction.
type state struct {
	queue       string
	segment     uint64
	batch       uint64 // number of the newest batch
	nextSeq     uint64 // of the next chunk
	nextFile    uint64 // above every file id ever appended
	quarantined uint64 // chunks ever set aside
	home        home
	tally       tally
}

// home says where the state directory was when the segment was written.
type home struct {
	device, inode uint64
	boot          string // kernel's boot id; device numbers hold within one boot only
}

// tally is the count and the sum of checksums of all entries of the state
// buckets. Each entry's own checksum shows a changed entry; the tally shows a
// lost one, or a stale page in place of a newer one.
type tally struct{ count, sum uint64 }

func (t *tally) add(entry []byte) {
	t.count++
	t.sum += uint64(binary.BigEndian.Uint32(entry))
}

func (t *tally) remove(entry []byte) {
	t.count--
	t.sum -= uint64(binary.BigEndian.Uint32(entry))
}

// appendEntry appends a state value: CRC-32C of bucket, key and payload, then
// the payload.
func appendEntry(dst, bucket, key, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, entrySum(bucket, key, payload))
	return append(dst, payload...)
}

func entrySum(bucket, key, payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

// openEntry checks a state value and returns its payload.
func openEntry(bucket, key, v []byte) ([]byte, error) {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != entrySum(bucket, key, v[4:]) {
		return nil, fmt.Errorf("bucket %s, key %x: checksum mismatch", bucket, key)
	}
	return v[4:], nil
}

func appendState(b []byte, s *state) []byte {
	b = append(b, stateVersion)
	b = appendString(b, s.queue)
	for _, n := range []uint64{
		s.segment, s.batch, s.nextSeq, s.nextFile, s.quarantined,
		s.home.device, s.home.inode, s.tally.count, s.tally.sum,
	} {
		b = binary.AppendUvarint(b, n)
	}
	return appendString(b, s.home.boot)
}

func decodeState(b []byte) (s state, err error) {
	d := decoder{b: b}
	if v := d.byte(); v != stateVersion {
		return s, fmt.Errorf("state of version %d, want %d", v, stateVersion)
	}
	s.queue = d.string()
	for _, n := range []*uint64{
		&s.segment, &s.batch, &s.nextSeq, &s.nextFile, &s.quarantined,
		&s.home.device, &s.home.inode, &s.tally.count, &s.tally.sum,
	} {
		*n = d.uvarint()
	}
	s.home.boot = d.string()
	return s, d.end()
}

// counter is what the inputs bucket holds per input: the number its next
// chunk gets in the queue, and what was dropped since the spool was made.
type counter struct {
	queue   string
	next    uint64
	dropped Loss
}

func appendCounter(b []byte, c counter) []byte {
	b = append(b, counterVersion)
	b = appendString(b, c.queue)
	b = binary.AppendUvarint(b, c.next)
	for _, n := range []int64{c.dropped.Chunks, c.dropped.Records, c.dropped.Bytes} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func decodeCounter(b []byte) (c counter, err error) {
	d := decoder{b: b}
	if v := d.byte(); v != counterVersion {
		return c, fmt.Errorf("input counter of version %d, want %d", v, counterVersion)
	}
	c.queue, c.next = d.string(), d.uvarint()
	c.dropped = Loss{d.varint(), d.varint(), d.varint()}
	return c, d.end()
}

// checkIdentity reads the part of the meta bucket that every format has, and
// refuses what is no segment of ours or is of another format or number.
func checkIdentity(tx *bolt.Tx, path string, want uint64) error {
	b := tx.Bucket(bucketMeta)
	if b == nil {
		return fmt.Errorf("%s is no segment of a spool: it has no meta bucket", path)
	}
	v := b.Get(keyFormat)
	if len(v) != 4 {
		return fmt.Errorf("%s is no segment of a spool: it has no format version", path)
	}
	if n := binary.BigEndian.Uint32(v); n != formatVersion {
		return &versionError{path: path, version: n}
	}
	number, err := from64(b.Get(keySegment))
	if err != nil {
		return fmt.Errorf("%s: segment number: %w", path, err)
	}
	if number != want {
		return &misnamedError{path: path, number: number}
	}
	return nil
}

// versionError says that a segment is of a format that this program does not
// know.
type versionError struct {
	path    string
	version uint32
}

func (e *versionError) Error() string {
	return fmt.Sprintf("%s is of format %d, this program reads format %d: use the program that wrote it or a newer one",
		e.path, e.version, formatVersion)
}

// misnamedError says that a segment's name and its own number disagree.
type misnamedError struct {
	path   string
	number uint64
}

func (e *misnamedError) Error() string {
	return fmt.Sprintf("%s says of itself that it is %s: one of the two is a copy; keep the right one under that name",
		e.path, segmentName(e.number))
}

var errNoState = errors.New("the segment has no state")

// readState reads the meta bucket's state entry.
func readState(tx *bolt.Tx) (state, error) {
	v := tx.Bucket(bucketMeta).Get(keyState)
	if v == nil {
		return state{}, errNoState
	}
	p, err := openEntry(bucketMeta, keyState, v)
	if err != nil {
		return state{}, err
	}
	return decodeState(p)
}
