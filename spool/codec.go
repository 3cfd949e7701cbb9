package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// castagnoli is the polynomial of every checksum the spool makes itself. The
// block's RawCRC is not one of them: that is the caller's, of the gzip kind.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errMalformed = errors.New("malformed value")

// appendString appends a length-prefixed string.
func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decoder takes apart what the append functions put together. Any misfit
// makes it bad for good, so callers check once, at the end.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes returns the next n bytes, which still belong to the input.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	v := d.bytes(1)
	if v == nil {
		return 0
	}
	return v[0]
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

// count reads the length of a list whose elements take at least size bytes
// each, so that a damaged length cannot ask for more memory than the input has.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// end says whether everything was well formed and nothing is left over.
func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return errMalformed
	}
	return nil
}

// be64 is the form of every numeric key: big endian, so that order of keys is
// order of numbers.
func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func from64(k []byte) (uint64, error) {
	if len(k) != 8 {
		return 0, errMalformed
	}
	return binary.BigEndian.Uint64(k), nil
}
