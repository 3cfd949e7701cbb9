package tailer

import "golang.org/x/sys/unix"

// OpenFiles are followed files with their descriptors, by file id. They go from
// a tailer to the next in the same process: a file that was deleted, or moved to
// where no pattern leads, can't be opened again.
type OpenFiles map[uint64]openFile

type openFile struct {
	fd      int  // -1: none, only what else is known of it
	rotated bool // it is counted already
}

// Close closes them.
func (o OpenFiles) Close() {
	for file, h := range o {
		if h.fd >= 0 {
			unix.Close(h.fd)
		}
		delete(o, file)
	}
}

// Release hands over the open files of a tailer with KeepOpen whose Run has
// returned. The tailer must not be used after it, but for its figures.
func (t *Tailer) Release() OpenFiles {
	open := OpenFiles{}
	for _, in := range t.inputs {
		for _, fam := range in.families {
			for _, f := range fam.live {
				if f.rotated {
					open[f.pos.File] = openFile{-1, true}
				}
			}
		}
	}
	for t.open.list.Len() > 0 {
		f := t.open.list.Front().Value.(*file)
		open[f.pos.File] = openFile{f.fd, f.rotated}
		t.closeStream(f)
		t.open.list.Remove(f.lru)
		f.fd = -1
		f.in.open.Add(-1)
	}
	return open
}

// adopt takes what an earlier tailer knew of f: its descriptor, if that leads
// to the inode that f's position names.
func (t *Tailer) adopt(f *file) {
	h, ok := t.o.Open[f.pos.File]
	if !ok {
		return
	}
	if h.rotated {
		t.rotate(f)
		if f.pos.Packed == 0 {
			f.in.rotations.Add(-1)
		}
	}
	if h.fd < 0 {
		return
	}
	if i, err := f.in.statFD(h.fd, f.name); err == nil && f.pos.Boot == t.boot && i.id == f.pos.inode() {
		delete(t.o.Open, f.pos.File)
		t.attach(f, h.fd)
	}
}
