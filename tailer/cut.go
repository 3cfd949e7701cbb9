package tailer

import (
	"bytes"
	"context"
	"log/slog"
	"math"

	"golang.org/x/sys/unix"
)

// kept returns where to go on in f.cut, the inode of f, which holds other bytes
// than were read before the machine went down. If power was lost, the end of what
// was read is missing, or NULs are in its place. 0: it begins with other bytes,
// or too few of the same to tell that from a truncation.
func (t *Tailer) kept(ctx context.Context, f *file) (from, nuls int64, err error) {
	p, o := &f.pos, f.cut
	if p.Head.Offset < headSize || o.size < headSize {
		return 0, 0, nil
	}
	fd, err := t.openSeen(o)
	if err != nil || fd < 0 {
		return 0, 0, err
	}
	defer unix.Close(fd)
	head, err := t.crcsAt(ctx, fd, 0, headSize)
	if err != nil || head[0] != p.Head.CRC {
		return 0, 0, noEOF(err)
	}
	from, err = t.proved(ctx, fd, p, o.size)
	if err != nil || from > o.size {
		return 0, 0, err
	}
	hole, end, err := t.hole(ctx, fd, from, min(o.size, p.Offset))
	switch {
	case err != nil:
		return 0, 0, err
	case hole >= 0:
		if end < p.Offset {
			if ok, err := t.holds(ctx, fd, p, false); ok || err != nil {
				return p.Offset, end - hole, err // what comes after it is still there
			}
		}
		return end, end - hole, nil
	case f.left >= from:
		return min(f.left, o.size, p.Offset), 0, nil
	}
	return from, 0, nil // what was read and what is new meet anywhere behind
}

// proved returns the end of the longest prefix, of those that p has CRCs of,
// that a file of this size has.
func (t *Tailer) proved(ctx context.Context, fd int, p *Position, size int64) (int64, error) {
	var ends []int64
	for _, m := range p.Marks {
		if m.Offset <= size {
			ends = append(ends, m.Offset)
		}
	}
	sums, err := t.crcsAt(ctx, fd, p.Base, ends...)
	if err != nil {
		return 0, noEOF(err)
	}
	at := max(p.Base, headSize)
	for i, sum := range sums {
		if sum != p.Marks[i].CRC {
			break
		}
		at = max(at, ends[i])
	}
	return at, nil
}

// hole returns where the first NUL in [from, to) is, and where the NULs that
// begin there end; hole is -1 if there is none.
func (t *Tailer) hole(ctx context.Context, fd int, from, to int64) (hole, end int64, err error) {
	for at := from; at < to; {
		if err := ctx.Err(); err != nil {
			return -1, 0, err
		}
		b := t.scratch[:min(int64(len(t.scratch)), to-at)]
		n, err := pread(fd, b, at)
		if err != nil || n == 0 {
			return -1, at, err
		}
		if i := bytes.IndexByte(b[:n], 0); i >= 0 {
			hole = at + int64(i)
			end, _, err = t.afterNULs(ctx, fd, hole, math.MaxInt64)
			return hole, end, err
		}
		at += int64(n)
	}
	return -1, to, nil
}

// goOn follows the inode of f from f.from on, as a new file: what was read of f
// is not what is there any more. That comes first, so that no crash can leave
// the inode unknown.
func (t *Tailer) goOn(ctx context.Context, fam *family, f *file) error {
	o := f.cut
	if err := t.follow(ctx, f.in, fam, o, f.from); err != nil || o.owner == nil {
		fam.pending, t.sight.open = true, true // it can't be opened now
		return err
	}
	f.in.nuls.Add(f.nuls)
	t.say(slog.LevelWarn, f.in, "the file has lost its end, which was read: the machine went down", "path", f.pos.Path, "read", f.pos.Offset, "from", f.from, "nuls", f.nuls)
	t.unindex(f)
	f.pos.Ino = 0
	if o.size > f.pos.Offset { // what was not read of f is read now
		f.in.lag.Add(-max(0, f.size-f.pos.Offset))
		f.size = f.pos.Offset
	}
	return t.finish(ctx, f, nil, true)
}
