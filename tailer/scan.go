package tailer

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// seen is one name that a scan found.
type seen struct {
	info
	path    string // as the patterns match it
	real    string // where symbolic links lead from there
	packed  packing
	matched bool // the patterns want it; else it is a sibling of what they want
	home    bool // it is the path its family is written under
	doubt   bool // it may be the copy of a followed file, but could not be read
	fam     *family
	owner   *file // followed file with this inode and content
}

// scan looks at everything once: what is there, which of it is known, and what
// became of the rest.
func (t *Tailer) scan(ctx context.Context) error {
	begin := t.now()
	t.phase++
	t.asked, t.wakeAt, t.sight = false, time.Time{}, sight{dirs: map[string]stamp{}}
	dirs := map[string]bool{}
	t.private.load()
	for _, in := range t.inputs {
		if err := t.scanInput(ctx, in, dirs); err != nil {
			return err
		}
	}
	fresh := t.watch.set(dirs)
	t.remember()
	if fresh && (t.sight.open || !t.glance(t.sight.names)) {
		t.asked = true // something has happened before they were watched, or may have
	}
	t.phase++
	t.scanned, t.verified = begin, begin
	// Scans in full get a tenth of the time at most.
	end := t.now()
	t.scanAt = end.Add(10 * end.Sub(begin))
	if t.asked { // names may have changed meanwhile
		t.scanAt = t.scanAt.Add(50 * time.Millisecond)
	}
	select {
	case <-t.ready:
	default:
		close(t.ready)
	}
	return nil
}

func (t *Tailer) scanInput(ctx context.Context, in *input, dirs map[string]bool) error {
	l := t.list(in)
	if t.verified.IsZero() && t.giveBack(in, l) {
		l = t.list(in)
	}
	if len(l.matched) == 0 {
		t.warnOnce(in, "nothing", "nothing matches yet; files that appear later are followed", "include", in.Include)
	}
	t.gather(in, l)
	for dir := range l.dirs {
		dirs[dir] = true
	}
	homes := slices.Sorted(maps.Keys(in.families))
	if err := t.claim(ctx, in, homes, l); err != nil {
		return err
	}
	for _, home := range homes {
		fam := in.families[home]
		if l.failed[filepath.Dir(home)] {
			continue // what can't be listed is not gone
		}
		if err := t.resolve(ctx, in, fam); err != nil {
			return err
		}
		if len(fam.live)+len(fam.done)+len(fam.seen) == 0 {
			delete(in.families, home)
		}
	}
	return t.finishScan(ctx, in)
}

// listing is what the patterns of an input lead to.
type listing struct {
	matched map[string]fs.FileMode // paths, and the type of the directory entry
	dirs    map[string][]fs.DirEntry
	failed  map[string]bool                // directories that could not be read
	inodes  map[string]map[uint64][]string // by directory, as far as asked for: names of regular files
}

// named returns the names in a directory that lead to regular files of this inode
// number. All are looked at once: any number of files may be asked for.
func (l *listing) named(dir string, ino uint64) []string {
	names, ok := l.inodes[dir]
	if !ok {
		names = map[uint64][]string{}
		for _, e := range l.dirs[dir] {
			if !e.Type().IsRegular() {
				continue
			}
			if i, err := e.Info(); err == nil {
				if s, ok := i.Sys().(*syscall.Stat_t); ok {
					names[s.Ino] = append(names[s.Ino], e.Name())
				}
			}
		}
		l.inodes[dir] = names
	}
	return names[ino]
}

// list walks the patterns. Each directory is read once, and all names in it are
// kept: the siblings are among them.
func (t *Tailer) list(in *input) *listing {
	l := &listing{matched: map[string]fs.FileMode{}, dirs: map[string][]fs.DirEntry{}, failed: map[string]bool{}, inodes: map[string]map[uint64][]string{}}
	for _, pattern := range in.Include {
		base, rest := doublestar.SplitPattern(filepath.Clean(pattern))
		_, _ = (&listFS{t: t, in: in, l: l}).readDir(base) // it keeps its errors
		t.walk(&walk{in, l, pattern}, base, rest, 0)
	}
	return l
}

// walk is a walk by one pattern.
type walk struct {
	in      *input
	l       *listing
	pattern string
}

// walk visits what rest, the end of the pattern, matches below base. Links to
// directories are followed as far as the pattern has a name or wildcards for each
// directory: so there are no loops. ** follows none. link is the type of a link if
// one was followed already.
func (t *Tailer) walk(w *walk, base, rest string, link fs.FileMode) {
	fsys := &listFS{t: t, in: w.in, l: w.l, base: base}
	first, more, deeper := strings.Cut(rest, "/")
	if !deeper || strings.Contains(first, "**") || strings.Count(first, "{") != strings.Count(first, "}") {
		visit := func(p string, d fs.DirEntry) error {
			p = path.Join(base, p)
			if !passing(w.pattern, p) && !matchAny(w.in.Exclude, p) {
				w.l.matched[p] |= d.Type() | link
			}
			return nil
		}
		// Its own errors are those of reading directories, which listFS keeps.
		_ = doublestar.GlobWalk(fsys, rest, visit, doublestar.WithNoFollow())
		return
	}
	if !strings.ContainsAny(first, `*?[{\`) { // it may be entered where it can't be listed
		t.sight.enter(base)
		if i, err := os.Lstat(path.Join(base, first)); err == nil {
			t.enter(w, path.Join(base, first), more, i.Mode().Type(), link)
		}
		return
	}
	entries, _ := fsys.readDir(base)
	for _, e := range entries {
		if matchOne(first, e.Name()) && (e.Name()[0] != '.' || hiddenPattern.MatchString(first)) {
			t.enter(w, path.Join(base, e.Name()), more, e.Type(), link)
		}
	}
}

// enter goes on with a walk in dir, if that is a directory or a link to one.
func (t *Tailer) enter(w *walk, dir, rest string, mode, link fs.FileMode) {
	switch {
	case mode.IsDir():
		t.walk(w, dir, rest, link)
	case mode&fs.ModeSymlink != 0 && w.in.Links != Never:
		if i, err := os.Stat(dir); err == nil && i.IsDir() {
			t.walk(w, dir, rest, link|fs.ModeSymlink)
		}
	}
}

// listFS reads directories for a walk and keeps what it read.
type listFS struct {
	t    *Tailer
	in   *input
	l    *listing
	base string
}

func (f *listFS) Open(name string) (fs.File, error) { return os.Open(path.Join(f.base, name)) }
func (f *listFS) Stat(name string) (fs.FileInfo, error) {
	p := path.Join(f.base, name)
	if p == f.base {
		return os.Stat(p) // where patterns start may be a link
	}
	i, err := os.Lstat(p)
	if err != nil || !i.IsDir() {
		f.t.sight.enter(path.Dir(p)) // it is not read otherwise
	}
	return i, err
}
func (f *listFS) ReadDir(name string) ([]fs.DirEntry, error) {
	return f.readDir(path.Join(f.base, name))
}

func (f *listFS) readDir(dir string) ([]fs.DirEntry, error) {
	if entries, ok := f.l.dirs[dir]; ok {
		return entries, nil
	}
	f.t.o.Pulse(true)
	f.t.sight.enter(dir)
	if !f.t.private.lists(dir) {
		f.t.ignorePrivate(f.in, dir)
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil:
		f.l.dirs[dir] = entries
		f.t.solved(f.in, dir)
	case !errors.Is(err, fs.ErrNotExist):
		f.l.failed[dir] = true
		f.t.problem(f.in, dir, err)
	}
	return entries, err
}

// gather looks at every name that matters: what the patterns want, the paths
// of followed files, and their siblings with rotated names.
func (t *Tailer) gather(in *input, l *listing) {
	for _, fam := range in.families {
		fam.seen = fam.seen[:0]
	}
	known := map[string]bool{}
	for p, mode := range l.matched {
		if o := t.look(in, p, mode); o != nil {
			known[o.real] = true
			o.fam = in.family(homeOf(o.real))
			o.fam.seen = append(o.fam.seen, o)
		} else if mode&fs.ModeSymlink != 0 {
			t.sight.open = true // where it leads, no directory tells
		}
	}
	fsys := &listFS{t: t, in: in, l: l}
	for _, fam := range in.families {
		_, _ = fsys.readDir(filepath.Dir(fam.home))
	}
	for dir, entries := range l.dirs {
		for _, e := range entries {
			p := filepath.Join(dir, e.Name())
			if known[p] {
				continue
			}
			fam := in.families[homeOf(p)]
			if fam == nil || len(fam.live)+len(fam.done) == 0 || unknownPacking(p) || e.Type()&fs.ModeSymlink != 0 {
				continue
			}
			if i, err := in.stat(p); err == nil && i.regular() && !t.private.holds(p, &i) {
				fam.seen = append(fam.seen, &seen{info: i, path: p, real: p, packed: packingOf(p), fam: fam})
			}
		}
	}
	for _, fam := range in.families {
		for _, o := range fam.seen {
			o.home = o.real == fam.home
		}
		slices.SortFunc(fam.seen, byAge)
	}
}

// byAge puts the file at home first, then its siblings, oldest first.
func byAge(a, b *seen) int {
	if a.home != b.home {
		if a.home {
			return -1
		}
		return 1
	}
	if c := compareAge(a.real, b.real); c != 0 {
		return c
	}
	if a.mtime != b.mtime && unpackedName(a.real) != unpackedName(b.real) {
		return compare(a.mtime, b.mtime)
	}
	if c := compare(a.real, b.real); c != 0 {
		return c
	}
	switch a.real { // links to it come after what is none
	case a.path:
		return -1
	case b.path:
		return 1
	}
	return compare(a.path, b.path)
}

// compareAge puts the older of two rotated names first; 0 if names don't tell.
func compareAge(a, b string) int {
	p, q := unpackedName(a), unpackedName(b)
	m, n := rotationNumber(p), rotationNumber(q)
	switch {
	case p == q:
		return compare(packingOf(a), packingOf(b))
	case m >= 0 && n >= 0 && m != n:
		return compare(n, m) // .2 is older than .1
	case m < 0 && n < 0 && len(p) == len(q):
		return compare(p, q) // dates
	}
	return 0
}

// look examines a path that the patterns want; nil means there is nothing to follow.
func (t *Tailer) look(in *input, p string, mode fs.FileMode) *seen {
	i, err := in.stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		t.problem(in, p, err)
		return nil
	case !i.regular():
		t.warnOnce(in, i.kind(), "ignored what is not a regular file: exclude it to be rid of this warning", "path", p, "kind", i.kind())
		return nil
	}
	o := &seen{info: i, path: p, real: p, matched: true}
	if mode&fs.ModeSymlink != 0 {
		if o.real, err = in.follow(p, &i); err != nil {
			t.warnOnce(in, "link", "ignored a symbolic link: exclude it, or set follow_symlinks, to be rid of this warning", "path", p, "reason", err)
			return nil
		}
		in.identify(&o.info, o.real)
	}
	if t.private.holds(o.real, &i) {
		t.ignorePrivate(in, p)
		return nil
	}
	if o.real != p && matchAny(in.Exclude, o.real) {
		return nil
	}
	if unknownPacking(o.real) {
		t.warnOnce(in, "compressed", "ignored a file whose compression is not known, only .gz, .zst and .bz2 are: exclude it to be rid of this warning", "path", p)
		return nil
	}
	o.packed = packingOf(o.real)
	return o
}

// finishScan ends the first scan durably and lets go of what is not needed.
func (t *Tailer) finishScan(ctx context.Context, in *input) error {
	in.ignored.Store(in.ignoring)
	in.ignoring = 0
	in.stays, in.staying = in.staying, map[inode]stay{}
	t.endSurveys(in)
	t.solveOld(in)
	t.sayRests(in)
	if !in.started {
		in.started = true
		p := Position{File: t.newID(), Input: in.Name}
		if err := t.hand(ctx, in, &Span{}, &p); err != nil {
			return err
		}
	}
	if err := t.removeDelivered(ctx, in); err != nil {
		return err
	}
	return t.forget(ctx, in)
}

// forget lets the oldest finished files go when there are too many; those that
// still exist are kept, for they would be new files else.
func (t *Tailer) forget(ctx context.Context, in *input) error {
	for i := 0; len(in.done) > t.maxDone && i < len(in.done); {
		f := in.done[i]
		if f.seen != nil {
			i++
			continue
		}
		if err := t.h.Forget(ctx, f.pos.File); err != nil {
			return err
		}
		in.done = slices.Delete(in.done, i, i+1)
		f.fam.done = slices.DeleteFunc(f.fam.done, func(d *file) bool { return d == f })
		t.unindex(f)
	}
	return nil
}
