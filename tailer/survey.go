package tailer

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// survey finds out which followed files' bytes a compressed file holds. That
// takes a pass over its content, which is done in turns, like reading; the next
// scan goes by the result.
type survey struct {
	in   *input
	path string
	info     // of the compressed file: another size or time is another survey
	fd   int // -1: not open
	u    *unpacker
	pos  Position // after the content so far, from its start
	asks []*ask
	todo []checkpoint // of all asks, ascending
	end  error        // nil: under way
	used uint64       // Tailer.phase of the last scan that asked
}

// errEnough ends a survey whose questions are all answered.
var errEnough = errors.New("seen enough")

// ask is the question whether the content is that of one followed file.
type ask struct {
	file   uint64
	offset int64 // of the file when the survey began
	base   int64
	live   bool   // all of the content has to be seen
	sum    uint32 // CRC-32C from base on, if that is not the start
	differ bool
	last   int64     // furthest checkpoint that agreed
	at     *Position // of the content there, if the rest may be wanted
}

// checkpoint is what the content has to be up to an offset.
type checkpoint struct {
	Mark
	ask   *ask
	start bool // the ask's own sum starts here
	based bool // it is compared with that
}

func (a *ask) holds() bool { return !a.differ && a.last == a.offset }

// suspects lists the files that may have a compressed copy: something of them
// was read, and they are not themselves compressed files that are still there.
func (fam *family) suspects(o *seen) (all []*file) {
	for _, f := range slices.Concat(fam.live, fam.done) {
		if f.pos.Offset > f.pos.Base && younger(o, &f.pos) && f.trusts(o) && (f.seen == nil || f.pos.Packed == 0) {
			all = append(all, f)
		}
	}
	return all
}

// survey returns what is known of o: nil if that has to be found out first, or,
// with o.doubt, if it can't be.
func (t *Tailer) survey(in *input, fam *family, o *seen) *survey {
	suspects := fam.suspects(o)
	s := in.surveys[o.id]
	if s != nil && (s.size != o.size || s.mtime != o.mtime || !s.answers(suspects)) {
		s.close()
		s = nil
	}
	if s == nil {
		s = newSurvey(in, o, suspects)
		in.surveys[o.id] = s
		if len(suspects) == 0 { // whether it is compressed at all can be told at once
			t.openSurvey(s)
			s.close()
		} else {
			t.surveys = append(t.surveys, s)
		}
	}
	s.used = t.phase
	switch {
	case s.end == nil:
		t.sight.open = true
		return nil
	case errors.Is(s.end, errMisnamed):
		o.doubt = true
	case isErrno(s.end):
		o.doubt = true
		delete(in.surveys, o.id) // the next scan tries again
	}
	if !errors.Is(s.end, errEnough) && !errors.Is(s.end, io.EOF) {
		t.problem(in, o.real, s.end)
	}
	if o.doubt {
		return nil
	}
	return s
}

func isErrno(err error) bool {
	var no unix.Errno
	return errors.As(err, &no)
}

// answers says whether a survey has asked for all that suspects are by now.
func (s *survey) answers(suspects []*file) bool {
	for _, f := range suspects {
		a := s.of(f)
		if a == nil || a.offset != f.pos.Offset && (f.seen == nil || f.pos.Done) {
			return false
		}
	}
	return true
}

// of returns the question after f.
func (s *survey) of(f *file) *ask {
	for _, a := range s.asks {
		if a.file == f.pos.File {
			return a
		}
	}
	return nil
}

func newSurvey(in *input, o *seen, suspects []*file) *survey {
	s := &survey{in: in, path: o.real, info: o.info, fd: -1}
	for _, f := range suspects {
		p := &f.pos
		a := &ask{file: p.File, offset: p.Offset, base: p.Base, live: !p.Done}
		s.asks = append(s.asks, a)
		s.todo = append(s.todo, checkpoint{Mark: p.Head, ask: a})
		if a.base > 0 {
			s.todo = append(s.todo, checkpoint{Mark: Mark{Offset: a.base}, ask: a, start: true})
		}
		for _, m := range append(slices.Clone(p.Marks), Mark{p.Offset, p.CRC}) {
			s.todo = append(s.todo, checkpoint{Mark: m, ask: a, based: a.base > 0})
		}
	}
	slices.SortStableFunc(s.todo, func(a, b checkpoint) int { return compare(a.Offset, b.Offset) })
	return s
}

func (s *survey) close() {
	if s.u != nil {
		s.u.close()
	}
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
	s.u, s.fd = nil, -1
	if s.end == nil {
		s.end = errEnough // whoever has it in a list is done with it
	}
}

// wants ends the survey if nothing is open any more.
func (s *survey) wants() {
	if s.end != nil {
		return
	}
	for _, a := range s.asks {
		if !a.differ && (a.last < a.offset || a.live || s.pos.Offset == a.offset) {
			return
		}
	}
	s.end = errEnough
}

// open begins to decompress; only then does a survey need a descriptor.
func (t *Tailer) openSurvey(s *survey) {
	fd, err := t.openSeen(&seen{info: s.info, real: s.path})
	switch {
	case err != nil:
		s.end = err
	case fd < 0: // the scan that was asked for finds out
		s.end = errEnough
		delete(s.in.surveys, s.id)
	default:
		s.fd = fd
		s.u, s.end = newUnpacker(fd, packingOf(s.path))
		s.wants()
	}
}

// step goes on by at most len(b) bytes.
func (s *survey) step(b []byte) {
	if s.end == nil {
		var n int
		n, s.end = s.u.fill(b)
		s.see(b[:n])
		s.wants()
	}
	if s.end != nil {
		s.close()
	}
}

// see takes the next bytes of the content.
func (s *survey) see(data []byte) {
	for {
		for len(s.todo) > 0 && s.todo[0].Offset == s.pos.Offset {
			s.check(s.todo[0])
			s.todo = s.todo[1:]
		}
		if len(data) == 0 {
			return
		}
		n := len(data)
		if len(s.todo) > 0 {
			n = int(min(int64(n), s.todo[0].Offset-s.pos.Offset))
		}
		for _, a := range s.asks {
			if a.base > 0 && s.pos.Offset >= a.base && !a.differ {
				a.sum = crc32.Update(a.sum, castagnoli, data[:n])
			}
		}
		s.pos.advance(data[:n], s.in.Unit)
		data = data[n:]
	}
}

// check compares the content so far with what it should be.
func (s *survey) check(c checkpoint) {
	a, sum := c.ask, s.pos.CRC
	if c.based {
		sum = a.sum
	}
	switch {
	case a.differ, c.start:
	case sum != c.CRC:
		a.differ = true
	default:
		a.last = c.Offset
		a.at = s.pos.clone()
	}
}

func (p *Position) clone() *Position {
	c := *p
	c.Anchor, c.Marks = slices.Clone(p.Anchor), slices.Clone(p.Marks)
	return &c
}

// whole says whether all of the content was seen, to its proper end.
func (s *survey) whole() bool { return errors.Is(s.end, io.EOF) }

// broken says whether it ended before that.
func (s *survey) broken() bool { return !s.whole() && !errors.Is(s.end, errEnough) }

// maxSurveys is how many surveys are open at a time: each costs a descriptor, and
// the memory of a decompressor.
const maxSurveys = 2

// surveySome gives one of the surveys that are open a turn.
func (t *Tailer) surveySome() (progress bool) {
	for len(t.surveys) > 0 {
		at := int(t.surveyed % uint64(min(maxSurveys, len(t.surveys))))
		s := t.surveys[at]
		if s.end == nil {
			t.surveyed++
			if s.fd < 0 {
				t.openSurvey(s)
			}
			s.step(t.buf[:quantum])
			progress = true
		}
		if s.end == nil {
			return true
		}
		s.close()
		t.surveys = slices.Delete(t.surveys, at, at+1)
		// A scan that has many to decide about decides about many at once.
		if t.wakeAt = earliest(t.wakeAt, t.now().Add(surveyWait)); len(t.surveys) == 0 {
			t.asked = true
		}
		if progress {
			return true
		}
	}
	return progress
}

// surveyWait is how long a scan waits for more surveys to end.
const surveyWait = 200 * time.Millisecond

// patient reports whether others may wait for the end of s: what is small is
// decided about in order, but nobody waits for a file that never ends.
func (s *survey) patient() bool { return s.pos.Offset < maxPatience }

// maxPatience is how much of a compressed file others wait for, in bytes of content.
const maxPatience = 64 << 20

// endSurveys lets go of those that the scan that ends now had no use for.
func (t *Tailer) endSurveys(in *input) {
	for id, s := range in.surveys {
		if s.used != t.phase {
			s.close()
			delete(in.surveys, id)
		}
	}
}

// partOf says whether all of the content is a beginning of what is at o; later, if
// that can't be read now.
func (t *Tailer) partOf(ctx context.Context, s *survey, o *seen) (answer, error) {
	if o.size < s.pos.Offset {
		return no, nil
	}
	fd, err := t.openSeen(o)
	if err == nil && fd < 0 {
		return later, nil
	}
	var sum []uint32
	if err == nil {
		defer unix.Close(fd)
		sum, err = t.crcsAt(ctx, fd, 0, s.pos.Offset)
	}
	switch {
	case ctx.Err() != nil:
		return no, ctx.Err()
	case noEOF(err) != nil:
		t.problem(s.in, o.real, err)
		return later, nil
	case err == nil && sum[0] == s.pos.CRC:
		return yes, nil
	}
	return no, nil
}
