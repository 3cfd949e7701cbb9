package tailer

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"slices"
	"time"
)

// frame returns how much of data, which starts at a line or part, is to be
// handed on: whole lines, or, if no line ends in it, parts of exactly limit
// bytes of a longer one. One byte is kept back: were a newline to follow, the
// last part would end the line.
func frame(data []byte, limit int) (n, parts int) {
	if i := bytes.LastIndexByte(data, '\n'); i >= 0 {
		return i + 1, 0
	}
	parts = max(0, len(data)-1) / limit
	return parts * limit, parts
}

// frame is what to hand on of data, the bytes at f's offset: whole events, as
// many as fit a span. broken says that n ends within one, which is too long.
func (f *file) frame(data []byte) (n, parts int, broken bool) {
	for fit := f.fit(data); fit < len(data); fit *= 2 {
		// The file may have been as short when it was looked at.
		if n, parts, broken = f.whole(data[:fit]); n > 0 {
			return n, parts, broken
		}
	}
	return f.whole(data)
}

// fit returns how many bytes of data are enough for one span.
func (f *file) fit(data []byte) int {
	if f.in.Fit == nil {
		return len(data)
	}
	return f.in.Fit(f.pos.Path, data)
}

// more reports whether what is left of data, of which n bytes are handed on,
// needs a turn of its own: there are more lines than fit, or parts.
func (f *file) more(data []byte, n int) bool {
	return len(data)-n > f.in.MaxLineSize || n > 0 && f.fit(data) < len(data)
}

// whole is frame for a span of any size.
func (f *file) whole(data []byte) (n, parts int, broken bool) {
	mark := f.mark(data)
	if n, parts, broken = f.wholeEvents(data[mark:]); n > 0 {
		n += mark
	}
	return n, parts, broken
}

// mark returns the length of the mark that data, the bytes at f's offset, begins
// with.
func (f *file) mark(data []byte) int {
	if f.pos.Offset == 0 && bytes.HasPrefix(data, f.in.Mark) {
		return len(f.in.Mark)
	}
	return 0
}

func (f *file) wholeEvents(data []byte) (n, parts int, broken bool) {
	if f.in.Stream != nil {
		if n = f.in.Stream(data, f.pos.Part > 0); n == 0 {
			parts = max(0, len(data)-1) / f.in.MaxLineSize
			n = parts * f.in.MaxLineSize
		}
		return n, parts, false
	}
	n, parts = frame(data, f.in.MaxLineSize)
	switch {
	case f.in.Events == nil || n == 0 || parts > 0:
		return n, parts, false
	case f.pos.Part > 0: // the rest of a cut line is not the start of an event
		return bytes.IndexByte(data, '\n') + 1, 0, false
	}
	if whole := f.in.Events(data[:n]); whole > 0 || len(data) <= f.in.MaxLineSize {
		return whole, 0, false
	}
	n = bytes.LastIndexByte(data[:f.in.MaxLineSize], '\n') + 1
	if n == 0 {
		n = bytes.IndexByte(data, '\n') + 1
	}
	return n, 0, true
}

// roundTime is how long a round that reads something takes at most, but for its last
// turn: then those of whom news has come meanwhile are asked as well.
const roundTime = 100 * time.Millisecond

// round gives files that may have grown a turn each, one of every writer before the
// second of any. It returns whether any had something to read.
func (t *Tailer) round(ctx context.Context) (progress bool, err error) {
	turns := byWriters(t.queue)
	t.queue = nil
	t.blocked = false
	t.noteBehind(turns)
	defer t.noteAtEnd()
	begin := t.now()
	for i, f := range turns {
		if progress && t.now().Sub(begin) >= roundTime {
			t.queue = slices.Concat(turns[i:], t.queue)
			break
		}
		f.queued = false
		if f.pos.Done || f.replaced {
			continue
		}
		if t.unread(f.in) {
			t.watchOnly(f)
			if !f.in.Paused {
				t.blocked = true
				t.enqueue(f)
			}
			continue
		}
		if f.gated() {
			t.closeStream(f) // others need it
			t.enqueue(f)
			continue
		}
		more, err := t.turn(ctx, f)
		if err != nil {
			t.queue = append(t.queue, turns[i+1:]...)
			return progress, err
		}
		progress = progress || more
	}
	return t.surveySome() || progress, nil
}

// unread reports whether nothing is read of an input just now.
func (t *Tailer) unread(in *input) bool {
	return in.Paused || t.o.Blocked != nil && t.o.Blocked(in.index)
}

// byWriters orders files for a round: those of each input and owner in their order,
// with one of every other between two. Whoever makes thousands of files delays
// his own.
func byWriters(files []*file) []*file {
	type writer struct {
		in    *input
		owner uint32
	}
	queues, at := [][]*file(nil), map[writer]int{}
	for _, f := range files {
		w := writer{f.in, f.pos.Owner}
		i, known := at[w]
		if !known {
			i = len(queues)
			at[w], queues = i, append(queues, nil)
		}
		queues[i] = append(queues[i], f)
	}
	if len(queues) < 2 {
		return files
	}
	fair := make([]*file, 0, len(files))
	for len(queues) > 0 {
		for i, q := range queues {
			fair, queues[i] = append(fair, q[0]), q[1:]
		}
		queues = slices.DeleteFunc(queues, func(q []*file) bool { return len(q) == 0 })
	}
	return fair
}

// watchOnly holds a file of an input that is not read open and notes how much there is to read.
func (t *Tailer) watchOnly(f *file) {
	if t.openFile(f) {
		if i, err := statFD(f.fd); err == nil && i.size >= f.size { // a scan sees to the rest
			f.setSize(&i)
		}
	}
}

// gated says whether f has to wait for an older generation: until it is known
// where that one's bytes are, and they have been read once to their end.
func (f *file) gated() bool {
	for _, g := range f.fam.live {
		if g.waiting {
			return true
		}
		if g == f {
			return false
		}
		if g.rotated && !g.drained && (g.pos.Packed == 0 || g.pos.Offset < maxPatience) {
			return true
		}
	}
	return false
}

// turn reads at most a quantum of f. It returns true if that changed anything.
func (t *Tailer) turn(ctx context.Context, f *file) (bool, error) {
	t.o.Pulse(true)
	drained := f.drained
	if !t.openFile(f) {
		f.drained = true // others need not wait for what can't be read
		return !drained && f.rotated, nil
	}
	i, err := statFD(f.fd)
	if err != nil {
		return t.unreadable(f, err)
	}
	if f.pos.Packed > 0 {
		more, err := t.turnPacked(ctx, f, &i)
		return more || f.drained != drained && f.rotated, err
	}
	if ok, err := t.intact(f, &i); err != nil || !ok {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			return t.unreadable(f, err)
		}
		t.replace(f)
		return true, nil
	}
	if f.atEnd && i.size == f.size && i.mtime == f.mtime {
		return false, nil
	}
	f.atEnd = false
	if i.size != f.size {
		f.active, f.grown = t.now(), true
	}
	f.setSize(&i)
	if f.pos.Offset == 0 && (f.pos.Holed || holeInFront(f.fd, f.size)) {
		if skipped, err := t.skipNULs(ctx, f); err != nil || !skipped {
			f.drained = true
			return !drained && f.rotated, err
		}
	}
	if taken, err := t.takeOver(ctx, f); !taken || err != nil {
		return true, err
	}
	t.spare(f)
	data, end, err := t.block(f)
	if err != nil {
		return t.unreadable(f, err)
	}
	t.readable(f)
	if data == nil {
		t.replace(f)
		return true, nil
	}
	if data, end, err = t.written(ctx, f, data, end); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return t.unreadable(f, err)
	}
	unread := len(f.pos.Anchor) == 0
	if unread && !bytes.HasPrefix(data, f.begun) {
		t.replace(f)
		return true, nil
	}
	n, parts, broken := f.frame(data)
	f.begun = f.begun[:0]
	if unread && n == 0 {
		f.begun = append(f.begun, data[:min(len(data), anchorSize)]...)
	}
	f.atEnd = end && !f.more(data, n)
	if f.drained = f.atEnd; !f.atEnd {
		t.enqueue(f)
	}
	if f.in.Unwrap != nil && n > 0 {
		return t.unwrap(ctx, f, data[:n], parts, false)
	}
	if f.in.Unwrap != nil {
		return !drained && f.rotated, nil
	}
	t.hold(f, f.pos.Offset+int64(n), (f.in.Events != nil || f.in.Objects) && bytes.IndexByte(data[n:], '\n') >= 0)
	if n == 0 {
		return !drained && f.rotated, nil
	}
	err = t.emit(ctx, f, data[:n], parts, false)
	f.apart = broken
	return true, err
}

// hold notes whether whole lines from an offset on wait for the rest of their
// event. The time they do counts from the first of them: whoever goes on writing
// must not hold them for ever.
func (t *Tailer) hold(f *file, from int64, held bool) {
	if held && (!f.held || f.heldFrom != from) {
		f.heldFrom, f.heldAt = from, t.now()
	}
	f.held = held
}

// release hands on whole lines at the end of f that have waited long enough
// for the rest of their event.
func (t *Tailer) release(ctx context.Context, f *file) error {
	if t.unread(f.in) || f.gated() || !t.openFile(f) {
		return nil
	}
	data, _, err := t.block(f)
	if err != nil {
		_, err = t.unreadable(f, err)
		return err
	}
	whole, parts, _ := f.frame(data)
	if data != nil && f.in.Unwrap != nil {
		_, err := t.unwrap(ctx, f, data[:whole], parts, false)
		return err
	}
	if data == nil || whole > 0 {
		t.enqueue(f) // something has happened since
		return nil
	}
	f.held = false
	lines := bytes.LastIndexByte(data, '\n') + 1
	rest, err := t.emitLines(ctx, f, data[:lines])
	if err != nil || len(rest) == 0 {
		return err
	}
	err = t.emit(ctx, f, rest, 0, false)
	f.apart = true
	return err
}

// emitLines hands on lines that wait for the rest of their event, as long as
// there are more than fit a span, and returns those that are left.
func (t *Tailer) emitLines(ctx context.Context, f *file, data []byte) (rest []byte, err error) {
	for f.in.Events != nil {
		n := f.fit(data)
		if n == len(data) {
			break
		}
		end := bytes.IndexByte(data[n-1:], '\n')
		if n += end; end < 0 || n == len(data) {
			break
		}
		if err := t.emit(ctx, f, data[:n], 0, false); err != nil {
			return nil, err
		}
		f.apart, data = true, data[n:]
	}
	return data, nil
}

// readable takes back that f could not be read.
func (t *Tailer) readable(f *file) {
	if f.failed {
		f.failed = false
		t.solved(f.in, f.name)
	}
}

// unreadable notes a failed read; the next scan tries again.
func (t *Tailer) unreadable(f *file, err error) (bool, error) {
	t.problem(f.in, f.name, err)
	t.closeFile(f)
	f.failed, f.checked, f.drained = true, false, true
	return false, nil
}

// intact says whether a file whose size or time has changed still has the
// fingerprint of what was read. The anchor is compared with the data.
func (t *Tailer) intact(f *file, i *info) (bool, error) {
	if i.size < f.pos.Offset || i.size < f.size {
		return false, nil
	}
	if f.checked && i.size == f.size && i.mtime == f.mtime {
		return true, nil
	}
	h := f.pos.Head
	n, err := pread(f.fd, t.scratch[:h.Offset], 0)
	f.checked = err == nil
	return int64(n) == h.Offset && crc32.Checksum(t.scratch[:n], castagnoli) == h.CRC, err
}

// block reads the anchor and what follows in one go, so that nothing can happen
// between the comparison and the data. nil data means that the anchor differs;
// end that the file has no more.
func (t *Tailer) block(f *file) (data []byte, end bool, err error) {
	data, end, err = t.blockOf(f, quantum)
	// A line, or event, must fit with one byte more: only that shows that it is longer.
	if long := f.in.MaxLineSize + 1; err == nil && data != nil && !end && long > quantum {
		if n, _, _ := f.frame(data); n == 0 {
			return t.blockOf(f, long)
		}
	}
	return data, end, err
}

func (t *Tailer) blockOf(f *file, size int) (data []byte, end bool, err error) {
	a := len(f.pos.Anchor)
	b := t.room(a + size)
	n, err := pread(f.fd, b, f.pos.Offset-int64(a))
	if err != nil {
		return nil, false, err
	}
	if n < a || !bytes.Equal(b[:a], f.pos.Anchor) {
		return nil, false, nil
	}
	return b[a:n], n < len(b), nil
}

// room returns the buffer for n bytes. It grows only for lines that need it.
func (t *Tailer) room(n int) []byte {
	if n > len(t.buf) {
		t.buf = make([]byte, n)
	}
	return t.buf[:n]
}

// emit hands on data, the bytes at f's offset. last: the file ends with them.
func (t *Tailer) emit(ctx context.Context, f *file, data []byte, parts int, last bool) error {
	if f.in.Unwrap != nil {
		_, err := t.unwrap(ctx, f, data, parts, last)
		return err
	}
	p := &f.pos
	lag := max(0, f.size-p.Offset)
	if n := f.mark(data); n > 0 {
		p.advance(data[:n], 1)
		data = data[n:]
	}
	s := Span{From: p.Offset, Data: data, Part: p.Part, Cut: parts > 0, Apart: f.apart}
	f.apart = false
	p.advance(data, f.in.Unit)
	s.To = p.Offset
	p.Part = 0
	if parts > 0 {
		p.Part = s.Part + parts
	}
	n := int64(len(data))
	f.in.read.Add(n)
	if n > 0 {
		f.active = t.now()
	}
	p.Done = last
	err := t.hand(ctx, f.in, &s, p)
	// Only now: bytes are lag until the handler counts them.
	f.in.lag.Add(max(0, f.size-s.To) - lag)
	f.size = max(f.size, s.To)
	return err
}

// written takes NULs off the end of a line without newline, or of a stream, if nothing else
// follows in the file: they are space that a writer has allocated ahead.
func (t *Tailer) written(ctx context.Context, f *file, data []byte, end bool) ([]byte, bool, error) {
	if len(data) == 0 || data[len(data)-1] != 0 || f.in.Stream == nil && bytes.IndexByte(data, '\n') >= 0 {
		return data, end, nil
	}
	if f.in.Stream != nil && f.in.Stream(data, f.pos.Part > 0) > 0 { // these come first
		return data, end, nil
	}
	if !end {
		if _, found, err := t.afterNULs(ctx, f.fd, f.pos.Offset+int64(len(data)), math.MaxInt64); err != nil || found {
			return data, false, err
		}
	}
	n := len(bytes.TrimRight(data, "\x00"))
	data = data[:min(len(data), n+n%f.in.Unit)] // a character may end with one
	f.endsAt(f.pos.Offset + int64(len(data)))
	return data, true, nil
}

// endsAt notes that only space follows in the file, which is no lag.
func (f *file) endsAt(size int64) {
	f.in.lag.Add(size - f.size)
	f.size, f.pos.Size = size, size
}

// skipNULs moves over the NULs that a truncation under a writer without
// O_APPEND left at the start of the file, or the hole there. As long as nothing
// else follows, it returns false.
func (t *Tailer) skipNULs(ctx context.Context, f *file) (bool, error) {
	at, found, err := t.afterNULs(ctx, f.fd, 0, f.size)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	p := f.pos
	if err == nil && found {
		at -= at % int64(f.in.Unit) // a character may begin with one
		err = t.startAt(ctx, f.fd, &p, at)
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF), err == nil && !found:
		if err == nil && at == f.size {
			f.endsAt(0)
			return false, nil
		}
		t.asked = true // it was truncated meanwhile
		return false, nil
	case err != nil:
		_, err = t.unreadable(f, err)
		return false, err
	}
	p.Holed = false
	f.in.nuls.Add(at)
	f.in.lag.Add(-at)
	f.pos = p
	return true, nil
}

// end finishes a rotated file that no one writes to any more: its last line
// may lack the newline. If there is more than that, it is read first.
func (t *Tailer) end(ctx context.Context, f *file) error {
	if f.gated() || !t.openFile(f) {
		return nil
	}
	if f.pos.Packed > 0 {
		return t.endPacked(ctx, f)
	}
	data, end, err := t.block(f)
	if err == nil {
		data, end, err = t.written(ctx, f, data, end)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		_, err = t.unreadable(f, err)
		return err
	}
	if data == nil || !end {
		t.enqueue(f)
		return nil
	}
	if n, _, _ := f.frame(data); n > 0 {
		t.enqueue(f)
		return nil
	}
	i, err := statFD(f.fd)
	if err != nil {
		_, err = t.unreadable(f, err)
		return err
	}
	f.setSize(&i)
	switch {
	case i.links == 0 && f.doubt:
		return t.leave(ctx, f, data)
	case i.links > 0 && len(data) > 0 && f.mayBeLive():
		t.closeFile(f)
		delete(t.tended, f)
		return nil
	}
	if i.links == 0 {
		t.unindex(f)
		f.pos.Ino = 0
	}
	return t.finish(ctx, f, data, false)
}

// mayBeLive reports whether f, which has a rotated name, may be written to under
// that name: it was found under it, no younger one of its kind is there, and the
// file that has no such name was not rotated so far. A line that is written in two
// goes is not torn then.
func (f *file) mayBeLive() bool {
	o := f.seen
	return o != nil && !f.fam.rotates() && o.matched && o.path == f.pos.Path && !slices.ContainsFunc(f.fam.seen, func(s *seen) bool {
		return !s.home && s.matched && rotationNumber(o.real) < 0 && compareAge(o.real, s.real) < 0
	})
}

// rotates reports whether a file that was found at home has left it.
func (fam *family) rotates() bool {
	return slices.ContainsFunc(slices.Concat(fam.live, fam.done), func(f *file) bool {
		return f.pos.Path == fam.home && (f.seen == nil || !f.seen.home)
	})
}

// leave hands on the last bytes of a deleted file and closes it, but does not
// finish it: what can't be read now may be its copy, and would be new then.
func (t *Tailer) leave(ctx context.Context, f *file, data []byte) error {
	t.closeFile(f)
	delete(t.tended, f)
	t.sight.open = true
	if len(data) == 0 {
		return nil
	}
	return t.emit(ctx, f, data, 0, false)
}

// finish hands on the last bytes of f and the news that it is done. lost: more
// bytes than these are known to be gone, or may be.
func (t *Tailer) finish(ctx context.Context, f *file, data []byte, lost bool) error {
	data, err := t.emitLines(ctx, f, data)
	if err != nil {
		return err
	}
	gone := max(0, f.size-f.pos.Offset)
	if lost && gone > 0 {
		f.in.lost.Add(gone)
		t.say(slog.LevelWarn, f.in, "bytes were destroyed before they could be read", "path", f.pos.Path, "offset", f.pos.Offset, "bytes", gone)
	}
	if lost && f.replaced {
		t.unindex(f)
		f.pos.Ino = 0
	}
	f.pos.Lost = lost
	t.sight.open = true
	if lost {
		f.in.lag.Add(-gone)
		// Should it turn up again, then as one that has grown.
		f.size, f.pos.Size = f.pos.Offset, f.pos.Offset
	}
	if err := t.emit(ctx, f, data, 0, true); err != nil {
		return err
	}
	f.in.files.Add(-1)
	f.in.lag.Add(-max(0, f.size-f.pos.Offset))
	f.fam.live = without(f.fam.live, f)
	f.fam.done = append(f.fam.done, f)
	f.in.done = append(f.in.done, f)
	t.closeFile(f)
	return nil
}
