package rotation

import "slices"

// Light is how many equal bytes may be chance, in bytes: a header that every
// generation begins with, or a report that is the same each night. More than
// that are equal only where one file was copied from the other.
const Light = 1024

// Inode identifies a file until its number is used again. Where the file system
// keeps no time of birth, Birth is 0 and numbers are used again unnoticed.
type Inode struct {
	Dev, Number uint64
	Birth       int64 // Unix ns; 0: unknown
}

// Candidate is a file as a scan found it.
type Candidate struct {
	Inode
	Size, Mtime int64
	// Age orders the names of a family: 0 is at home, where the log is written;
	// of two rotated names the older has the greater age.
	Age    int
	Packed bool // compressed: sizes are those of the file, offsets those of its content
	// Foreign: neither root nor the owner of the log made it, so it is no copy.
	Foreign bool
	// After is when the last scan was that did not find this inode with these
	// bytes; 0: unknown, as after a restart.
	After int64
	// Rewritten: the inode held other bytes before, so its birth tells nothing
	// of the bytes that it has now.
	Rewritten bool
	Steady    bool // nothing of it has changed for as long as a rotation takes
}

// File is an incarnation of a file: an inode between two times that it was
// rewritten.
type File struct {
	Candidate
	Read  int64 // bytes that are accounted for: handed on, or proved to be copies
	Sizes []Size
	Seen  int64 // the last scan that found it
	Gone  int64 // the first scan that did not; 0: it is there
	Left  int64 // the first scan that did not find it at home; 0: it is there
	// Spent: another file has taken its place as the carrier of its bytes. It
	// explains no further one.
	Spent bool
	Copy  bool // its bytes are those of another file
	Fresh bool // it was found at home, and continued nothing
	// Sure is the first scan that saw more of it than can be chance; 0: none has.
	Sure  int64
	Until int64 // what replaced it at home, by its copy, was begun then
	Known int64 // the last scan that could read it
	Grown int64 // the last scan after which more of it was read
}

// Size is how much of a file a scan saw, and when it was written to by then.
type Size struct{ Bytes, Mtime int64 }

// maxSizes is how many sizes of a file are remembered: the first, and the last ones.
const maxSizes = 4

// Note remembers what a scan saw of f.
func (f *File) Note(bytes, mtime int64) {
	if n := len(f.Sizes); n > 0 && f.Sizes[n-1].Bytes == bytes {
		return
	}
	if len(f.Sizes) == maxSizes {
		f.Sizes = append(f.Sizes[:1:1], f.Sizes[2:]...)
	}
	f.Sizes = append(f.Sizes[:len(f.Sizes):len(f.Sizes)], Size{bytes, mtime})
}

// had returns how many bytes f is known to have had shortly before a time.
func (f *File) had(at int64) (bytes int64) {
	for _, s := range f.Sizes {
		if s.Mtime < at {
			bytes = s.Bytes
		}
	}
	return bytes
}

// since returns a time before which f did not have this many bytes.
func (f *File) since(bytes int64) (mtime int64) {
	if !f.Rewritten {
		mtime = f.Birth
	}
	for _, s := range f.Sizes {
		if s.Bytes <= bytes {
			mtime = s.Mtime
		}
	}
	return mtime
}

// Match compares bytes of a candidate with the bytes read of a file.
type Match int

// The results of a comparison.
const (
	Unknown Match = iota // not compared yet, or unreadable
	Differs
	Begins // the candidate ends within them
	Equal  // the candidate ends with them
	Has    // the candidate has all of them and goes on
)

// Content is the result of a comparison.
type Content struct {
	Match
	At   int64 // where in the candidate it begins
	Same int64 // bytes that are equal
}

// Fate is what becomes of a candidate.
type Fate int

// The fates.
const (
	New   Fate = iota // its bytes are unread from Verdict.From on
	Moved             // the same, and it carries on Verdict.Of, which is gone
	Stale             // a copy of what was read: nothing in it is unread
	Wait              // it can't be told yet: Verdict.Ask, or time, will tell
)

// Verdict is what becomes of a candidate, and why.
type Verdict struct {
	Fate
	From int64 // the first byte that is unread
	Of   *File // whose bytes those before are; nil: nobody's
	Ask  *File // Wait: comparing with this file would decide
	// Copied are parts behind From that were read elsewhere, in order.
	Copied []Range
}

// Range is the bytes [From, To) of a file.
type Range struct{ From, To int64 }

// Scan is what a scan saw of a family.
type Scan struct {
	Candidates []Candidate
	Files      []*File
	// Chance reports whether so few bytes of a file may be those of another by
	// chance; nil: up to [Light] may.
	Chance func(f *File, from, to int64) bool
	// Compare compares the bytes of c from offset at on with the first Read bytes
	// of f. With search, if they differ there, it looks for the first offset at
	// which more are those of f than can be chance.
	Compare func(c *Candidate, f *File, at int64, search bool) Content
}

func (s *Scan) chance(f *File, from, to int64) bool {
	if s.Chance != nil {
		return s.Chance(f, from, to)
	}
	return to-from <= Light
}

// Same reports whether c, which has the inode of f, still has its bytes: Has or
// Differs, or Unknown while that takes a comparison that can't be had.
func (s *Scan) Same(f *File, c *Candidate) Match {
	switch {
	case c.Packed != f.Packed || !c.Packed && (c.Size < f.Read || c.Size < f.Size):
		return Differs
	case c.Size == f.Size && c.Mtime == f.Mtime || f.Read == 0:
		return Has
	}
	m := s.Compare(c, f, 0, false)
	switch {
	case m.Match == Unknown:
		return Unknown
	case m.Match < Equal:
		return Differs
	// Appending changes the size. A new time alone means the same bytes again:
	// of few bytes, that another generation began like this one.
	case m.Match == Equal && c.Size == f.Size && s.chance(f, 0, m.Same):
		return Differs
	}
	return Has
}

// Judge decides what an unknown candidate is. The files with their own inode
// among the candidates must have been read to their ends before, and so must
// candidates of less age: a copy has an older name than its source. own is the
// file that c continues, if its inode is known.
func (s *Scan) Judge(c *Candidate, own *File) Verdict {
	var gone, ask *File
	var match Match
	v := Verdict{Fate: New}
	for _, f := range s.Files {
		if f.Read == 0 || f == own || f.Inode == c.Inode {
			continue
		}
		m := s.Compare(c, f, 0, false)
		chance := s.chance(f, 0, m.Same)
		possible := s.possible(f, c, m, chance)
		same := m.Same
		if possible {
			same = s.limit(f, c, m)
		}
		switch {
		case m.Match == Unknown:
			if possible {
				ask = f
			}
		case (!possible || same < m.Same) && !chance && m.Match >= Begins && s.siblings(c, f):
			if m.Match != Has {
				return Verdict{Fate: Stale, Of: f}
			}
			if m.Same > v.From {
				v = Verdict{Fate: New, From: m.Same, Of: f}
			}
		case !possible:
		case same < m.Same, !chance && (m.Match == Differs || f.Gone == 0 && m.Match == Has):
			if same > v.From && !s.chance(f, 0, same) {
				v = Verdict{Fate: New, From: same, Of: f}
			}
		case m.Match == Differs, f.Gone == 0 && m.Match == Has, f.Spent && chance && (m.Match == Has || c.Mtime > f.Until):
		case m.Match == Begins && chance && f.had(c.Mtime) > m.Same && !f.stood(c):
			if f.Gone == 0 && !c.Steady {
				return Verdict{Fate: Wait} // it may be growing
			}
		case f.Gone == 0:
			return Verdict{Fate: Stale, Of: f}
		case gone == nil || f.Read > gone.Read:
			gone, match = f, m.Match
		}
	}
	switch {
	case gone != nil && match <= Equal:
		return Verdict{Fate: Stale, Of: gone}
	case gone != nil:
		return Verdict{Fate: Moved, From: gone.Read, Of: gone}
	case ask != nil:
		return Verdict{Fate: Wait, Ask: ask}
	}
	return v
}

// limit returns how many of the bytes that c and f have in common can be copies:
// f must have had them when c was written.
func (s *Scan) limit(f *File, c *Candidate, m Content) int64 {
	// What replaces a log is begun before it is whole, and takes over at most the
	// lines that are written meanwhile.
	replaces := (c.Age == 0 || !s.present(f)) && !c.Rewritten && c.Birth != 0
	for _, size := range f.Sizes {
		if size.Bytes > m.Same {
			if c.Age == 0 && m.Match == Begins && m.Same > 0 && size.Mtime < c.Mtime && s.chance(f, m.Same-1, m.Same) {
				return m.Same - 1 // a copy would have had more: this line is no copy
			}
			break
		}
		if size.Bytes > 0 && (size.Mtime > c.Mtime || replaces && size.Mtime > c.Birth && s.chance(f, size.Bytes-1, m.Same)) {
			return size.Bytes - 1
		}
	}
	return m.Same
}

// present reports whether the inode of f has a name.
func (s *Scan) present(f *File) bool {
	return slices.ContainsFunc(s.Candidates, func(c Candidate) bool { return c.Inode == f.Inode })
}

// stood reports whether f was at home all the time in which c appeared: no other
// generation can have been there.
func (f *File) stood(c *Candidate) bool {
	switch {
	case c.Packed && f.Gone == 0 && f.Age == c.Age:
		return true // it is being compressed
	case f.Left != 0 && (f.Age == 0 || c.Age <= f.Age) && c.Mtime > f.Until:
		return false
	}
	return f.Sure != 0 && f.Sure <= c.After || made(c) > f.Mtime
}

// made returns a time before which c was not made.
func made(c *Candidate) int64 {
	if c.Rewritten {
		return c.After
	}
	return max(c.After, c.Birth)
}

// possible reports whether c can be a copy of f that has so much of it, as far as
// owners, names and times tell.
func (s *Scan) possible(f *File, c *Candidate, m Content, chance bool) bool {
	switch {
	case c.Foreign:
		return false
	case c.Age < f.Age && (c.Packed || f.Gone == 0), c.Age == f.Age && f.Gone == 0 && !c.Packed:
		return false // sources have younger names
	case c.Age == 0 && f.Gone == 0:
		return false
	case c.Mtime < f.since(0):
		return false
	}
	if chance && (c.Mtime < f.since(m.Same) || !c.Packed && !c.Rewritten && c.Birth < f.Birth || c.Age == 0 && s.succeeded(f, c)) {
		return false
	}
	end := f.Left // archives are compressed or removed, not copied
	switch {
	case c.Packed && (c.Mtime == f.Mtime || f.Gone == 0 && c.Age == f.Age):
		end = f.Gone
	case chance:
		end = s.left(f)
	}
	switch {
	case end == 0:
		return true
	case c.After >= end, !c.Rewritten && c.Birth > end:
		return false // made after f was gone
	}
	return c.Mtime <= end || !c.Rewritten && (!chance || m.Match == Has)
}

// succeeded reports whether an archive tells of another generation that was at home
// after f and before c.
func (s *Scan) succeeded(f *File, c *Candidate) bool {
	last := f.since(f.Read)
	for i := range s.Candidates {
		d := &s.Candidates[i]
		if d.Age == 0 || d.Inode == f.Inode || d.After < f.Seen || d.Mtime <= last {
			continue
		}
		if d.Size == 0 || s.Compare(d, f, 0, false).Match == Differs || !d.Packed && d.Birth > last && d.Birth < c.Birth {
			return true
		}
	}
	return false
}

// left returns a time by which f was not at home any more; 0: it is.
func (s *Scan) left(f *File) int64 {
	left := f.Left
	if left == 0 || f.Birth == 0 {
		return left
	}
	for _, g := range s.Files {
		if g.Fresh && g.Birth > f.Birth && g.Birth >= f.since(0) {
			left = min(left, g.Birth)
		}
	}
	// A copy made after the last bytes of f would have them.
	for i := range s.Candidates {
		c := &s.Candidates[i]
		if c.Age > 0 && c.Inode != f.Inode && c.Birth > f.since(f.Read) && c.Birth < left && (c.Size == 0 || s.Compare(c, f, 0, false).Match == Differs) {
			left = c.Birth
		}
	}
	return left
}

// End notes that the bytes of f are gone: c, which has its inode, has others.
func (f *File) End(c *Candidate, now int64) {
	f.Gone = max(f.Seen, min(now, c.Mtime))
	if f.Left == 0 || f.Left > f.Gone {
		f.Left = f.Gone
	}
}

// Parts returns which bytes of c, an archive, from offset from on are copies of
// what was read elsewhere: a log is appended to it as a whole. before is when c had
// no more bytes than those before from; 0: unknown.
func (s *Scan) Parts(c *Candidate, from, before int64, own *File) (parts []Range, ask *File) {
	for from < c.Size {
		var next Range
		for _, g := range s.Files {
			if g == own || g.Inode == c.Inode || g.Read == 0 || g.Packed || g.Left != 0 && before >= g.Left {
				continue
			}
			m := s.Compare(c, g, from, true)
			switch {
			case m.Match == Unknown:
				ask = g
				continue
			case !s.chance(g, 0, m.Same):
				if g.Birth <= c.Mtime || g.Grown <= before {
					m.Same = s.limit(g, c, m)
				}
			case own == nil, c.Age > 1, c.Mtime < g.since(m.Same), g.Left != 0 && c.Mtime > s.left(g):
				continue
			case own.Read >= g.Read && s.Compare(c, g, own.Read-g.Read, false).Same == g.Read:
				continue // it was appended before
			case m.Match == Equal, m.Match == Has && g.Gone != 0:
			default:
				continue
			}
			r := Range{m.At, m.At + m.Same}
			if m.Same == 0 {
				continue
			}
			if next.To == 0 || r.From < next.From || r.From == next.From && r.To > next.To {
				next = r
			}
		}
		if next.To == 0 {
			break
		}
		parts = append(parts, next)
		from = next.To
	}
	return parts, ask
}

// siblings reports whether equal bytes of c and f, first seen by the same scan, and
// more than can be chance, are copies of each other or of a log that is gone. Where
// no log has a home, they may be reports that are the same each time.
func (s *Scan) siblings(c *Candidate, f *File) bool {
	return f.Grown > c.After && f.Birth >= c.Birth && slices.ContainsFunc(s.Files, func(h *File) bool { return h.Age == 0 || h.Fresh })
}
