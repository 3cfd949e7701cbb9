package tailer

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"

	"golang.org/x/sys/unix"
)

// copyLook is what a look for the rotated copy of a file brought.
type copyLook struct {
	copy  *seen
	doubt bool // a sibling that may be it could not be read
	later bool // a compressed one is being written, or being looked into
}

// findCopy returns the oldest sibling that has what was read of f, and was made
// later: the rotated copy of a truncated file. While f looks intact at home, a
// sibling counts only if it has more than a copy of what is there.
func (t *Tailer) findCopy(ctx context.Context, fam *family, f *file) (look copyLook, err error) {
	for _, o := range fam.seen {
		if o.packed == plain && o.size < f.pos.Offset || !f.mayBe(o) {
			continue
		}
		if o.packed != plain {
			a, err := t.packedCopy(ctx, fam, f, o)
			if err != nil || a == yes && (!look.doubt && !look.later || f.pos.Offset > headSize) {
				return copyLook{copy: o}, err
			}
			look.doubt = look.doubt || a == unknown && f.mayHide(o)
			look.later = look.later || a == later
			continue
		}
		if o.size == 0 && (f.seen != nil || f.replaced || fam.mayCopy(o)) {
			continue
		}
		if f.fd >= 0 && f.seen == nil && o.size < f.size {
			continue // the open descriptor has more
		}
		if s := f.in.stays[o.id]; s.settled && s.sum == o.sum() {
			f.in.staying[o.id] = s
			continue
		}
		if o.doubt {
			// It may be the copy of a file that was read further than f, even if
			// it could be opened by now: the next scan asks that one first.
			look.doubt = look.doubt || f.mayHide(o)
			continue
		}
		ok, err := t.isCopy(ctx, fam, f, o)
		if ctx.Err() != nil {
			return look, ctx.Err()
		}
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			t.problem(f.in, o.real, err)
			o.doubt = true
			look.doubt = look.doubt || f.mayHide(o)
			continue
		}
		// Where few bytes are known, another may have them, too: the oldest is waited for.
		if ok && (!look.doubt && !look.later || f.pos.Offset > headSize) {
			return copyLook{copy: o}, nil
		}
	}
	return look, nil
}

// mayBe says whether a sibling can be a copy of f as far as names and times tell.
func (f *file) mayBe(o *seen) bool {
	if o.home || o.owner != nil || !younger(o, &f.pos) || !f.trusts(o) || !f.isSourceByName(o) {
		return false
	}
	// Few bytes may be a header that older generations have, too. A copy of f
	// has the time of its making, or that of a write to f.
	if f.pos.Offset <= headSize && o.mtime < f.pos.Began {
		return false
	}
	// No bytes are no proof: then only a birth after the file's own is.
	return f.pos.Offset > 0 || f.seen == nil && !f.replaced || o.born > f.pos.Born && f.pos.Born != 0
}

// mayHide says whether o, which can't be read, may have what was destroyed of f:
// while f is where it was, only if it was made after f was first seen written to.
func (f *file) mayHide(o *seen) bool {
	return f.seen == nil || o.born == 0 || o.born >= f.pos.Began
}

// errWaiting is the problem of a file whose rest is not found for long.
var errWaiting = errors.New("its rest may be in a rotated copy that still grows, and later files wait for it")

// errHeld is the problem of a file that is not read on for long.
var errHeld = errors.New("it may have been truncated, and the rotated copy that would tell can't be read")

// candidates sums up the siblings that are, or may become, a copy of f. The sum
// changes when one of them does, or the file at home is another one. Siblings
// with other bytes don't count: they may grow for ever.
func (t *Tailer) candidates(ctx context.Context, fam *family, f *file) (uint64, error) {
	h := fnv.New64a()
	var b []byte
	for _, o := range fam.seen {
		b = appendInts(b[:0], int64(o.id.dev), int64(o.id.ino))
		if !o.home {
			if !f.mayBe(o) || !t.beginsLike(ctx, f, o) {
				continue
			}
			b = appendInts(b, o.size, o.mtime)
		}
		h.Write(b)
	}
	return h.Sum64(), ctx.Err()
}

// beginsLike says whether o has the bytes that are known of f's first quantum, as
// far as o goes. What can't be read may have them.
func (t *Tailer) beginsLike(ctx context.Context, f *file, o *seen) bool {
	if o.packed != plain {
		s := f.in.surveys[o.id]
		return s == nil || s.of(f) == nil || !s.of(f).differ
	}
	p := &f.pos
	fd, err := t.openSeen(o)
	if err != nil || fd < 0 {
		return true
	}
	defer unix.Close(fd)
	checks := []struct {
		base int64
		Mark
	}{{p.Base, p.markBefore(min(o.size, p.Base+quantum))}, {0, p.Head}}
	for _, c := range checks {
		if c.Offset > o.size {
			continue
		}
		if sum, err := t.crcsAt(ctx, fd, c.base, c.Offset); err == nil && sum[0] != c.CRC {
			return false
		}
	}
	return true
}

func (t *Tailer) isCopy(ctx context.Context, fam *family, f *file, o *seen) (bool, error) {
	fd, err := t.openSeen(o)
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	ok, err := t.holdsAll(ctx, fd, f)
	if err != nil || !ok || f.seen == nil && !fam.mayCopy(o) {
		return ok, err
	}
	part, err := t.partOfHome(ctx, fam, o, fd)
	if part && err == nil {
		// Once f is past the end of o, it is of no further use.
		if steady := t.steady(f.in, o); steady && f.seen != nil && f.pos.Offset >= o.size && !o.matched {
			s := f.in.staying[o.id]
			s.settled = true
			f.in.staying[o.id] = s
		}
	}
	return !part, err
}

// mayCopy says whether o can be a copy of what is at home: it is not older.
func (fam *family) mayCopy(o *seen) bool {
	home := fam.atHome()
	return home != nil && (o.born == 0 || home.born == 0 || o.born >= home.born)
}

// errChanged says that a file was truncated while it was being compared. The
// next scan, which is asked for, will see what that means.
var errChanged = errors.New("changed while it was looked at")

// partOfHome says whether o, open as fd, is a copy of the beginning of what is
// at home.
func (t *Tailer) partOfHome(ctx context.Context, fam *family, o *seen, fd int) (bool, error) {
	home := fam.atHome()
	if home == nil {
		return false, nil
	}
	h, err := t.openSeen(home)
	if err != nil {
		return false, err
	}
	if h < 0 {
		return false, errChanged
	}
	defer unix.Close(h)
	part, err := t.samePrefix(ctx, h, fd, o.size)
	if err != nil || part {
		return part, err
	}
	// A copy differs from its origin as soon as that is truncated.
	i, err := statFD(h)
	intact := err == nil && i.size >= home.size
	if f := home.owner; intact && f != nil {
		intact, err = t.holds(ctx, h, &f.pos, false)
	}
	if err == nil && !intact {
		t.asked = true
		err = errChanged
	}
	return false, err
}

// homeHolds says whether another inode at home has the bytes up to f's offset;
// doubt: it could not be read.
func (t *Tailer) homeHolds(ctx context.Context, fam *family, f *file) (ok, doubt bool, err error) {
	home := fam.atHome()
	if home == nil || home.owner != nil || home.size < f.pos.Offset || !f.trusts(home) {
		return false, false, nil
	}
	fd, err := t.openSeen(home)
	if err == nil && fd < 0 {
		return false, false, nil
	}
	if err == nil {
		defer unix.Close(fd)
		ok, err = t.holdsAll(ctx, fd, f)
	}
	if err != nil && ctx.Err() == nil {
		t.problem(f.in, home.real, err)
		return false, true, nil
	}
	return ok, false, err
}

// holdsAll says whether the file open as fd begins with all that is known of f:
// what was read, or, of a deleted file that is still open, all of it.
func (t *Tailer) holdsAll(ctx context.Context, fd int, f *file) (bool, error) {
	if f.seen == nil && f.fd >= 0 {
		same, err := t.samePrefix(ctx, f.fd, fd, f.size)
		return same && f.size > 0, err
	}
	return t.holds(ctx, fd, &f.pos, true)
}

// steady says whether o has looked the same for RotateWait.
func (t *Tailer) steady(in *input, o *seen) bool {
	s, now := in.staying[o.id], false
	if s.since.IsZero() {
		s = in.stays[o.id]
	}
	now = t.settled(&s, o.sum())
	in.staying[o.id] = s
	return now
}

func (o *seen) sum() uint64 { return uint64(o.size)*0x9e3779b97f4a7c15 ^ uint64(o.mtime) }

// lateCopy decides from where an unknown sibling is to be read: from its start,
// unless it is a copy of bytes that were read already. wait: it can't be told yet.
func (t *Tailer) lateCopy(ctx context.Context, in *input, fam *family, o *seen) (from int64, wait bool, err error) {
	if o.size == 0 {
		return 0, fam.mayCopy(o), nil // a copy begins like this, too
	}
	fd, err := t.openSeen(o)
	if err != nil {
		t.problem(in, o.real, err)
	}
	if err != nil || fd < 0 {
		return 0, true, nil
	}
	defer unix.Close(fd)
	if fam.mayCopy(o) {
		part, err := t.partOfHome(ctx, fam, o, fd)
		if err != nil {
			return 0, true, ctx.Err()
		}
		if part {
			f := fam.atHome().owner
			read := t.steady(in, o) && f != nil && f.pos.Offset >= o.size
			return o.size, !read, nil
		}
	}
	for _, f := range slices.Concat(fam.live, fam.done) {
		if f.pos.Offset == f.pos.Base || !younger(o, &f.pos) || !f.trusts(o) {
			continue
		}
		if f.bytes == unsure && !f.pos.Done && f.mayHide(o) {
			// It may have been truncated: then this is what it goes on in.
			if wait, err = t.holds(ctx, fd, &f.pos, true); wait || err != nil {
				return 0, true, ctx.Err()
			}
		}
		if f.seen != nil && f.pos.Packed == 0 {
			continue
		}
		if o.born != 0 && o.born == f.pos.Born {
			continue // its own inode, truncated since: another generation
		}
		n, err := t.covered(ctx, fd, o, f)
		if err != nil {
			return 0, true, ctx.Err()
		}
		if n > 0 && !f.pos.Done {
			return 0, true, nil // deleted, but still being read
		}
		from = max(from, n)
	}
	if from == o.size && !t.steady(in, o) {
		return from, true, nil
	}
	return from, false, nil
}

// covered returns how much of o, open as fd, was read as part of the finished
// file f. A file that was read to its end has copies of its own length only.
func (t *Tailer) covered(ctx context.Context, fd int, o *seen, f *file) (int64, error) {
	at := Mark{f.pos.Offset, f.pos.CRC}
	if o.size < at.Offset && f.pos.Lost {
		at = f.pos.markBefore(o.size)
	}
	if !f.copiedBefore(o) {
		return 0, nil
	}
	// Without inodes, more than a header's length of them may be f itself, grown.
	grown := f.in.ByContent && f.seen == nil && at.Offset > headSize
	if at.Offset == f.pos.Base || o.size < at.Offset || o.size > at.Offset && !f.pos.Lost && !grown {
		return 0, nil
	}
	// If o goes on after the mark, a header is no proof for what follows it.
	if at.Offset <= headSize && at.Offset < min(o.size, f.pos.Offset) {
		return 0, nil
	}
	// A few bytes may be a header that all generations have. Then only what was
	// made, and written, before the next generation began is taken for a copy, and
	// only while no other file is known to be the copy.
	if next := f.next(); at.Offset <= headSize && next != nil && (o.mtime > next.pos.Began || o.made() > next.pos.Began || f.seen != nil) {
		return 0, nil
	}
	sum, err := t.crcsAt(ctx, fd, f.pos.Base, at.Offset)
	if err != nil || sum[0] != at.CRC {
		return 0, noEOF(err)
	}
	if f.pos.Offset > o.size {
		return o.size, nil
	}
	return at.Offset, nil
}

// copiedBefore reports whether o, which is not compressed, can have been copied from
// the finished file f: copies are made while there is something to copy, and have
// older names than it. However alike, all else is a new generation. Of a log that
// was copied from another machine, the rotated copy may follow at any time.
func (f *file) copiedBefore(o *seen) bool {
	late := o.born != 0 && f.pos.Left != 0 && o.made() > f.pos.Left
	return f.isSourceByName(o) && (!late || f.pos.Offset > headSize && f.was() == f.fam.home)
}

// was returns the path that f had last.
func (f *file) was() string { return cmp.Or(f.name, f.pos.Real, f.pos.Path) }

// made returns a time before which o had not all of its bytes. One that is older
// than its inode was copied with its time.
func (o *seen) made() int64 {
	if o.mtime < o.born {
		return o.mtime
	}
	return o.born
}

// isSourceByName reports whether o can be a copy of f as far as names tell: copies
// are given the names of older generations.
func (f *file) isSourceByName(o *seen) bool {
	was := f.was()
	return was == f.fam.home || unpackedName(o.real) == unpackedName(was) || compareAge(o.real, was) <= 0
}

// next is the generation of the family that came after f.
func (f *file) next() (next *file) {
	for _, all := range [...][]*file{f.fam.live, f.fam.done} {
		for _, g := range all {
			if g.pos.File > f.pos.File && (next == nil || g.pos.File < next.pos.File) {
				next = g
			}
		}
	}
	return next
}
