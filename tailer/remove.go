package tailer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// removeDelivered deletes the rotated files of an input that were read to their
// end, have not been written to for DeleteAfter, and of which the last byte was
// delivered. What is at home, lost its end, has another name as well, or is
// followed by another input stays.
func (t *Tailer) removeDelivered(ctx context.Context, in *input) error {
	if in.DeleteAfter <= 0 || t.o.Delivered == nil {
		return nil
	}
	var files []uint64
	removable := map[uint64]*file{}
	for _, f := range in.done {
		if t.finishedFor(f, in.DeleteAfter) && !t.sharedWith(f) {
			removable[f.pos.File] = f
			files = append(files, f.pos.File)
		}
	}
	if len(files) == 0 {
		return nil
	}
	for _, id := range t.o.Delivered(in.index, files) {
		f := removable[id]
		removed, err := t.removeFile(ctx, f)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			t.warnOnce(in, "remove", "can't remove a rotated file, will retry", "path", f.seen.real, "error", reason(err),
				"hint", "let the agent's user write to the directory, and the service too (ReadWritePaths= of its unit), or set delete_after_ship = \"0s\"")
		case removed:
			t.log.Info("removed a rotated file: all of it is delivered", "input", in.Name, "path", f.seen.real, "bytes", f.seen.size)
			f.in.removed.Add(1)
			f.seen = nil
			t.sight.open = true
		}
	}
	return nil
}

// finishedFor says whether a done file is rotated, complete and still, as the
// scan has seen it.
func (t *Tailer) finishedFor(f *file, long time.Duration) bool {
	o := f.seen
	return o != nil && o.owner == f && o.id == f.pos.inode() && f.pos.Boot == t.boot && !o.home && o.links == 1 && o.path == o.real &&
		!f.pos.Lost && !f.rereads(o) && t.now().Sub(time.Unix(0, o.mtime)) >= long
}

// rereads says whether there is more in o than was read of f.
func (f *file) rereads(o *seen) bool {
	if o.packed != plain {
		return o.size != f.pos.Packed || f.packed.problem != nil
	}
	return o.size != f.pos.Offset
}

// sharedWith says whether another input follows f's file, or is to.
func (t *Tailer) sharedWith(f *file) bool {
	for _, in := range t.inputs {
		if in != f.in && (in.matches(f.seen.path) || in.fileAt(f.seen.id) != nil) {
			return true
		}
	}
	return false
}

// removeFile deletes f unless its name leads to anything else by now. The name
// is taken away first: a rotation may give it to another file at any time.
func (t *Tailer) removeFile(ctx context.Context, f *file) (removed bool, err error) {
	o := f.seen
	fd, err := t.openSeen(o)
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	i, err := statFD(fd)
	if err != nil || i.size != o.size || i.mtime != o.mtime {
		return false, err
	}
	if o.packed == plain { // without birth times, only all of it is proof
		if ok, err := t.holds(ctx, fd, &f.pos, o.born == 0); err != nil || !ok {
			return false, err
		}
	}
	aside := asideOf(o.real, f.pos.File)
	if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s is in the way: %w", aside, err)
	}
	if err := os.Rename(o.real, aside); err != nil {
		return false, err
	}
	if err := t.o.Hook("remove.aside"); err != nil {
		return false, err
	}
	if i, err := statPath(aside); err != nil || !o.is(&i) {
		// It was given to another file just now: that gets it back, unless yet
		// another has it. It is followed by its inode in any case.
		t.asked = true
		return false, rename(aside, o.real)
	}
	return true, os.Remove(aside)
}

// asideOf is the path under which a file is deleted.
func asideOf(path string, file uint64) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.spoolship-%d", filepath.Base(path), file))
}

var asideName = regexp.MustCompile(`^\.(.+)\.spoolship-\d+$`)

// giveBack undoes deletions in the midst of which the agent was killed: what it
// moved aside gets its name again, and is looked at like any other file. It
// returns whether any name has changed.
func (t *Tailer) giveBack(in *input, l *listing) (changed bool) {
	fsys := &listFS{t: t, in: in, l: l}
	for home := range in.families {
		_, _ = fsys.readDir(filepath.Dir(home)) // it keeps its errors
	}
	for dir, entries := range l.dirs {
		for _, e := range entries {
			name := asideName.FindStringSubmatch(e.Name())
			if name == nil {
				continue
			}
			aside, path := filepath.Join(dir, e.Name()), filepath.Join(dir, name[1])
			if err := rename(aside, path); err != nil {
				t.log.Warn("can't give a file back its name, after a deletion that was cut off", "path", aside, "name", path, "error", reason(err),
					"hint", "rename it by hand, as another file has its name, or let the agent's user write to the directory")
				continue
			}
			t.log.Info("gave a file back its name, after a deletion that was cut off", "path", path)
			changed = true
		}
	}
	return changed
}

// rename renames a file unless another has the new name. Cut off, it can be done again.
func rename(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, fs.ErrExist) {
		a, errA := os.Lstat(from)
		b, errB := os.Lstat(to)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(from)
}
