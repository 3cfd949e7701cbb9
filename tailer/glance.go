package tailer

import (
	"context"
	"time"
)

// verifyEvery is how many scan intervals a scan in full comes after the last,
// whatever glances say, where the kernel tells of changes. Without that, one
// comes every scan interval.
const verifyEvery = 60

// glanceAtMost is how many names a glance asks for where the kernel tells of
// changes: about 10 ms of work if none of them is in the processor's caches. The
// next glance goes on behind them.
const glanceAtMost = 1000

// sight is what the last scan saw: a scan that would see the same again would
// decide the same again, and need not be done.
type sight struct {
	dirs  map[string]stamp
	names []*seen
	at    int  // the next glance starts with this name
	open  bool // what the scan decided may be decided otherwise even so
}

// stamp changes whenever a name in a directory does. Zero: there is no such directory.
type stamp struct {
	id    inode
	mtime int64
}

// coarsest is the longest tick in which a file system (FAT) counts time.
const coarsest = 2 * time.Second

// stampOf returns the stamp of a directory. One that has just been changed may
// be changed again within the tick, without a new time, or may have been since
// it was read: then its stamp is not good. A time in the future is as good as an old
// one: the next change takes it back.
func stampOf(dir string) (s stamp, good bool) {
	i, err := statPath(dir)
	if err != nil {
		return stamp{}, true
	}
	return stamp{i.id, i.mtime}, time.Since(time.Unix(0, i.mtime)).Abs() > coarsest
}

// enter notes a directory whose names the scan goes by.
func (s *sight) enter(dir string) {
	if _, ok := s.dirs[dir]; !ok {
		at, good := stampOf(dir)
		s.dirs[dir] = at
		s.open = s.open || !good
	}
}

// remember ends the sight of a scan: the names that it looked at.
func (t *Tailer) remember() {
	s := &t.sight
	for _, in := range t.inputs {
		for _, fam := range in.families {
			s.names = append(s.names, fam.seen...)
			s.open = s.open || fam.undecided()
		}
	}
}

// undecided says whether more than what there is to see decides about a family:
// time, or what was read meanwhile.
func (fam *family) undecided() bool {
	for _, f := range fam.live {
		if f.seen == nil || f.waiting || f.bytes == unsure {
			return true
		}
	}
	return fam.pending
}

// rescan scans, unless only time has passed since the last scan.
func (t *Tailer) rescan(ctx context.Context) error {
	if begin := t.now(); t.glanceable() && t.glance(t.sight.part(t.watch.working())) {
		t.scanned = begin
		return nil
	}
	return t.scan(ctx)
}

// glanceable says whether nothing asks for a scan but the timer.
func (t *Tailer) glanceable() bool {
	every := t.o.ScanInterval
	if t.watch.working() {
		every *= verifyEvery
	}
	if t.asked || !t.wakeAt.IsZero() || t.sight.open || !t.now().Before(t.verified.Add(every)) {
		return false
	}
	for _, in := range t.inputs {
		if in.troubled() {
			return false // what could not be read is tried again
		}
	}
	return true
}

// glance says whether a scan would see what the last one saw, as far as these
// names tell. Followed files that have only grown are read.
func (t *Tailer) glance(names []*seen) bool {
	for dir, was := range t.sight.dirs {
		if is, _ := stampOf(dir); is != was {
			return false
		}
	}
	for _, o := range names {
		i, err := statPath(o.path)
		if err != nil || !o.is(&i) {
			return false
		}
		switch f := o.owner; {
		case f != nil && !f.pos.Done:
			if f.differsFrom(&i) {
				t.enqueue(f)
			}
		case i.size != o.size || i.mtime != o.mtime:
			return false
		}
	}
	return true
}

// part returns the names to ask for now: all, or those whose turn it is.
func (s *sight) part(some bool) []*seen {
	if !some || len(s.names) <= glanceAtMost {
		return s.names
	}
	from := s.at % len(s.names)
	to := min(from+glanceAtMost, len(s.names))
	s.at = to
	return s.names[from:to]
}

func (in *input) troubled() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.problems) > 0
}
