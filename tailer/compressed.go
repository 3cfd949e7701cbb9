package tailer

import (
	"context"
	"slices"
	"time"
)

// answer is what a compressed file is to a question about it.
type answer int

const (
	no answer = iota
	yes
	later   // it is being written, or being looked into
	unknown // it can't be read
)

// beingWritten says whether o may be the unfinished work of a compressor: what
// it is made from is still there, and it has changed of late.
func (t *Tailer) beingWritten(in *input, o *seen) bool {
	if i, err := statPath(unpackedName(o.real)); err != nil || !i.regular() {
		return false
	}
	return !t.steady(in, o)
}

// packedCopy says whether o, which is compressed, has what was read of f, and is
// no mere copy of what is at home.
func (t *Tailer) packedCopy(ctx context.Context, fam *family, f *file, o *seen) (answer, error) {
	switch {
	case o.size == 0, f.fd >= 0 && f.seen == nil: // the open descriptor has all of it
		return no, nil
	case t.beingWritten(f.in, o):
		return later, nil
	}
	s := t.survey(f.in, fam, o)
	switch {
	case s == nil && o.doubt:
		return unknown, nil
	case s == nil:
		return later, nil
	}
	if a := s.of(f); a != nil && !a.differ && a.offset != f.pos.Offset { // f was read on meanwhile
		if s.whole() && s.pos.Offset < f.pos.Offset {
			return no, nil
		}
		delete(f.in.surveys, o.id)
		t.survey(f.in, fam, o)
		return later, nil
	}
	if f.pos.Offset == f.pos.Base {
		switch g := fam.unread(o); {
		case g == nil || g == f:
		case g.pos.File < f.pos.File:
			return later, nil
		default:
			return no, nil // were it waited for, f would hold it up; what no one has is a newcomer
		}
		if novel, err := t.novel(ctx, fam, s); err != nil || novel != yes {
			return novel, err
		}
	} else if a := s.of(f); a == nil || !a.holds() {
		return no, nil
	}
	if s.isOfDone(fam.done, f, o) {
		return no, nil
	}
	home := fam.atHome()
	if home == nil || f.pos.Offset == f.pos.Base {
		return yes, nil
	}
	if f.seen != nil && s.broken() {
		return no, nil // what is at home looks better
	}
	part, err := t.partOf(ctx, s, home)
	switch {
	case err != nil || part == later:
		return later, err
	case part == yes && s.whole():
		return no, nil
	}
	return yes, nil
}

// isOfDone says whether the content of o is exactly that of one of the finished
// files, rather than f's: of one that was read further, or of one that is gone and
// was last written to when o was; of two such, the older.
func (s *survey) isOfDone(done []*file, f *file, o *seen) bool {
	for _, g := range done {
		a := s.of(g)
		if a == nil || !a.holds() || !s.whole() || s.pos.Offset != a.offset {
			continue
		}
		gone := g.seen == nil && o.mtime == g.pos.Mtime
		if a.offset > f.pos.Offset || gone && (o.mtime != f.pos.Mtime || g.pos.File < f.pos.File) {
			return true
		}
	}
	return false
}

// novel says whether the content is no one's that is known. What begins like a
// file that is there is not that one's if it goes on otherwise.
func (t *Tailer) novel(ctx context.Context, fam *family, s *survey) (answer, error) {
	for _, f := range slices.Concat(fam.live, fam.done) {
		a := s.of(f)
		if a == nil || a.differ || a.last == 0 {
			continue
		}
		if f.seen == nil || f.pos.Packed > 0 || !s.whole() {
			return no, nil
		}
		switch part, err := t.partOf(ctx, s, f.seen); {
		case err != nil || part == later:
			return later, err
		case part == yes:
			return no, nil
		}
	}
	return yes, nil
}

// packedNewcomer decides about a compressed file that nobody owns. It returns
// false if nothing younger of the family may be followed before it is decided.
func (t *Tailer) packedNewcomer(ctx context.Context, in *input, fam *family, o *seen) (bool, error) {
	if o.size == 0 || !o.matched && !fam.missed(o) {
		return true, nil
	}
	if t.beingWritten(in, o) {
		t.sight.open = true
		return true, nil // younger ones need not wait: what it is made from is there
	}
	if f := fam.unread(o); f != nil {
		t.sight.open = true
		return f.drained || t.unread(in), nil // what is whole of it will be read at once
	}
	s := t.survey(in, fam, o)
	switch {
	case s == nil && o.doubt:
		return true, nil
	case s == nil:
		under := in.surveys[o.id]
		return under != nil && !under.patient(), nil
	}
	if s.broken() && !t.steady(in, o) {
		t.sight.open = true
		return false, nil
	}
	for _, f := range fam.suspects(o) {
		a := s.of(f)
		if a == nil || a.differ || a.last == 0 && s.whole() {
			continue
		}
		known, err := t.packedKnown(ctx, s, a, f, o)
		switch {
		case err != nil || known == later:
			return false, err
		case known == yes:
			return true, nil
		case f.pos.Done && f.seen == nil && a.holds() && f.pos.Offset > headSize:
			t.revive(f) // it has grown since it was finished
			return true, t.move(ctx, f, o, true)
		case f.pos.Lost && a.last > headSize:
			return true, t.followPacked(ctx, in, fam, o, a.at)
		}
	}
	return true, t.followPacked(ctx, in, fam, o, nil)
}

// unread is the rotated file that o may be the copy of, if it is still being read
// and nothing was handed on of it yet, at its end because its only line lacks a
// newline. Until that is handed on there is nothing to compare o with.
func (fam *family) unread(o *seen) *file {
	for _, f := range fam.live {
		if f.rotated && f.pos.Packed == 0 && f.pos.Offset == f.pos.Base && f.size > f.pos.Offset &&
			(f.fd >= 0 || f.seen != nil) && younger(o, &f.pos) {
			return f
		}
	}
	return nil
}

// packedKnown says whether the content of o is that of f, as far as it was read
// or goes, so that nothing of it is to be read.
func (t *Tailer) packedKnown(ctx context.Context, s *survey, a *ask, f *file, o *seen) (answer, error) {
	switch {
	case s.broken():
		return yes, nil // as far as it can be seen; its problem is told
	case !f.pos.Done && a.holds() && f.seen != nil && s.whole():
		return t.partOf(ctx, s, f.seen)
	case !f.pos.Done && a.holds():
		return yes, nil // f is being read, and will have all that this has
	case !s.whole():
		return no, nil // it has more than f, which is done
	case a.holds() && s.pos.Offset == f.pos.Offset:
		if next := f.next(); f.pos.Offset <= headSize && next != nil && o.mtime > next.pos.Began && o.mtime != f.pos.Mtime {
			return no, nil // a header that all generations have
		}
		if f.seen == nil {
			return yes, t.nowAt(ctx, f, o)
		}
		return yes, nil
	case s.pos.Offset > f.pos.Offset:
		return no, nil
	case f.seen != nil:
		return t.partOf(ctx, s, f.seen)
	}
	if a.last > headSize || a.last == s.pos.Offset {
		return yes, nil
	}
	return no, nil
}

// nowAt notes that the bytes of f, which is finished and gone, are in o now: it
// is recognised by its inode from now on.
func (t *Tailer) nowAt(ctx context.Context, f *file, o *seen) error {
	t.identify(f, &o.info)
	f.pos.Packed, f.replaced = o.size, false
	f.seen, f.bytes, f.name, o.owner = o, same, o.real, f
	f.setSize(&o.info)
	t.sight.open = true
	return t.news(ctx, f)
}

// followPacked follows a compressed file from its start, or from where known ends.
func (t *Tailer) followPacked(ctx context.Context, in *input, fam *family, o *seen, known *Position) error {
	if f := in.byInode[o.id]; f != nil {
		o.owner = f // a hard link
		return nil
	}
	skip := !in.started && !fam.resumes(o)
	f := t.newFile(in, fam, o)
	f.rotated, f.checked = true, true
	f.pos.Packed = o.size
	if known != nil {
		p := &f.pos
		p.Offset, p.CRC, p.Head, p.Anchor, p.Marks = known.Offset, known.CRC, known.Head, known.Anchor, known.Marks
	}
	if err := t.enlist(ctx, f, &o.info, -1); err != nil {
		return err
	}
	t.solved(in, o.real)
	if skip { // start_at = "end"
		f.size = f.pos.Offset
		return t.finish(ctx, f, nil, false)
	}
	t.enqueue(f)
	return nil
}

// knownTime says whether o, which is compressed, was last written to when one of
// the known files was. Then it is a copy of that one, which need not be proved:
// if anything of that is missing, its copy is searched for by what it holds.
func (fam *family) knownTime(o *seen) bool {
	for _, all := range [...][]*file{fam.live, fam.done} {
		for _, f := range all {
			if f.pos.Lost && f.pos.Offset == f.pos.Base {
				continue // nothing of it was found
			}
			if o.mtime == f.pos.Mtime || o.mtime == secondOf(o.mtime) && o.mtime == secondOf(f.pos.Mtime) {
				return true
			}
		}
	}
	return false
}

// secondOf rounds down to what the times of compressed files are sure to keep
// of those they were made from.
func secondOf(ns int64) int64 { return ns - ns%int64(time.Second) }
