package tailer

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// claim finds the followed files among what the scan saw, by inode and content.
func (t *Tailer) claim(ctx context.Context, in *input, homes []string, l *listing) error {
	for _, home := range homes {
		fam := in.families[home]
		for _, f := range slices.Concat(fam.live, fam.done) {
			f.seen, f.copy, f.cut, f.bytes = nil, nil, nil, differs
		}
	}
	clear(in.names)
	for _, home := range homes {
		for _, o := range in.families[home].seen {
			if err := t.claimOne(ctx, in, o); err != nil {
				return err
			}
		}
	}
	for _, home := range homes {
		fam := in.families[home]
		for _, f := range slices.Clone(fam.live) {
			var err error
			switch {
			case f.seen != nil, f.replaced:
			case f.fd >= 0:
				err = t.claimOpen(ctx, f)
			case !in.ByContent:
				err = t.searchDir(ctx, in, f, l)
			}
			if err != nil {
				return err
			}
		}
	}
	t.noteVanished(in, homes)
	return nil
}

// noteVanished notes by when the files that have just lost their last name had lost it:
// that changed their directory. Births are compared with it, so it is a time of
// the file system, not of this machine.
func (t *Tailer) noteVanished(in *input, homes []string) {
	for _, home := range homes {
		fam := in.families[home]
		for _, all := range [...][]*file{fam.live, fam.done} {
			for _, f := range all {
				switch {
				case f.seen != nil:
					f.pos.Left = 0
				case f.pos.Left == 0 && !f.replaced:
					f.pos.Left = t.sight.dirs[filepath.Dir(home)].mtime
				}
			}
		}
	}
}

// claimOne decides whether o is the file that had its inode.
func (t *Tailer) claimOne(ctx context.Context, in *input, o *seen) error {
	f := in.fileAt(o.id)
	if f == nil {
		return nil
	}
	if f.seen != nil {
		if f.seen.id == o.id {
			o.owner = f // a second name
		}
		return nil
	}
	exact := o.id == f.pos.inode() && f.pos.Boot == t.boot
	bytes, err := t.bytesAt(ctx, f, o, exact)
	if bytes == same && in.ByContent && f.fd >= 0 && f.pos.Packed == 0 {
		bytes, err = t.sameAhead(ctx, f, o)
	}
	if err != nil {
		return err
	}
	switch {
	case bytes == unsure:
		f.bytes, f.seen, o.owner = unsure, o, f
	case bytes == same:
		return t.found(ctx, f, o)
	case exact && in.ByContent && t.heldOpen(ctx, f):
		// Another file has its path; under which name it is, contents tell.
		t.unindex(f)
		f.pos.Ino, f.name = 0, ""
	case exact:
		t.replace(f)
	case f.pos.Boot != t.boot && !f.pos.Done && f.cut == nil && o.packed == plain && f.pos.Packed == 0:
		f.cut = o
		if o.mtime < t.booted {
			f.left = o.size
		}
	}
	return nil
}

// sameAhead says whether o has what is unread of f in its descriptor.
func (t *Tailer) sameAhead(ctx context.Context, f *file, o *seen) (match, error) {
	i, err := statFD(f.fd)
	if err != nil || i.size <= f.pos.Offset {
		return same, nil
	}
	fd, err := t.openSeen(o)
	if err != nil || fd < 0 {
		return unsure, nil
	}
	defer unix.Close(fd)
	ok, err := t.sameRange(ctx, f.fd, fd, f.pos.Offset, i.size)
	switch {
	case ctx.Err() != nil:
		return unsure, ctx.Err()
	case err != nil:
		t.problem(f.in, o.real, err)
		return unsure, nil
	case !ok:
		return differs, nil
	}
	return same, nil
}

// heldOpen says whether f's descriptor leads to all that is known of it.
func (t *Tailer) heldOpen(ctx context.Context, f *file) bool {
	if f.fd < 0 || f.pos.Packed > 0 {
		return false
	}
	i, err := statFD(f.fd)
	if err != nil || i.size < max(f.size, f.pos.Offset) {
		return false
	}
	ok, err := t.holds(ctx, f.fd, &f.pos, false)
	return ok && err == nil
}

// claimOpen finds f where its descriptor says that it is another inode by now:
// a file of an overlay's lower layer is copied up when it is written to, and is
// born anew. It is opened again, for a kernel may go on reading the lower file.
func (t *Tailer) claimOpen(ctx context.Context, f *file) error {
	i, err := f.in.statFD(f.fd, f.name)
	if err != nil || i.id == f.pos.inode() {
		return nil // what is wrong with it, nameless finds out
	}
	for _, o := range f.fam.seen {
		if o.id == i.id && o.owner == nil {
			t.closeFile(f)
			t.identify(f, &i)
			return t.claimOne(ctx, f.in, o)
		}
	}
	return nil
}

// bytesAt compares what is at o with what was read of f.
func (t *Tailer) bytesAt(ctx context.Context, f *file, o *seen, exact bool) (match, error) {
	switch {
	case f.replaced, (o.packed != plain) != (f.pos.Packed > 0):
		return differs, nil
	case o.packed != plain && o.size < f.pos.Packed:
		return differs, nil
	case o.packed != plain && f.pos.Done && o.size == f.pos.Packed && o.mtime != f.mtime:
		return differs, nil // written anew: whose bytes it has now, a survey finds out
	case o.packed != plain:
		return same, nil // what reads it finds out
	case o.size < f.pos.Offset, exact && o.size < f.size:
		return differs, nil
	case exact && f.sameTimes(o):
		return same, nil
	}
	fd, err := t.openSeen(o)
	if err != nil {
		t.problem(f.in, o.real, err)
		return unsure, nil
	}
	if fd < 0 {
		return unsure, nil
	}
	defer unix.Close(fd)
	// An archive may be written anew at its size: then only all of it is proof.
	ok, err := t.holds(ctx, fd, &f.pos, !exact || f.pos.Done && o.mtime != f.mtime)
	switch {
	case ctx.Err() != nil:
		return unsure, ctx.Err()
	case err != nil:
		t.problem(f.in, o.real, err)
		return unsure, nil
	case ok:
		return same, nil
	}
	return differs, nil
}

// sameTimes reports whether o, which has f's inode, looks as it did when it was
// last compared with what was read of f. A finished file may be written anew at
// equal size, and then given its old mtime; its ctime tells.
func (f *file) sameTimes(o *seen) bool {
	if o.size != f.fileSize() || o.mtime != f.mtime {
		return false
	}
	if !f.pos.Done {
		return f.checked
	}
	return o.ctime == f.ctime && (f.checked || o.born != 0)
}

// compared notes the times that o has, whose bytes are those of the finished file f.
func (t *Tailer) compared(ctx context.Context, f *file, o *seen) error {
	f.checked, f.ctime, f.pos.Ctime = true, o.ctime, o.ctime
	if o.mtime == f.mtime {
		return nil
	}
	f.mtime, f.pos.Mtime = o.mtime, o.mtime
	t.sight.open = true
	return t.news(ctx, f)
}

// openSeen opens what the scan saw; -1 means that the name leads elsewhere by
// now, which another scan will sort out.
func (t *Tailer) openSeen(o *seen) (int, error) {
	fd, err := t.openFD(o.real)
	if errors.Is(err, unix.ENOENT) {
		t.asked = true
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	i, err := statFD(fd)
	switch {
	case err == nil && t.private.opened(fd):
		err = errPrivate
	case err == nil && o.is(&i) && o.uid == i.uid:
		return fd, nil
	default:
		t.asked = true
	}
	unix.Close(fd)
	return -1, err
}

// found notes where f is.
func (t *Tailer) found(ctx context.Context, f *file, o *seen) error {
	if o.path == f.pos.Path && o.real == o.path {
		o.path, o.real = f.pos.Path, f.pos.Path // one copy of each path in memory is enough
	}
	f.seen, f.bytes, f.name, o.owner = o, same, o.real, f
	f.in.names[o.path], f.in.names[o.real] = f, f
	if o.id != f.pos.inode() || f.pos.Boot != t.boot {
		t.closeFile(f)
		t.identify(f, &o.info)
	}
	if f.pos.Done {
		if o.packed != plain && o.size <= f.pos.Packed || o.packed == plain && o.size <= max(f.size, f.pos.Offset) {
			return t.compared(ctx, f, o)
		}
		t.revive(f)
		t.sight.open = true
	}
	if !f.checked || !f.atEnd || f.differsFrom(&o.info) {
		t.enqueue(f)
	} else if f.packed.problem != nil {
		t.problem(f.in, f.name, f.packed.problem) // it still is one
	}
	f.checked = true
	if f.rotated && f.atEnd && f.size > f.pos.Offset && !f.pos.Done {
		t.tended[f] = struct{}{} // a younger file may be there by now
	}
	if f.gated() {
		f.setSize(&o.info) // no turn will do it: what waits is to be seen as lag
	}
	if o.matched && o.fam != f.fam {
		return t.rehome(ctx, f, o)
	}
	return nil
}

// rehome follows f under the new name that the patterns want as well.
func (t *Tailer) rehome(ctx context.Context, f *file, o *seen) error {
	t.sight.open = true
	f.fam.live = without(f.fam.live, f)
	f.fam = o.fam
	f.fam.live = append(f.fam.live, f)
	slices.SortFunc(f.fam.live, byID)
	if f.pos.Path == o.path {
		return nil
	}
	f.pos.Path, f.pos.Real = o.path, ""
	if o.real != o.path {
		f.pos.Real = o.real
	}
	return t.news(ctx, f)
}

// revive follows a finished file that has grown again.
func (t *Tailer) revive(f *file) {
	f.pos.Done, f.pos.Lost, f.drained, f.atEnd = false, false, false, false
	f.fam.done = without(f.fam.done, f)
	f.in.done = without(f.in.done, f)
	f.fam.live = append(f.fam.live, f)
	slices.SortFunc(f.fam.live, byID)
	f.in.files.Add(1)
	f.active = t.now()
	f.size = f.pos.Offset
	if f.rotated {
		t.tended[f] = struct{}{}
	}
}

func byID(a, b *file) int { return compare(a.pos.File, b.pos.File) }

func without(all []*file, f *file) []*file {
	return slices.DeleteFunc(all, func(g *file) bool { return g == f })
}

// replace notes that the inode of f holds other bytes now. That is final: what
// was seen truncated is a new generation even if it grows to look the same.
func (t *Tailer) replace(f *file) {
	t.closeFile(f)
	t.unindex(f)
	f.replaced, f.name, f.seen, f.bytes = true, "", nil, differs
	t.asked = true
}

// searchDir looks for the inode of f under any name in the directory it was in.
func (t *Tailer) searchDir(ctx context.Context, in *input, f *file, l *listing) error {
	dir := filepath.Dir(f.fam.home)
	for _, name := range l.named(dir, f.pos.Ino) {
		p := filepath.Join(dir, name)
		i, err := statPath(p)
		if err != nil || unknownPacking(p) || t.private.holds(p, &i) {
			continue
		}
		if err := t.claimOne(ctx, in, &seen{info: i, path: p, real: p, packed: packingOf(p), fam: f.fam}); err != nil || f.seen != nil {
			return err
		}
	}
	return nil
}
