package chunk

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
)

// maxRun is how many bytes of raw blocks are compressed together.
const maxRun = 1 << 20

// syncFlush is the empty stored block that ends a deflate fragment.
var syncFlush = []byte{0x00, 0x00, 0xff, 0xff}

var errChanged = errors.New("blocks have changed since they were first read")

// load makes current the fragment that pos is in.
func (b *Body) load() error {
	at := sort.Search(len(b.fragments), func(i int) bool { return b.fragments[i].offset > b.pos }) - 1
	if at == b.at {
		return nil
	}
	f := &b.fragments[at]
	b.at = -1
	b.current = f.literal
	if f.literal == nil {
		data, _, err := b.read(f.first)
		if err != nil {
			return err
		}
		b.current = data
	}
	if len(b.current) != f.size || crc32.ChecksumIEEE(b.current) != f.sum {
		return fmt.Errorf("block %d: %w", f.first, errChanged)
	}
	b.at = at
	return nil
}

// read returns the fragment that starts with piece i, and the piece after it.
// The bytes are valid until the next call.
func (b *Body) read(i int) (data []byte, next int, err error) {
	p, err := b.fetch(i)
	if err != nil {
		return nil, 0, err
	}
	if p.Encoding != EncRaw {
		return p.Data, i + 1, nil
	}
	b.run = b.run[:0]
	for next = i; next < b.src.Len(); next++ {
		if p, err = b.fetch(next); err != nil {
			return nil, 0, err
		}
		if p.Encoding != EncRaw || next > i && len(b.run)+len(p.Data) > maxRun {
			break
		}
		b.run = append(b.run, p.Data...)
	}
	if b.codec == None {
		return b.run, next, nil
	}
	b.out, err = b.compress(b.out[:0], b.run)
	return b.out, next, err
}

// fetch returns piece i, asking the source only if it is not the last one.
func (b *Body) fetch(i int) (Piece, error) {
	if i == b.pieceIndex {
		return b.piece, nil
	}
	if i >= b.src.Len() {
		return Piece{}, fmt.Errorf("block %d: %w", i, errChanged)
	}
	b.pieceIndex = -1
	p, err := b.src.Piece(i)
	if err == nil {
		err = b.check(p)
	}
	if err != nil {
		return Piece{}, fmt.Errorf("block %d: %w", i, err)
	}
	b.piece, b.pieceIndex = p, i
	if i == b.seen { // pieces are first asked for in order
		b.seen++
		b.crc = crcCombine(b.crc, p.RawCRC, p.RawSize)
		b.rawSize += p.RawSize
	}
	return p, nil
}

// check refuses a piece that would spoil the object.
func (b *Body) check(p Piece) error {
	switch {
	case p.Encoding == EncRaw:
		if int64(len(p.Data)) != p.RawSize {
			return fmt.Errorf("raw block has %d bytes, want %d", len(p.Data), p.RawSize)
		}
		if sum := crc32.ChecksumIEEE(p.Data); sum != p.RawCRC {
			return fmt.Errorf("raw block has CRC-32 %08x, want %08x", sum, p.RawCRC)
		}
	case p.Encoding != b.codec.encoding():
		return fmt.Errorf("encoding %d can't be part of a %s object", p.Encoding, b.codec)
	case p.Encoding == EncDeflate && !bytes.HasSuffix(p.Data, syncFlush):
		return errors.New("deflate block is not ended by a sync flush")
	}
	return nil
}

// compress appends the compressed form of raw to dst.
func (b *Body) compress(dst, raw []byte) ([]byte, error) {
	if b.compressor == nil {
		c, err := NewCompressor(b.codec, b.level)
		if err != nil {
			return nil, err
		}
		b.compressor = c
	}
	return b.compressor.compress(dst, raw), nil
}
