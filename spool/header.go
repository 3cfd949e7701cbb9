package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// header is what a block value says of itself, before its data: enough to
// know what the data is with nothing else at hand.
type header struct {
	queue     string
	seq       uint64 // of the chunk
	number    uint64 // of the chunk
	batch     uint64
	committed int64  // ns since 1970
	stored    uint64 // bytes of data
	dataCRC   uint32 // CRC-32C of data
	block     *Block
}

// headerPrefix is the fixed start of a header: magic, version, encoding,
// length of the whole header.
const headerPrefix = 8 + 1 + 1 + 4

// minRange is the least number of bytes that one range takes in a header.
const minRange = 5

var errNoMagic = errors.New("no block starts here")

// appendHeader appends h with its length and checksum filled in.
func appendHeader(dst []byte, h *header) []byte {
	start, b := len(dst), h.block
	dst = append(dst, blockMagic[:]...)
	dst = append(dst, headerVersion, byte(b.Encoding), 0, 0, 0, 0)
	dst = appendString(dst, h.queue)
	dst = binary.AppendUvarint(dst, h.seq)
	dst = binary.AppendUvarint(dst, h.number)
	dst = binary.AppendUvarint(dst, h.batch)
	dst = binary.AppendVarint(dst, h.committed)
	dst = binary.AppendUvarint(dst, h.stored)
	dst = binary.BigEndian.AppendUint32(dst, h.dataCRC)
	dst = appendString(dst, b.Input)
	dst = appendString(dst, b.Name)
	dst = appendString(dst, b.Codec)
	dst = binary.AppendVarint(dst, b.RawSize)
	dst = binary.BigEndian.AppendUint32(dst, b.RawCRC)
	dst = binary.AppendVarint(dst, b.Records)
	dst = binary.AppendVarint(dst, b.First)
	dst = binary.AppendVarint(dst, b.Last)
	dst = appendRanges(dst, b.Ranges)
	binary.BigEndian.PutUint32(dst[start+headerPrefix-4:], uint32(len(dst)-start+4))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func appendRanges(dst []byte, ranges []Range) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ranges)))
	for i := range ranges {
		r := &ranges[i]
		dst = binary.AppendUvarint(dst, r.File)
		dst = binary.AppendVarint(dst, r.From)
		dst = binary.AppendVarint(dst, r.To-r.From)
		dst = binary.AppendVarint(dst, r.Records)
		dst = binary.AppendVarint(dst, r.Time)
	}
	return dst
}

// splitBlock cuts a block value into header and data, and checks the header's
// own checksum. It reads nothing of the data.
func splitBlock(v []byte) (head, data []byte, err error) {
	if len(v) < headerPrefix || !bytes.Equal(v[:8], blockMagic[:]) {
		return nil, nil, errNoMagic
	}
	if v[8] != headerVersion {
		return nil, nil, fmt.Errorf("block header of version %d, want %d", v[8], headerVersion)
	}
	n := uint64(binary.BigEndian.Uint32(v[10:]))
	if n < headerPrefix+4 || n > uint64(len(v)) {
		return nil, nil, errors.New("block header is cut off")
	}
	head = v[:n]
	if crc32.Checksum(head[:n-4], castagnoli) != binary.BigEndian.Uint32(head[n-4:]) {
		return nil, nil, errors.New("block header: checksum mismatch")
	}
	return head, v[n:], nil
}

// decodeHeader reads a header that splitBlock found sound. The fields of the
// block go to b, whose Ranges are reused.
func decodeHeader(head []byte, b *Block) (h header, err error) {
	if len(head) < headerPrefix+4 {
		return h, errMalformed
	}
	b.Encoding = Encoding(head[9])
	d := decoder{b: head[headerPrefix : len(head)-4]}
	h.queue = d.string()
	h.seq, h.number, h.batch = d.uvarint(), d.uvarint(), d.uvarint()
	h.committed = d.varint()
	h.stored = d.uvarint()
	h.dataCRC = d.uint32()
	b.Input, b.Name, b.Codec = d.string(), d.string(), d.string()
	b.RawSize = d.varint()
	b.RawCRC = d.uint32()
	b.Records, b.First, b.Last = d.varint(), d.varint(), d.varint()
	b.Ranges = b.Ranges[:0]
	for range d.count(minRange) {
		r := Range{File: d.uvarint(), From: d.varint()}
		r.To = r.From + d.varint()
		r.Records, r.Time = d.varint(), d.varint()
		b.Ranges = append(b.Ranges, r)
	}
	h.block = b
	return h, d.end()
}

func (d *decoder) uint32() uint32 {
	v := d.bytes(4)
	if v == nil {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}
