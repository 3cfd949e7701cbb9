package tailer

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"iter"
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

// A call of fill reads at most so much of the file, whatever comes of it; and what
// decompresses to nothing for longer than that is given up: nobody makes such files
// but to keep a reader busy.
const (
	unpackBudget = 8 << 20
	maxEmpty     = 64 << 20
)

// errEmpty is the problem of a compressed file that goes on without content.
var errEmpty = fmt.Errorf("%w: more than %d MiB of it are nothing", errDamaged, maxEmpty>>20)

// unpacker decompresses a file from its start, with bounded memory and in bounded
// steps: all members of gzip, all frames of zstd, all streams of bzip2. The
// decompressor is a coroutine: it rests in the midst of a read where a step ends.
type unpacker struct {
	raw  rawFile
	next func() ([]byte, error, bool)
	stop func()
	rest []byte // decompressed and not taken yet
	end  error  // what comes after it
}

// rawFile reads what is open as fd, which stays its owner's.
type rawFile struct {
	fd    int
	at    int64
	left  int64       // bytes that this step may read
	empty int64       // bytes since there was content
	pause func() bool // ends a step; false: for good
	err   error       // why it reads no more
}

func (r *rawFile) Read(b []byte) (int, error) {
	if r.left <= 0 && !r.pause() {
		r.err = errEnough
	}
	if r.empty > maxEmpty {
		r.err = errEmpty
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := pread(r.fd, b, r.at)
	r.at, r.left, r.empty = r.at+int64(n), r.left-int64(n), r.empty+int64(n)
	if err == nil && n == 0 && len(b) > 0 {
		err = io.EOF
	}
	return n, err
}

func newUnpacker(fd int, p packing) (*unpacker, error) {
	u := &unpacker{raw: rawFile{fd: fd}}
	if err := u.checkMagic(p); err != nil {
		return nil, err
	}
	u.next, u.stop = iter.Pull2(func(yield func([]byte, error) bool) {
		stopped := false
		u.raw.pause = func() bool { stopped = stopped || !yield(nil, nil); return !stopped }
		r, end, err := u.decompress(p)
		if err != nil {
			yield(nil, err)
			return
		}
		defer end()
		b := make([]byte, 64<<10)
		for {
			n, err := u.read(r, b)
			if stopped || (n > 0 || err != nil) && !yield(b[:n], err) || err != nil {
				return
			}
		}
	})
	return u, nil
}

// decompress returns a reader of the content, and what ends it.
func (u *unpacker) decompress(p packing) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(&u.raw, 64<<10)
	switch p {
	case zstandard:
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case bzipped:
		return bzip2.NewReader(buffered), func() {}, nil
	}
	return &members{src: buffered, raw: &u.raw}, func() {}, nil
}

func (u *unpacker) close() { u.stop() }

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

// read returns io.EOF at the end of complete data only. Data that is cut off is
// errUnfinished, wrong data errDamaged, and what the file system says stays as
// it is. What comes before an error is good, except that a checksum at its end
// may say otherwise.
func (u *unpacker) read(r io.Reader, b []byte) (int, error) {
	n, err := r.Read(b)
	if n > 0 {
		u.raw.empty = 0
	}
	var no syscall.Errno
	switch {
	case u.raw.err != nil:
		err = u.raw.err
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

// fill reads until b is full, or the step is over. A short b without an error
// means that there may be more.
func (u *unpacker) fill(b []byte) (n int, err error) {
	u.raw.left = unpackBudget
	for n < len(b) {
		if len(u.rest) == 0 {
			if u.end != nil {
				return n, u.end
			}
			data, err, ok := u.next()
			switch {
			case !ok:
				return n, errEnough // it was closed
			case len(data) == 0 && err == nil:
				return n, nil
			}
			u.rest, u.end = data, err
		}
		k := copy(b[n:], u.rest)
		n, u.rest = n+k, u.rest[k:]
	}
	return n, nil
}

// members reads the members of a gzip file one after the other. NULs behind the
// last are padding.
type members struct {
	src  *bufio.Reader
	raw  *rawFile
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
		m.skipHole()
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

// skipHole goes to the end of a hole that the padding goes on with.
func (m *members) skipHole() {
	b, _ := m.src.Peek(m.src.Buffered())
	if len(bytes.TrimLeft(b, "\x00")) == 0 {
		_, _ = m.src.Discard(len(b))
		m.raw.at = nextData(m.raw.fd, m.raw.at)
	}
}
