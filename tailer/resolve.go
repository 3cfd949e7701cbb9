package tailer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// resolve decides what became of each file of a family, then follows what is new.
func (t *Tailer) resolve(ctx context.Context, in *input, fam *family) error {
	t.o.Pulse(true)
	fam.pending = false
	// Those that were read furthest first: their bytes are the surest proof.
	live := slices.Clone(fam.live)
	slices.SortStableFunc(live, func(a, b *file) int { return compare(b.pos.Offset, a.pos.Offset) })
	for _, f := range live {
		c, err := t.facts(ctx, fam, f)
		if err != nil {
			return err
		}
		if err := t.apply(ctx, fam, f, classify(c), c); err != nil {
			return err
		}
	}
	if fam.pending {
		return nil
	}
	return t.newcomers(ctx, in, fam)
}

// facts gathers what classify needs, contents only where names leave a doubt.
func (t *Tailer) facts(ctx context.Context, fam *family, f *file) (c facts, err error) {
	c.bytes = f.bytes
	switch o := f.seen; {
	case o == nil && f.fd >= 0:
		if err := t.nameless(ctx, f, &c); err != nil {
			return c, err
		}
	case o == nil:
	case o.packed != plain:
		c.at = renamed // however it is named, there is an end to it
	case o.home, o.path == f.pos.Path && fam.atHome() == nil:
		c.at = atHome
	default:
		c.at = renamed
	}
	if c.bytes == unsure || c.at == renamed {
		return c, nil
	}
	if c.at == nowhere && !c.linked || f.seen != nil && f.seen.home {
		look, err := t.findCopy(ctx, fam, f)
		if err != nil {
			return c, err
		}
		f.copy, c.copied = look.copy, look.copy != nil
		// Of a file that looks intact, more than a header is proof enough.
		proved := c.at == atHome && f.pos.Offset > headSize
		c.doubt, c.later = look.doubt && !proved, look.later && !proved
	}
	if c.at == nowhere && !c.copied && !c.linked && !f.replaced && fam.lastAt(f.pos.Path) == f {
		var hidden bool
		if c.home, hidden, err = t.homeHolds(ctx, fam, f); err != nil {
			return c, err
		}
		c.doubt = hidden || c.doubt && (!c.home || f.pos.Offset <= headSize)
		// Were it followed as a new file, it could not be taken for f later.
		fam.pending = fam.pending || hidden || c.home && (c.doubt || c.later)
	}
	if c.at == nowhere && !c.open && !c.doubt && !c.later || c.copied {
		sum, err := t.candidates(ctx, fam, f)
		if err != nil {
			return c, err
		}
		c.settled = t.settled(&f.pend, sum)
	}
	return c, t.afterBoot(ctx, fam, f, &c)
}

// afterBoot finds out whether a file lost its end when the machine went down.
// While that is in doubt, its inode must not be followed as a new file.
func (t *Tailer) afterBoot(ctx context.Context, fam *family, f *file, c *facts) (err error) {
	if f.cut == nil || c.at != nowhere || c.copied || c.home {
		return nil
	}
	if c.settled && !c.doubt {
		f.from, f.nuls, err = t.kept(ctx, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			t.problem(f.in, f.cut.real, err)
		}
		c.kept, c.doubt = f.from > 0, err != nil || t.asked && f.from == 0
	}
	fam.pending = fam.pending || c.doubt
	return nil
}

// nameless looks through the descriptor at a file that no known name leads to:
// it may have been truncated before it was deleted.
func (t *Tailer) nameless(ctx context.Context, f *file, c *facts) error {
	i, err := statFD(f.fd)
	ok := err == nil && i.size >= f.fileSize() && (f.pos.Packed > 0 || i.size >= f.pos.Offset)
	if ok && f.pos.Packed == 0 && f.differsFrom(&i) {
		ok, err = t.holds(ctx, f.fd, &f.pos, false)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		t.problem(f.in, f.pos.Path, err)
		c.bytes = unsure
	case !ok:
		asked := t.asked
		t.replace(f)
		t.asked = asked // this is the scan
	default:
		// Without inodes, a name that still leads to it is a copy's.
		c.open, c.bytes, c.linked = true, same, i.links > 0 && !f.in.ByContent
		f.setSize(&i)
	}
	return nil
}

// apply does what the verdict says.
func (t *Tailer) apply(ctx context.Context, fam *family, f *file, v verdict, c facts) error {
	if v != waitFor {
		f.pend, f.waits = stay{}, time.Time{}
	}
	held := c.doubt && (c.at == atHome || c.home) || c.later && c.at == atHome
	f.doubt = c.doubt
	f.waiting = v == waitFor && c.bytes != unsure && (!c.doubt || held || c.later)
	switch v {
	case readOn:
		f.rotated = false
		if !f.seen.matched {
			t.rotate(f) // not wanted any more: to its end, then no further
		}
	case drain:
		if f.seen == nil {
			f.name = ""
		}
		t.rotate(f)
	case takeCopy:
		f.in.truncations.Add(1)
		t.say(slog.LevelInfo, f.in, "the file was truncated, its rest is in a rotated copy", "path", f.pos.Path, "copy", f.copy.real)
		return t.move(ctx, f, f.copy, true)
	case takeHome:
		return t.move(ctx, f, fam.atHome(), false)
	case waitFor:
		// An unreadable file does not hold up the others of its family.
		fam.pending = fam.pending || f.waiting && !held
		t.sight.open = true
		t.tellOfWaiting(f, held && c.doubt)
	case goOn:
		return t.goOn(ctx, fam, f)
	case giveUp:
		if f.replaced {
			f.in.truncations.Add(1)
		}
		return t.finish(ctx, f, nil, true)
	}
	return nil
}

// tellOfWaiting makes a wait a problem when it takes longer than rotations do:
// nothing younger is read meanwhile. held: f itself is not read.
func (t *Tailer) tellOfWaiting(f *file, held bool) {
	if f.waits.IsZero() {
		f.waits = t.now()
	}
	switch {
	case !f.waiting || t.now().Sub(f.waits) <= 4*t.o.RotateWait:
	case held:
		t.problem(f.in, f.pos.Path, errHeld)
	default:
		t.problem(f.in, f.pos.Path, errWaiting)
	}
}

func (fam *family) atHome() *seen {
	if len(fam.seen) > 0 && fam.seen[0].home {
		return fam.seen[0]
	}
	return nil
}

func appendInts(b []byte, all ...int64) []byte {
	for _, n := range all {
		for s := 0; s < 64; s += 8 {
			b = append(b, byte(n>>s))
		}
	}
	return b
}

// settled says whether sum has been the same for RotateWait; if not, a scan
// will look again when it can have been.
func (t *Tailer) settled(s *stay, sum uint64) bool {
	now := t.now()
	if s.since.IsZero() || s.sum != sum {
		*s = stay{sum: sum, since: now}
	}
	due := s.since.Add(t.o.RotateWait)
	if !now.Before(due) {
		return true
	}
	t.wakeAt = earliest(t.wakeAt, due)
	return false
}

// rotate ends f: it is read to its end, and followed while it still grows.
func (t *Tailer) rotate(f *file) {
	if f.rotated {
		return
	}
	f.rotated, f.drained, f.atEnd = true, false, false
	f.active = t.now()
	t.sight.open = true
	if f.pos.Packed == 0 {
		f.in.rotations.Add(1)
	}
	t.tended[f] = struct{}{}
	t.enqueue(f)
}

// move goes on reading f at o, which holds the bytes before its offset.
func (t *Tailer) move(ctx context.Context, f *file, o *seen, rotated bool) error {
	t.sight.open = true
	t.closeFile(f)
	if f.seen != nil && f.seen != o {
		f.seen.owner = nil // what is there now is another generation
	}
	t.identify(f, &o.info)
	f.replaced, f.checked, f.rotated, f.drained, f.atEnd = false, true, rotated, false, false
	f.name, f.seen, o.owner = o.real, o, f
	f.in.names[o.path], f.in.names[o.real] = f, f
	f.active = t.now()
	f.packed, f.begun = unpacked{}, nil
	if f.pos.Packed = 0; o.packed != plain {
		f.pos.Packed = o.size
	}
	f.setSize(&o.info)
	if rotated {
		t.tended[f] = struct{}{}
	}
	t.enqueue(f)
	return t.news(ctx, f)
}

// newcomers follows the unknown files of a family: generations that were never
// seen, oldest first, then the one at home.
func (t *Tailer) newcomers(ctx context.Context, in *input, fam *family) error {
	siblings := fam.seen
	home := fam.atHome()
	if home != nil {
		siblings = siblings[1:]
	}
	for _, o := range siblings {
		if t.tooOld(in, fam, o) || t.planted(in, fam, o) {
			continue
		}
		if o.owner == nil && !o.doubt && o.packed != plain {
			if goOn, err := t.packedNewcomer(ctx, in, fam, o); err != nil || !goOn {
				return err
			}
			continue
		}
		if o.owner != nil || o.doubt || !o.matched && !fam.missed(o) {
			continue
		}
		from, wait, err := t.lateCopy(ctx, in, fam, o)
		if err != nil {
			return err
		}
		if wait && t.asked {
			return nil // names are changing: what is younger would hide that o was missed
		}
		if wait {
			t.sight.open = true
			continue
		}
		if err := t.follow(ctx, in, fam, o, from); err != nil {
			return err
		}
	}
	if home != nil && home.owner == nil && home.matched && !t.tooOld(in, fam, home) {
		return t.follow(ctx, in, fam, home, 0)
	}
	return nil
}

// tooOld says whether o is ignored for its age, and counts it.
func (t *Tailer) tooOld(in *input, fam *family, o *seen) bool {
	if in.IgnoreOlder <= 0 || o.owner != nil || !o.matched || t.now().Sub(time.Unix(0, o.mtime)) <= in.IgnoreOlder {
		return false
	}
	if last := fam.last(); last != nil && younger(o, &last.pos) {
		return false
	}
	in.ignoring++
	return true
}

// last returns the generation that was followed last.
func (fam *family) last() *file { return fam.lastAt("") }

// lastPlain is last among those that were not found as compressed files.
func (fam *family) lastPlain() (last *file) {
	for _, all := range [...][]*file{fam.live, fam.done} {
		for _, f := range all {
			if packingOf(f.pos.Path) == plain && (last == nil || f.pos.File > last.pos.File) {
				last = f
			}
		}
	}
	return last
}

// lastAt is last among those that were found under path; "" is any.
func (fam *family) lastAt(path string) (last *file) {
	for _, all := range [...][]*file{fam.live, fam.done} {
		for _, f := range all {
			if (path == "" || f.pos.Path == path) && (last == nil || f.pos.File > last.pos.File) {
				last = f
			}
		}
	}
	return last
}

// missed says whether o is a generation that came after the last one followed
// and was rotated away before anyone looked, or could not be read then: it was
// made before what is at home began, as a copy of that is not.
func (fam *family) missed(o *seen) bool {
	last := fam.lastPlain()
	if last == nil || !last.trusts(o) || fam.beforeFirst(o) {
		return false
	}
	if o.packed != plain && last.seen != nil && last.seen.home {
		return o.mtime >= secondOf(last.pos.Since) && !fam.knownTime(o)
	}
	if !younger(o, &last.pos) {
		return false
	}
	if o.packed != plain {
		return true
	}
	return last.seen == nil || !last.seen.home || o.born != 0 && o.born < max(last.seen.born, last.pos.Began)
}

// beforeFirst reports whether o, which is compressed, has an older name than the
// generation that was followed first. The agent never had to do with it, however
// late it was compressed: the kubelet does so at the next rotation, under a new time.
// A number does not tell: that of a copy of what the same inode held before is older.
func (fam *family) beforeFirst(o *seen) bool {
	return o.packed != plain && rotationNumber(unpackedName(o.real)) < 0 && slices.ContainsFunc(slices.Concat(fam.live, fam.done), func(f *file) bool {
		first := f.pos.Began == f.pos.Since && f.pos.Born == f.pos.First
		return first && f.seen != nil && !f.seen.home && unpackedName(f.seen.real) != unpackedName(o.real) && compareAge(o.real, f.seen.real) < 0
	})
}

// younger says whether o can have been made after the family was first
// followed. What is older never was the agent's business; what is younger and
// unknown was rotated away since the last look.
func younger(o *seen, p *Position) bool {
	if o.packed != plain {
		return o.mtime >= secondOf(p.Began) // when it was compressed says nothing
	}
	return o.mtime >= p.Since && (o.born == 0 || p.First == 0 || o.born >= p.First)
}

// follow starts a new file at from, or, if the input has just been started with
// start_at = "end", at its end. One at home that can't be opened is followed as
// well: it can be recognised and read later, wherever it is by then.
func (t *Tailer) follow(ctx context.Context, in *input, fam *family, o *seen, from int64) error {
	if f := in.byInode[o.id]; f != nil {
		o.owner = f // a hard link: a file has one stream, however many names
		return nil
	}
	atEnd := !in.started && !fam.resumes(o)
	fd, err := t.openSeen(o)
	if err != nil {
		t.problem(in, o.real, err)
	}
	if err == nil && fd < 0 {
		t.tellOfInodes(in, o)
	}
	if err != nil && (!o.home || atEnd) || err == nil && fd < 0 {
		return nil
	}
	f := t.newFile(in, fam, o)
	if err != nil {
		return t.enlist(ctx, f, &o.info, -1)
	}
	t.solved(in, o.real)
	i, err := in.statFD(fd, o.real)
	if err == nil && atEnd {
		if from = i.size - i.size%int64(in.Unit); in.Stream == nil { // an item needs no newline
			from, err = t.lastLine(fd, i.size, max(quantum, in.MaxLineSize+1))
		}
	}
	if err == nil && from > 0 {
		err = t.startAt(ctx, fd, &f.pos, from)
	}
	if err != nil {
		unix.Close(fd)
		if ctx.Err() == nil {
			t.problem(in, o.real, err)
		}
		return ctx.Err()
	}
	f.checked, f.size = true, from
	return t.enlist(ctx, f, &i, fd)
}

// tellOfInodes warns of a file system on which no file can be recognised by its
// inode: two looks at one that does not change see two.
func (t *Tailer) tellOfInodes(in *input, o *seen) {
	i, err := statPath(o.real)
	j, again := statPath(o.real)
	if err == nil && again == nil && i.id != j.id && i.size == j.size && i.mtime == j.mtime {
		t.problem(in, o.real, errInodes)
	}
}

// resumes says whether o came after files that were followed before this
// start, which then was not the first one, even if that was cut short.
func (fam *family) resumes(o *seen) bool {
	last := fam.last()
	return fam.restored && last != nil && younger(o, &last.pos)
}

func (t *Tailer) newFile(in *input, fam *family, o *seen) *file {
	f := &file{in: in, fam: fam, fd: -1, name: o.real, seen: o, bytes: same, active: t.now()}
	f.pos = Position{File: t.newID(), Input: in.Name, Path: o.path, Began: o.mtime, First: o.born, Since: o.mtime}
	if last := fam.last(); last != nil {
		f.pos.First, f.pos.Since = last.pos.First, last.pos.Since
	}
	f.pos.Holed = o.home && len(fam.live)+len(fam.done) > 0
	if o.real != o.path {
		f.pos.Real = o.real
	}
	return f
}

// enlist makes f one of the followed files; fd is -1 if it can't be opened.
func (t *Tailer) enlist(ctx context.Context, f *file, i *info, fd int) error {
	t.identify(f, i)
	f.setSize(i)
	f.in.files.Add(1)
	f.fam.live = append(f.fam.live, f)
	f.seen.owner = f
	f.in.names[f.seen.path], f.in.names[f.seen.real] = f, f
	if fd >= 0 {
		t.attach(f, fd)
		t.enqueue(f)
	}
	// The next scan may decide about others with it.
	t.sight.open = t.sight.open || len(f.fam.seen)+len(f.fam.live)+len(f.fam.done) > 2
	return t.news(ctx, f)
}
