package tailer

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"

	"golang.org/x/sys/unix"
)

// crcsAt returns the CRC-32C of [base, end) of the file for each of ends, which
// ascend, in one pass. A file that is too short is io.ErrUnexpectedEOF.
func (t *Tailer) crcsAt(ctx context.Context, fd int, base int64, ends ...int64) ([]uint32, error) {
	sums := make([]uint32, 0, len(ends))
	at, sum := base, uint32(0)
	for _, end := range ends {
		for at < end {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t.o.Pulse(true)
			n, err := pread(fd, t.scratch[:min(int64(len(t.scratch)), end-at)], at)
			if err != nil {
				return nil, err
			}
			if n == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			sum = crc32.Update(sum, castagnoli, t.scratch[:n])
			at += int64(n)
			if at < end && t.scratch[n-1] == 0 {
				next := min(end, nextData(fd, at))
				sum, at = crcOfNULs(sum, next-at), next
			}
		}
		sums = append(sums, sum)
	}
	return sums, nil
}

// samePrefix says whether the first n bytes of two files are the same.
func (t *Tailer) samePrefix(ctx context.Context, a, b int, n int64) (bool, error) {
	return t.sameRange(ctx, a, b, 0, n)
}

// sameRange says whether the bytes [from, n) of two files are the same.
func (t *Tailer) sameRange(ctx context.Context, a, b int, from, n int64) (bool, error) {
	half := int64(len(t.scratch) / 2)
	for at := from; at < n; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		t.o.Pulse(true)
		k := min(half, n-at)
		x, y := t.scratch[:k], t.scratch[half:half+k]
		if i, err := pread(a, x, at); err != nil || int64(i) < k {
			return false, err
		}
		if i, err := pread(b, y, at); err != nil || int64(i) < k {
			return false, err
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
		if at += k; at < n && x[k-1] == 0 {
			at = min(n, nextData(a, at), nextData(b, at))
		}
	}
	return true, nil
}

// crcOfNULs returns the CRC-32C of what has sum and n NULs behind it. Holes are not
// read: a file can have more of them than anybody has time for.
func crcOfNULs(sum uint32, n int64) uint32 {
	power, factor := uint32(1)<<23, uint32(1)<<31 // x^8 and 1, the lowest power first
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			factor = crcTimes(factor, power)
		}
		power = crcTimes(power, power)
	}
	return ^crcTimes(factor, ^sum)
}

// crcTimes multiplies polynomials modulo that of CRC-32C.
func crcTimes(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		b = b>>1 ^ b&1*crc32.Castagnoli
	}
	return product
}

// holds says whether the open file has the bytes before p.Offset: first the
// fingerprint and the anchor, and, if these are not proof enough (deep), all of
// them by the prefix CRC.
func (t *Tailer) holds(ctx context.Context, fd int, p *Position, deep bool) (bool, error) {
	head, err := t.crcsAt(ctx, fd, 0, p.Head.Offset)
	if err != nil || head[0] != p.Head.CRC {
		return false, noEOF(err)
	}
	anchor := make([]byte, len(p.Anchor))
	n, err := pread(fd, anchor, p.Offset-int64(len(anchor)))
	if err != nil || !bytes.Equal(anchor[:n], p.Anchor) {
		return false, err
	}
	if !deep {
		return true, nil
	}
	sum, err := t.crcsAt(ctx, fd, p.Base, p.Offset)
	if err != nil {
		return false, noEOF(err)
	}
	return sum[0] == p.CRC, nil
}

// noEOF makes "too short" an answer instead of an error.
func noEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// startAt sets the checks of a position that starts at offset without having
// read what is before.
func (t *Tailer) startAt(ctx context.Context, fd int, p *Position, offset int64) error {
	p.Offset, p.Base = offset, max(0, offset-baseSize)
	p.Head.Offset = min(headSize, offset)
	head, err := t.crcsAt(ctx, fd, 0, p.Head.Offset)
	if err != nil {
		return err
	}
	sum, err := t.crcsAt(ctx, fd, p.Base, offset)
	if err != nil {
		return err
	}
	p.Anchor = make([]byte, min(anchorSize, offset))
	if _, err := pread(fd, p.Anchor, offset-int64(len(p.Anchor))); err != nil {
		return err
	}
	p.Head.CRC, p.CRC = head[0], sum[0]
	p.mark()
	return nil
}

// lastLine returns the offset after the last newline before end, or end if the
// line there is longer than limit.
func (t *Tailer) lastLine(fd int, end int64, limit int) (int64, error) {
	for size := min(quantum, limit); ; size = limit {
		b := t.room(int(min(int64(size), end)))
		n, err := pread(fd, b, end-int64(len(b)))
		if err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(b[:n], '\n'); i >= 0 || end <= int64(len(b)) {
			return end - int64(len(b)) + int64(i) + 1, nil
		}
		if size == limit {
			return end, nil
		}
	}
}

// afterNULs returns the offset of the first byte in [from, to) that is not NUL,
// or, with found false, the offset at which the file or the range ends. Holes are
// not read: a file can have more of them than anybody has time for.
func (t *Tailer) afterNULs(ctx context.Context, fd int, from, to int64) (at int64, found bool, err error) {
	for at = from; at < to; {
		if err := ctx.Err(); err != nil {
			return at, false, err
		}
		t.o.Pulse(true)
		b := t.scratch[:min(int64(len(t.scratch)), to-at)]
		n, err := pread(fd, b, at)
		if err != nil || n == 0 {
			return at, false, err
		}
		rest := bytes.TrimLeft(b[:n], "\x00")
		at += int64(n - len(rest))
		if len(rest) > 0 {
			return at, true, nil
		}
		at = min(to, nextData(fd, at))
	}
	return at, false, nil
}

// holeInFront reports whether a file of this size begins with a hole that would
// fill a turn.
func holeInFront(fd int, size int64) bool { return size > quantum && nextData(fd, 0) >= quantum }

// nextData returns where the hole at an offset ends: the offset itself if there is
// none, or the file system does not tell, the end of the file if it ends with it.
func nextData(fd int, at int64) int64 {
	next, err := unix.Seek(fd, at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		next, err = unix.Seek(fd, 0, io.SeekEnd)
	}
	if err != nil {
		return at
	}
	return max(at, next)
}
