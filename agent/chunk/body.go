package chunk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Piece is one stored block.
type Piece struct {
	Encoding Encoding
	Data     []byte // valid until the next call of Piece on its source
	RawSize  int64
	RawCRC   uint32 // CRC-32 (IEEE) of the records
}

// Source gives the stored blocks of one object in order, as often as asked.
// It answers for the integrity of what it gives.
type Source interface {
	Len() int
	Piece(i int) (Piece, error)
}

// gzipHeader is a member's header without flags and time, from an unknown
// system, so that the same records always make the same object.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// Body is the bytes of one object, made from stored blocks as it is read.
// Reading needs memory for about one block. Not safe for concurrent use.
type Body struct {
	codec Codec
	level int
	src   Source

	fragments []fragment // in order of offset; what the first pass learned
	size      int64
	sha       [32]byte
	crc       uint32
	rawSize   int64

	pos     int64
	at      int    // fragment in current, -1 if none
	current []byte // owned by src, out or the fragment

	piece      Piece // the last one asked for
	pieceIndex int   // -1 if there was none
	seen       int   // pieces that crc and rawSize cover

	compressor *Compressor // made when first needed
	run, out   []byte      // raw blocks in a row, and what they are compressed to
}

// fragment is a run of the object's bytes that is made in one go.
type fragment struct {
	offset  int64
	size    int
	sum     uint32 // CRC-32 (IEEE) of the bytes
	first   int    // piece it starts with
	literal []byte // the bytes themselves, if not of pieces
}

// NewBody reads src once to learn size and checksum. level is that of
// NewCompressor, for blocks stored raw. Errors of src come back wrapped, so
// that errors.As finds them.
func NewBody(codec Codec, level int, src Source) (*Body, error) {
	if err := codec.checkLevel(level); err != nil {
		return nil, err
	}
	b := &Body{codec: codec, level: level, src: src, at: -1, pieceIndex: -1}
	hash := sha256.New()
	add := func(f fragment, data []byte) {
		f.offset, f.size, f.sum = b.size, len(data), crc32.ChecksumIEEE(data)
		hash.Write(data)
		b.size += int64(len(data))
		b.fragments = append(b.fragments, f)
	}
	if codec == Gzip {
		add(fragment{literal: gzipHeader}, gzipHeader)
	}
	for i := 0; i < src.Len(); {
		data, next, err := b.read(i)
		if err != nil {
			return nil, err
		}
		add(fragment{first: i}, data)
		i = next
	}
	end, err := b.trailer()
	if err != nil {
		return nil, err
	}
	if len(end) > 0 {
		add(fragment{literal: end}, end)
	}
	hash.Sum(b.sha[:0])
	return b, nil
}

// trailer returns what follows the blocks.
func (b *Body) trailer() ([]byte, error) {
	switch {
	case b.codec == Gzip:
		end := []byte{0x03, 0x00}
		end = binary.LittleEndian.AppendUint32(end, b.crc)
		return binary.LittleEndian.AppendUint32(end, uint32(b.rawSize)), nil
	case b.codec == Zstd && b.src.Len() == 0: // zero frames are not a zstd file
		return b.compress(nil, nil)
	}
	return nil, nil
}

// Size is the number of bytes of the object.
func (b *Body) Size() int64 { return b.size }

// SHA256 is the checksum of the object's bytes.
func (b *Body) SHA256() [32]byte { return b.sha }

// RawCRC is the CRC-32 (IEEE) of the records, uncompressed.
func (b *Body) RawCRC() uint32 { return b.crc }

// Read fails if the blocks are not what they were when NewBody read them.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if b.pos >= b.size {
		return 0, io.EOF
	}
	if err := b.load(); err != nil {
		return 0, err
	}
	n := copy(p, b.current[b.pos-b.fragments[b.at].offset:])
	b.pos += int64(n)
	return n, nil
}

// Seek goes to any offset; going on from block borders is cheap.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.size
	default:
		return 0, fmt.Errorf("seek: whence %d is unknown", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek: offset %d is before the start", offset)
	}
	b.pos = offset
	return offset, nil
}

var _ io.ReadSeeker = (*Body)(nil)
