package tailer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"regexp"
	"time"

	"github.com/bmatcuk/doublestar/v4"
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
			t.say(slog.LevelInfo, in, "removed a rotated file: all of it is delivered", "path", f.seen.real, "bytes", f.seen.size)
			f.in.removed.Add(1)
			f.seen = nil
			t.sight.open = true
		}
	}
	return nil
}

// finishedFor reports whether a done file is rotated, complete and still, as the
// scan has seen it. What no pattern names is none of the agent's to delete: a
// sibling of a link's target. Nor is a file that still has the name it was first
// found under: applications write to dated and numbered files, too. Compressed
// files have no writer.
func (t *Tailer) finishedFor(f *file, long time.Duration) bool {
	o := f.seen
	return o != nil && o.owner == f && o.id == f.pos.inode() && f.pos.Boot == t.boot && !o.home && o.links == 1 && o.path == o.real &&
		(o.packed != plain || o.path != f.pos.Path) && (f.in.matches(o.path) || f.in.matches(homeOf(o.path))) &&
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

// removeFile deletes f unless its name leads to anything else by now, or somebody
// may still write to it. The name is taken away first: a rotation may give it to
// another file at any time, and what is looked at under the new name is what goes.
func (t *Tailer) removeFile(ctx context.Context, f *file) (removed bool, err error) {
	o := f.seen
	fd, err := t.openSeen(o)
	if err != nil || fd < 0 {
		return false, err
	}
	defer unix.Close(fd)
	if ok, err := t.unwritten(ctx, f, fd); err != nil || !ok {
		return false, err
	}
	d, err := openDir(filepath.Dir(o.real), f.in.base(o.real))
	if err != nil {
		return false, err
	}
	defer d.close()
	name := filepath.Base(o.real)
	if ok, err := d.has(name, o); err != nil || !ok {
		t.asked = true
		return false, err
	}
	aside := asideOf(name, f.pos.File)
	if err := d.rename(name, aside); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%s is in the way: %w", filepath.Join(filepath.Dir(o.real), aside), err)
		}
		return false, err
	}
	if err := t.o.Hook("remove.aside"); err != nil {
		return false, err
	}
	ok, err := d.has(aside, o)
	if ok {
		ok, err = t.unwritten(ctx, f, fd)
	}
	if !ok || err != nil {
		// It was written to, or its name was given to another file just now: that
		// gets it back, unless yet another has it. It is followed by its inode in
		// any case.
		t.asked = true
		return false, errors.Join(err, d.rename(aside, name))
	}
	return true, d.remove(aside)
}

// unwritten reports whether f, open as fd, is what the scan saw, has the bytes that
// were read, and nobody has it open for writing.
func (t *Tailer) unwritten(ctx context.Context, f *file, fd int) (bool, error) {
	o := f.seen
	i, err := statFD(fd)
	if err != nil || i.size != o.size || i.mtime != o.mtime || i.links != 1 || openForWriting(fd) {
		return false, err
	}
	if o.packed != plain {
		return true, nil
	}
	return t.holds(ctx, fd, &f.pos, o.born == 0) // without birth times, only all of it is proof
}

// base is the fixed part of the pattern that wants path, or the home it has.
func (in *input) base(path string) string {
	for _, p := range in.Include {
		for _, at := range [...]string{path, homeOf(path)} {
			if doublestar.MatchUnvalidated(p, at) {
				base, _ := doublestar.SplitPattern(filepath.Clean(p))
				return base
			}
		}
	}
	return ""
}

// asideOf is the name under which a file is deleted.
func asideOf(name string, file uint64) string { return fmt.Sprintf(".%s.spoolship-%d", name, file) }

var asideName = regexp.MustCompile(`^\.(.+)\.spoolship-\d+$`)

// giveBack undoes deletions in the midst of which the agent was killed: what it
// moved aside gets its name again, and is looked at like any other file. It
// returns whether any name has changed.
func (t *Tailer) giveBack(in *input, l *listing) (changed bool) {
	fsys := &listFS{t: t, in: in, l: l}
	for home := range in.families {
		_, _ = fsys.readDir(filepath.Dir(home)) // it keeps its errors
	}
	for at, entries := range l.dirs {
		for _, e := range entries {
			name := asideName.FindStringSubmatch(e.Name())
			if name == nil {
				continue
			}
			aside, path := filepath.Join(at, e.Name()), filepath.Join(at, name[1])
			d, err := openDir(at, in.base(path))
			if err == nil {
				err = d.rename(e.Name(), name[1])
				d.close()
			}
			if err != nil {
				t.say(slog.LevelWarn, in, "can't give a file back its name, after a deletion that was cut off", "path", aside, "name", path, "error", reason(err),
					"hint", "rename it by hand, as another file has its name, or let the agent's user write to the directory")
				continue
			}
			t.say(slog.LevelInfo, in, "gave a file back its name, after a deletion that was cut off", "path", path)
			changed = true
		}
	}
	return changed
}
