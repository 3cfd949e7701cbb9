package rotation

import "slices"

// settings of a world.
type settings struct {
	births bool // the file system keeps times of birth
	coarse bool // its clock moves with scans only
	heavy  int64
}

// read is a file of the ledger, and its bytes.
type read struct {
	File
	i       int8 // inode, to hold it open
	content string
}

// sighting is what is remembered of a file that nothing was read of.
type sighting struct {
	id      Inode
	size    int64
	mtime   int64
	after   int64
	content string
}

// agent reads the world by the verdicts of the core.
type agent struct {
	s         *settings
	files     []read
	sights    []sighting
	scanned   int64 // 0: never since the start
	shipped   [maxLines]uint8
	held      uint32 // inodes
	must      uint32 // lines that a scan could have read
	observed  []byte // all that scans could see, see observe
	restarted bool
	view      Scan
	scans     int
	last      [maxLines]uint8 // the last scan that could read a line
}

func (a *agent) clone() agent {
	b := *a
	b.files, b.sights, b.observed = slices.Clone(a.files), slices.Clone(a.sights), slices.Clone(a.observed)
	return b
}

// restart forgets what is not durable.
func (a *agent) restart(w *world) {
	w.held, a.held = 0, 0
	a.scanned = 0
	a.sights = nil
	a.restarted = true
}

// chance reports whether it may be chance that two files have these lines.
func (a *agent) chance(classes string) bool {
	n := int64(0)
	for i := range len(classes) {
		if classes[i] >= distinct {
			n += a.s.heavy
		} else {
			n++
		}
	}
	return n <= Light
}

// compareIn compares the files that a scan saw.
func (a *agent) compareIn(seen []seenFile, cands []Candidate) func(*Candidate, *File, int64, bool) Content {
	return func(c *Candidate, f *File, at int64, search bool) Content {
		n := slices.IndexFunc(cands, func(d Candidate) bool { return d.Inode == c.Inode })
		s := &seen[n]
		switch g := a.of(f); {
		case s.deny:
			return Content{}
		case search:
			for i := at; i < int64(len(s.content)); i++ {
				if c := compare(s.content, g.content, i); c.Match >= Begins && i == at || !a.chance(g.content[:c.Same]) {
					return c
				}
			}
			return Content{Match: Differs}
		default:
			return compare(s.content, g.content, at)
		}
	}
}

func compare(content, known string, at int64) (c Content) {
	content = content[min(at, int64(len(content))):]
	n := min(len(content), len(known))
	same := 0
	for same < n && content[same] == known[same] {
		same++
	}
	c = Content{Match: Differs, At: at, Same: int64(same)}
	switch {
	case same < n:
	case same == len(known) && same == len(content):
		c.Match = Equal
	case same == len(content):
		c.Match = Begins
	default:
		c.Match = Has
	}
	return c
}

func (a *agent) of(f *File) *read {
	for i := range a.files {
		if &a.files[i].File == f {
			return &a.files[i]
		}
	}
	return nil
}

func (a *agent) ledger(buf []*File) []*File {
	for i := range a.files {
		buf = append(buf, &a.files[i].File)
	}
	return buf
}

// ship reads s from offset from on, as f.
func (a *agent) ship(f *read, s *seenFile, from int64, now int64) {
	for _, line := range []byte(s.lines[from:]) {
		if line != 0 {
			a.shipped[line]++
		}
	}
	a.account(f, s, now)
}

func (a *agent) account(f *read, s *seenFile, now int64) {
	if f.Read < int64(len(s.content)) {
		f.Grown = now
	}
	f.content, f.Read = s.content, int64(len(s.content))
	f.Size, f.Mtime, f.Age, f.Packed = f.Read, int64(s.mtime), ageOf(s.name), packedName(s.name)
	f.Seen, f.Known = now, now
	f.Note(f.Read, f.Mtime)
	if f.Sure == 0 && !a.chance(f.content) {
		f.Sure = now
	}
	f.i = s.i
	a.held |= 1 << s.i
}

func (a *agent) scan(w *world, long bool) {
	w.clock++
	now := int64(w.clock)
	w.clock++
	var buf [names]seenFile
	seen := w.look(buf[:0], a.s.births)
	a.observe(w, seen, long)
	var cands [names]Candidate
	var owners [names]int
	for n := range seen {
		s := &seen[n]
		owners[n] = -1
		cands[n] = Candidate{Inode: Inode{Number: uint64(s.inode) + 1, Birth: int64(s.birth)}, Size: int64(len(s.content)),
			Mtime: int64(s.mtime), Age: ageOf(s.name), Packed: packedName(s.name), After: a.scanned}
		if !s.deny {
			for _, line := range []byte(s.lines) {
				a.must |= 1 << line
				a.last[line] = uint8(a.scans)
			}
		}
	}
	a.scans++
	var lb [32]*File
	a.view = Scan{Candidates: cands[:len(seen)], Files: lb[:0], Chance: func(f *File, from, to int64) bool { return a.chance(a.of(f).content[from:to]) },
		Compare: a.compareIn(seen, cands[:len(seen)])}
	for i := range a.files {
		f := &a.files[i]
		if f.Left == 0 && !slices.ContainsFunc(cands[:len(seen)], func(c Candidate) bool { return c.Age == 0 && c.Inode == f.Inode }) {
			f.Left = now
		}
		if f.Gone != 0 {
			a.drain(w, f, now)
			continue
		}
		n := slices.IndexFunc(cands[:len(seen)], func(c Candidate) bool { return c.Inode == f.Inode })
		if n < 0 {
			f.Gone = now
			a.drain(w, f, now)
			continue
		}
		switch a.view.Same(&f.File, &cands[n]) {
		case Has:
			owners[n], f.Age = i, cands[n].Age
		case Differs:
			f.End(&cands[n], now)
		case Unknown:
			owners[n] = -2
		}
	}
	for n := range seen {
		if owners[n] == -1 {
			a.recall(&cands[n], long)
		}
	}
	var sights []sighting
	for n := range seen {
		s, c := &seen[n], &cands[n]
		if owners[n] >= 0 {
			f := &a.files[owners[n]]
			switch {
			case s.deny || c.Size == f.Read:
				f.Size, f.Mtime, f.Age, f.Packed, f.Seen = c.Size, c.Mtime, c.Age, c.Packed, now
				f.Note(c.Size, c.Mtime)
				if !s.deny {
					f.Known = now
				}
			case f.Copy, f.Known < a.scanned:
				c.After = f.Known
				a.judge(f, s, c, now)
			default:
				a.parts(f, s, c, f.Read, f.Seen, true, now)
			}
			continue
		}
		if owners[n] == -2 {
			continue
		}
		sight := sighting{id: c.Inode, size: c.Size, mtime: c.Mtime, after: c.After, content: s.content}
		if s.deny || !a.judge(nil, s, c, now) {
			sights = append(sights, sight)
		}
	}
	a.sights = sights
	a.scanned = now
	w.held = a.held
}

// recall adds to a candidate what earlier scans saw of its inode.
func (a *agent) recall(c *Candidate, long bool) {
	for i := range a.files {
		if a.files[i].Inode == c.Inode {
			c.Rewritten = true
			c.After = max(c.After, a.files[i].Seen)
		}
	}
	for _, o := range a.sights {
		if o.id == c.Inode && o.size <= c.Size {
			c.After = o.after
			c.Steady = long && o.size == c.Size && o.mtime == c.Mtime
		}
	}
}

// judge has the core decide about s, which is f's if that is not nil.
func (a *agent) judge(f *read, s *seenFile, c *Candidate, now int64) bool {
	if len(s.content) == 0 && f == nil && c.Age > 0 {
		return false // a copy begins like this, too
	}
	var known int64
	var own *File
	if f != nil {
		known, own = f.Read, &f.File
	}
	a.view.Files = a.ledger(a.view.Files[:0])
	v := a.view.Judge(c, own)
	if v.Fate == Wait {
		return false
	}
	from := max(v.From, known)
	if v.Fate == Stale {
		from = c.Size
	}
	if v.Fate == Moved || v.Fate == Stale && v.Of.Gone != 0 {
		v.Of.Spent = true
		if c.Age == 0 && !c.Rewritten {
			v.Of.Until = c.Birth
		}
	}
	if f == nil {
		a.files = append(a.files, read{File: File{Candidate: *c}})
		f = &a.files[len(a.files)-1]
		if c.Age > 0 {
			f.Left = now
		}
		f.Fresh = c.Age == 0 && v.Fate == New && v.From == 0
	}
	f.Copy = v.Fate == Stale
	a.parts(f, s, c, from, c.After, false, now)
	return true
}

// parts reads s from offset from on, without what is known from elsewhere.
func (a *agent) parts(f *read, s *seenFile, c *Candidate, from, before int64, own bool, now int64) {
	if c.Age > 0 && !c.Packed && from < c.Size {
		a.view.Files = a.ledger(a.view.Files[:0])
		var self *File
		if own {
			self = &f.File
		}
		parts, _ := a.view.Parts(c, from, before, self)
		for _, p := range parts {
			a.ship(f, &seenFile{name: s.name, i: s.i, mtime: s.mtime, content: s.content[:p.From], lines: s.lines[:p.From]}, from, now)
			from = p.To
		}
	}
	a.ship(f, s, from, now)
}

// drain reads a file that no name leads to through its descriptor.
func (a *agent) drain(w *world, f *read, now int64) {
	if f.i < 0 || w.held&(1<<f.i) == 0 || f.Copy {
		return
	}
	for _, i := range w.names {
		if i == f.i {
			return
		}
	}
	data, mtime := w.inodes[f.i].data, int64(w.inodes[f.i].mtime)
	c := Candidate{Inode: f.Inode, Size: int64(len(data)), Mtime: mtime}
	if int64(len(data)) < f.Read || w.classes(data[:f.Read]) != f.content {
		f.End(&c, now)
		return
	}
	if f.Size == f.Read && c.Size == f.Read && mtime > f.Mtime && a.chance(f.content) {
		f.End(&c, now)
		c.Rewritten, c.After = true, f.Seen
		g := read{File: File{Candidate: c, Seen: f.Seen, Gone: now, Left: now}, i: f.i}
		f.i = -1
		a.files = append(a.files, g)
		f = &a.files[len(a.files)-1]
	}
	for _, line := range []byte(data[f.Read:]) {
		if line != 0 {
			a.shipped[line]++
			a.must |= 1 << line
		}
	}
	f.content, f.Grown = w.classes(data), now
	f.Read = int64(len(data))
	f.Note(int64(len(data)), int64(w.inodes[f.i].mtime))
	f.Size, f.Mtime = f.Read, int64(w.inodes[f.i].mtime)
}
