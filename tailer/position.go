package tailer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// castagnoli is CRC-32C (RFC 3720), which amd64 and arm64 compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	headSize   = 1024    // bytes of the fingerprint
	anchorSize = 64      // bytes before the offset that are compared with every read
	maxMarks   = 32      // earlier (offset, CRC) pairs of a position
	baseSize   = 1 << 20 // bytes before a late start that the prefix CRC covers
)

// Mark says what a file's bytes were up to an offset.
type Mark struct {
	Offset int64
	CRC    uint32 // CRC-32C of [Position.Base, Offset)
}

// Position is where a tailer stands in a file and what it needs to recognise
// that file again, wherever its bytes are by then. It is a value: a tailer
// that is given the encoded position goes on exactly where it was taken.
//
// A position with an empty Path is not a file's: it says that the first scan
// of an input with start_at = "end" is done, and files found later are read
// from their beginning.
type Position struct {
	File  uint64 // id of the file
	Input string // name of the input
	Path  string // path the file was found under
	Real  string // where symbolic links led from there; "": nowhere else

	Boot  [16]byte // boot id under which Dev was seen; devices are renumbered at boot
	Dev   uint64
	Ino   uint64 // 0: the inode is known to be gone, or to hold other bytes
	Owner uint32 // user id of whoever owns the inode: only root and he make copies of the file
	Born  int64  // birth time of the inode, Unix ns; 0: unknown
	Began int64  // mtime when the file was first followed, Unix ns
	Mtime int64  // mtime at the last look, Unix ns: compressed copies keep it
	Ctime int64  // ctime at the last look, Unix ns
	First int64  // Born of the first file that was followed under this path
	Since int64  // Began of the first file that was followed under this path
	Left  int64  // Unix ns: by then no name in its directory led to it any more; 0: one does, or that is unknown
	Size  int64  // last known size, of compressed content as far as it is known

	Packed int64 // last known size of the compressed file that has the bytes; 0: they are not compressed

	Offset int64  // next unread byte
	Base   int64  // the CRCs start here: 0, or shortly before a start in mid-file
	CRC    uint32 // CRC-32C of [Base, Offset)
	Head   Mark   // the fingerprint: CRC-32C of [0, Head.Offset), at most headSize bytes
	Anchor []byte // the last bytes before Offset, at most anchorSize
	Marks  []Mark // ascending, at growing distances before Offset

	// What is held of lines before Offset, see Wrapped; Lender is the file, an
	// earlier generation, that some of it was taken over from, until that is durable; 0: none.
	Carry  []byte
	Lender uint64

	Part  int  // carry: number of the part of a cut line that starts at Offset
	Holed bool // NULs at the start of the file are a hole that a truncation left
	Done  bool // read to its end; kept to recognise late copies
	Lost  bool // with Done: its end was not found, a late copy may hold more
}

const positionVersion = 1

// errFormat is the error of a position that another version of the program wrote.
var errFormat = errors.New("position: format")

const (
	flagHoled = 1 << iota
	flagDone
	flagLost
	flagsKnown = flagHoled | flagDone | flagLost
)

// MarshalBinary returns the encoding of p that [Position.AppendBinary] documents.
func (p *Position) MarshalBinary() ([]byte, error) { return p.AppendBinary(nil) }

// AppendBinary appends the encoding of p, format 1, to b. All integers but the
// CRCs are varints (encoding/binary), strings have their length in front:
//
//	byte    version, 1
//	byte    flags: 1 Holed, 2 Done, 4 Lost
//	uvarint File; string Input, Path, Real
//	[16]    Boot
//	uvarint Dev, Ino, Owner; varint Born, Began, Mtime, Ctime, First, Since, Left;
//	uvarint Size, Packed, Offset, Base
//	[4]     CRC, big endian
//	uvarint Head.Offset; [4] Head.CRC
//	string  Anchor
//	uvarint Part
//	string  Carry
//	uvarint Lender
//	uvarint number of marks, then each: uvarint distance from the mark before
//	        (the first: from Base), [4] CRC
func (p *Position) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, positionVersion, p.flags())
	b = binary.AppendUvarint(b, p.File)
	b = appendString(b, p.Input)
	b = appendString(b, p.Path)
	b = appendString(b, p.Real)
	b = append(b, p.Boot[:]...)
	b = binary.AppendUvarint(b, p.Dev)
	b = binary.AppendUvarint(b, p.Ino)
	b = binary.AppendUvarint(b, uint64(p.Owner))
	b = binary.AppendVarint(b, p.Born)
	b = binary.AppendVarint(b, p.Began)
	b = binary.AppendVarint(b, p.Mtime)
	b = binary.AppendVarint(b, p.Ctime)
	b = binary.AppendVarint(b, p.First)
	b = binary.AppendVarint(b, p.Since)
	b = binary.AppendVarint(b, p.Left)
	for _, n := range [...]int64{p.Size, p.Packed, p.Offset, p.Base} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.BigEndian.AppendUint32(b, p.CRC)
	b = binary.AppendUvarint(b, uint64(p.Head.Offset))
	b = binary.BigEndian.AppendUint32(b, p.Head.CRC)
	b = appendString(b, p.Anchor)
	b = binary.AppendUvarint(b, uint64(p.Part))
	b = appendString(b, p.Carry)
	b = binary.AppendUvarint(b, p.Lender)
	b = binary.AppendUvarint(b, uint64(len(p.Marks)))
	last := p.Base
	for _, m := range p.Marks {
		b = binary.AppendUvarint(b, uint64(m.Offset-last))
		b = binary.BigEndian.AppendUint32(b, m.CRC)
		last = m.Offset
	}
	return b, nil
}

func (p *Position) flags() (f byte) {
	if p.Holed {
		f |= flagHoled
	}
	if p.Done {
		f |= flagDone
	}
	if p.Lost {
		f |= flagLost
	}
	return f
}

func appendString[S string | []byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// UnmarshalBinary decodes b into p. It fails on a version it does not know, on
// missing or surplus bytes, and on values that no tailer writes.
func (p *Position) UnmarshalBinary(b []byte) error {
	if len(b) < 2 {
		return errors.New("position: too short")
	}
	if b[0] != positionVersion {
		return fmt.Errorf("%w %d, this program knows %d: use a newer program", errFormat, b[0], positionVersion)
	}
	if b[1]&^flagsKnown != 0 {
		return fmt.Errorf("position: unknown flags %#x", b[1])
	}
	d := decoder{b: b[2:]}
	*p = Position{Holed: b[1]&flagHoled != 0, Done: b[1]&flagDone != 0, Lost: b[1]&flagLost != 0}
	p.File, p.Input, p.Path, p.Real = d.uvarint(), string(d.bytes()), string(d.bytes()), string(d.bytes())
	copy(p.Boot[:], d.take(len(p.Boot)))
	p.Dev, p.Ino, p.Owner = d.uvarint(), d.uvarint(), d.uint32()
	p.Born, p.Began, p.Mtime, p.Ctime, p.First, p.Since, p.Left = d.varint(), d.varint(), d.varint(), d.varint(), d.varint(), d.varint(), d.varint()
	p.Size, p.Packed, p.Offset, p.Base, p.CRC = d.count(), d.count(), d.count(), d.count(), d.crc()
	p.Head = Mark{Offset: d.count(), CRC: d.crc()}
	p.Anchor = append([]byte(nil), d.bytes()...)
	p.Part = int(d.count())
	p.Carry = append([]byte(nil), d.bytes()...)
	p.Lender = d.uvarint()
	n := d.count()
	last := p.Base
	for i := int64(0); i < n && !d.bad && n <= maxMarks; i++ {
		m := Mark{Offset: last + d.count(), CRC: d.crc()}
		d.bad = d.bad || m.Offset <= last // an overflow as well
		p.Marks = append(p.Marks, m)
		last = m.Offset
	}
	if d.bad || len(d.b) != 0 || n > maxMarks || last > max(p.Offset, p.Base) {
		return errors.New("position: damaged")
	}
	return p.check()
}

// check refuses what would make a reader seek or compare outside the file.
func (p *Position) check() error {
	switch {
	case p.Base > p.Offset, p.Head.Offset > min(headSize, p.Offset), int64(len(p.Anchor)) > min(anchorSize, p.Offset):
		return fmt.Errorf("position: offset %d of file %d does not fit its checks", p.Offset, p.File)
	}
	return nil
}

// decoder takes values off the front of b; bad is set by the first that is not there.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return make([]byte, min(n, 16))
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is a uvarint that is a length or an offset: any that a file can have.
func (d *decoder) count() int64 {
	v := d.uvarint()
	if v > math.MaxInt64 {
		d.bad = true
		return 0
	}
	return int64(v)
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	d.bad = d.bad || v > math.MaxUint32
	return uint32(v)
}

func (d *decoder) crc() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

func (d *decoder) bytes() []byte {
	n := d.count()
	if n > int64(len(d.b)) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}
