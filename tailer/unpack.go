package tailer

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing is how a file is compressed.
type packing int

const (
	plain packing = iota
	gzipped
	zstandard
	bzipped
)

// packings has the ending and the first bytes of each packing.
var packings = [...]struct{ ext, magic string }{
	gzipped:   {".gz", "\x1f\x8b"},
	zstandard: {".zst", "\x28\xb5\x2f\xfd"},
	bzipped:   {".bz2", "BZh"},
}

// packingOf goes by the name.
func packingOf(path string) packing {
	ext := filepath.Ext(path)
	for p := gzipped; p <= bzipped; p++ {
		if packings[p].ext == ext {
			return p
		}
	}
	return plain
}

// packingIn goes by the first bytes, for a file that has no name any more.
func packingIn(fd int) packing {
	u := unpacker{raw: rawFile{fd: fd}}
	for p := gzipped; p <= bzipped; p++ {
		if u.checkMagic(p) == nil {
			return p
		}
	}
	return gzipped
}

// unpackedName is the name that a compressed file had before.
func unpackedName(path string) string {
	return strings.TrimSuffix(path, packings[packingOf(path)].ext)
}

// maxWindow bounds the memory of a zstd stream: what zstd itself accepts
// without being asked for more. Levels up to 19 need 8 MiB at most.
const maxWindow = 128 << 20

var (
	// errUnfinished is the problem of a compressed file that is cut off.
	errUnfinished = errors.New("it ends in the middle of its compressed data")
	// errDamaged is the problem of one whose bytes are wrong.
	errDamaged = errors.New("its compressed data is damaged")
	// errMisnamed is the problem of one that is none.
	errMisnamed = errors.New("it is named like a compressed file and is none")
)

// unpacker decompresses a file from its start, with bounded memory: all members
// of gzip, all frames of zstd, all streams of bzip2.
type unpacker struct {
	r     io.Reader
	raw   rawFile
	close func()
}

// rawFile reads what is open as fd, which stays its owner's.
type rawFile struct {
	fd int
	at int64
}

func (r *rawFile) Read(b []byte) (int, error) {
	n, err := pread(r.fd, b, r.at)
	r.at += int64(n)
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

func newUnpacker(fd int, p packing) (*unpacker, error) {
	u := &unpacker{raw: rawFile{fd: fd}, close: func() {}}
	if err := u.checkMagic(p); err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(&u.raw, 64<<10)
	switch p {
	case zstandard:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		u.r, u.close = z, z.Close
	case bzipped:
		u.r = bzip2.NewReader(buffered)
	default:
		u.r = &members{src: buffered}
	}
	return u, nil
}

// checkMagic refuses a file that does not begin as its name says; of a file
// that has only begun, as far as it goes.
func (u *unpacker) checkMagic(p packing) error {
	head := make([]byte, 4)
	n, err := pread(u.raw.fd, head, 0)
	if err != nil {
		return err
	}
	magic := packings[p].magic
	if k := min(n, len(magic)); string(head[:k]) == magic[:k] || p == zstandard && n == 4 && skippable(head) {
		return nil
	}
	return errMisnamed
}

// skippable says whether a zstd frame of no content begins with head (RFC 8878, 3.1.2).
func skippable(head []byte) bool {
	return head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18"
}

// Read returns io.EOF at the end of complete data only. Data that is cut off is
// errUnfinished, wrong data errDamaged, and what the file system says stays as
// it is. What comes before an error is good, except that a checksum at its end
// may say otherwise.
func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.r.Read(b)
	var no syscall.Errno
	switch {
	case err == nil, errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &no):
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errUnfinished
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = fmt.Errorf("%w: it needs more than %d MiB of memory", errDamaged, maxWindow>>20)
	default:
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return n, err
}

// fill reads until b is full. A short b has an error with it.
func (u *unpacker) fill(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = u.Read(b[n:])
		n += k
	}
	return n, err
}

// members reads the members of a gzip file one after the other. NULs behind the
// last are padding.
type members struct {
	src  *bufio.Reader
	z    *gzip.Reader
	open bool
}

func (m *members) Read(b []byte) (int, error) {
	if !m.open {
		return 0, m.next()
	}
	n, err := m.z.Read(b)
	if errors.Is(err, io.EOF) {
		m.open, err = false, nil
	}
	return n, err
}

// next begins a member; io.EOF means that there is none.
func (m *members) next() (err error) {
	for m.z != nil {
		c, err := m.src.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			if err := m.src.UnreadByte(); err != nil {
				return err
			}
			break
		}
	}
	if m.z == nil {
		m.z, err = gzip.NewReader(m.src)
	} else {
		err = m.z.Reset(m.src)
	}
	if err != nil {
		return err
	}
	m.z.Multistream(false)
	m.open = true
	return nil
}
