package tailer

import (
	"container/list"
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// file is one followed generation of a path.
type file struct {
	in   *input
	fam  *family
	pos  Position
	fd   int // -1: closed
	lru  *list.Element
	name string // a name that leads to it, "" if none is known

	seen   *seen // where the last scan found it
	bytes  match // what that scan found there
	copy   *seen // where its bytes are instead
	cut    *seen // its inode, which has had other bytes since the last boot
	left   int64 // its size when nobody had written to it since the boot; 0: never seen so
	from   int64 // where to go on there
	nuls   int64 // NULs in place of what was read
	pend   stay
	cached cached
	begun  []byte // how it begins, while nothing of it is handed on and there is no anchor
	size   int64  // at the last look
	mtime  int64
	ctime  int64     // at the last comparison of a finished file
	active time.Time // when it last grew

	heldFrom int64     // if held: the offset of the first line that is
	heldAt   time.Time // if held: since when
	waits    time.Time // since when it has not been known what happened to it

	checked  bool // the inode has been found to hold the bytes before the offset
	replaced bool // the inode holds other bytes now
	grown    bool // it has been seen growing
	rotated  bool // it is not at home: it will end
	atEnd    bool // all of size has been read, but for a partial line
	drained  bool // its end was reached since it was rotated, or can't be
	held     bool // whole lines at its end wait for the rest of their event
	apart    bool // what comes next is not to be joined with what was handed on
	waiting  bool // it is not known yet what happened to it
	doubt    bool // what can't be read now may be its rest
	failed   bool // the last attempt to read it failed
	queued   bool
	packed   unpacked
}

// index makes a file found by its inode.
func (t *Tailer) index(f *file) {
	if f.pos.Ino != 0 {
		f.in.byInode[t.key(&f.pos)] = f
	}
}

func (t *Tailer) unindex(f *file) {
	if k := t.key(&f.pos); f.in.byInode[k] == f {
		delete(f.in.byInode, k)
	}
}

// key is the inode of a position; device numbers of another boot mean nothing.
func (t *Tailer) key(p *Position) inode {
	if p.Boot != t.boot {
		return inode{0, p.Ino, p.Born}
	}
	return p.inode()
}

func (p *Position) inode() inode { return inode{p.Dev, p.Ino, p.Born} }

// fileAt finds the file that had an inode.
func (in *input) fileAt(id inode) *file {
	if f := in.byInode[id]; f != nil {
		return f
	}
	return in.byInode[inode{0, id.ino, id.born}]
}

// identify takes the inode of o for f's.
func (t *Tailer) identify(f *file, i *info) {
	t.unindex(f)
	f.pos.Boot, f.pos.Dev, f.pos.Ino, f.pos.Born, f.pos.Owner = t.boot, i.id.dev, i.id.ino, i.born, i.uid
	t.index(f)
}

// setSize notes a look at the file.
func (f *file) setSize(i *info) {
	f.atEnd = f.atEnd && !f.differsFrom(i)
	size := i.size
	if f.pos.Packed > 0 {
		size, f.pos.Packed = f.contentSize(i.size), i.size
	}
	if !f.pos.Done {
		f.in.lag.Add(max(0, size-f.pos.Offset) - max(0, f.size-f.pos.Offset))
	}
	f.size, f.mtime, f.pos.Size, f.pos.Mtime = size, i.mtime, size, i.mtime
	f.ctime, f.pos.Ctime = i.ctime, i.ctime
}

func (t *Tailer) enqueue(f *file) {
	if !f.queued && !f.pos.Done {
		f.queued = true
		t.queue = append(t.queue, f)
	}
}

// openFile makes sure that f has a descriptor. It returns false if there is
// none, because the file can't be read, or its name leads elsewhere by now.
func (t *Tailer) openFile(f *file) bool {
	if f.fd >= 0 {
		t.open.list.MoveToFront(f.lru)
		return true
	}
	if f.name == "" {
		return false
	}
	fd, err := t.openFD(f.name)
	if errors.Is(err, unix.ENOENT) {
		t.asked = true
		return false
	}
	if err != nil {
		t.problem(f.in, f.name, err)
		f.failed = true
		return false
	}
	i, err := f.in.statFD(fd, f.name)
	if err == nil && t.private.opened(fd) {
		unix.Close(fd)
		_, _ = t.unreadable(f, errPrivate)
		return false
	}
	if err != nil || i.id != f.pos.inode() {
		unix.Close(fd)
		t.asked = true
		return false
	}
	t.attach(f, fd)
	return true
}

// attach gives f an open descriptor.
func (t *Tailer) attach(f *file, fd int) {
	f.fd = fd
	f.lru = t.open.list.PushFront(f)
	f.in.open.Add(1)
	t.tended[f] = struct{}{}
	t.open.evict(t, t.o.MaxOpenFiles)
}

func (t *Tailer) closeFile(f *file) {
	t.closeStream(f)
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
		t.open.list.Remove(f.lru)
		f.in.open.Add(-1)
	}
	if !f.rotated && !f.held || f.pos.Done {
		delete(t.tended, f)
	}
}

// lru holds the open files, the last used in front.
type lru struct{ list list.List }

// evict closes the files that were not used for longest, first those of which
// nothing is unread, since others may be deleted. None is closed that could not
// be opened again, or whose reading would start over.
func (l *lru) evict(t *Tailer, limit int) {
	for _, unread := range [...]bool{false, true} {
		for e := l.list.Back(); e != l.list.Front() && l.list.Len() > limit; {
			f := e.Value.(*file)
			e = e.Prev()
			if f.atEnd == unread || f.name == "" || f.packed.stream != nil {
				continue
			}
			if i, err := f.in.stat(f.name); err == nil && i.id == f.pos.inode() {
				t.closeFile(f)
			}
		}
	}
}

func (t *Tailer) newID() uint64 {
	t.next++
	return t.next - 1
}

// hand gives a span to the handler, with the position p after it.
func (t *Tailer) hand(ctx context.Context, in *input, s *Span, p *Position) (err error) {
	s.Input, s.File, s.Path = in.index, p.File, p.Path
	if t.encoded, err = p.AppendBinary(t.encoded[:0]); err != nil {
		return err
	}
	s.Position = t.encoded
	return t.h.Span(ctx, s)
}

// news hands on a changed position without bytes.
func (t *Tailer) news(ctx context.Context, f *file) error {
	return t.hand(ctx, f.in, &Span{From: f.pos.Offset, To: f.pos.Offset, Part: f.pos.Part}, &f.pos)
}
