package tailer

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"syscall"
	"time"
)

// maxStreams is how many compressed files are read at a time: each costs the
// memory of a decompressor.
const maxStreams = 2

// stream is the content of a compressed file as it is read, from its start.
type stream struct {
	*unpacker
	buf  []byte // what was decompressed last
	data []byte // the part of buf that is not handed on, at offset at
	at   int64
	here bool   // the position has been reached
	sum  uint32 // CRC-32C of [Position.Base, at), until the position is reached
	end  error  // why there is no more, see unpacker.Read
}

// more decompresses until there are size bytes, or no more.
func (s *stream) more(size int) {
	if size > len(s.buf) {
		s.buf = append(make([]byte, 0, size), s.data...)[:size]
	} else {
		copy(s.buf, s.data)
	}
	n := len(s.data)
	if s.end == nil && n < size {
		var k int
		k, s.end = s.fill(s.buf[n:size])
		n += k
	}
	s.data = s.buf[:n]
}

// skip goes towards p, at most size bytes a call, and checks on arrival that
// the bytes before it are those that were read. same is true until they are not.
func (s *stream) skip(p *Position, size int) (same bool) {
	s.more(int(min(int64(size), p.Offset-s.at)))
	n := int64(len(s.data))
	s.sum = crc32.Update(s.sum, castagnoli, s.data[min(n, max(0, p.Base-s.at)):])
	s.at, s.data = s.at+n, nil
	s.here = s.at == p.Offset
	return !s.here && !errors.Is(s.end, io.EOF) || s.here && s.sum == p.CRC
}

// unpacked is the state of a file that is compressed.
type unpacked struct {
	*stream               // nil: not being read
	used    int64         // compressed bytes that were read for what was handed on
	left    int           // bytes of a last line without newline
	closing bool          // that line is to be handed on
	problem error         // why the last attempt ended before the end of the content
	next    time.Time     // not tried again before
	spent   time.Duration // by the attempt that goes on
}

// size estimates how long the content is: what is not decompressed yet counts
// as it is.
func (f *file) contentSize(packed int64) int64 {
	pending := f.packed.left
	if s := f.packed.stream; s != nil {
		pending = len(s.data)
	}
	return f.pos.Offset + int64(pending) + max(0, packed-f.packed.used)
}

// differsFrom says whether the file has changed since the last look.
func (f *file) differsFrom(i *info) bool { return i.size != f.fileSize() || i.mtime != f.mtime }

// fileSize is the size of the file itself at the last look.
func (f *file) fileSize() int64 {
	if f.pos.Packed > 0 {
		return f.pos.Packed
	}
	return f.size
}

// turnPacked is turn for a compressed file.
func (t *Tailer) turnPacked(ctx context.Context, f *file, i *info) (bool, error) {
	changed := f.differsFrom(i)
	switch {
	case i.size < f.pos.Packed:
		t.replace(f)
		return true, nil
	case f.atEnd && !changed && !f.packed.closing:
		return false, nil
	case changed:
		f.active, f.packed.problem = t.now(), nil
	}
	f.setSize(i)
	f.atEnd = false
	if !t.openStream(f) {
		return false, nil
	}
	begin := t.now()
	more, err := t.unpackSome(ctx, f)
	f.packed.spent += t.now().Sub(begin)
	return more, err
}

// openStream begins to decompress f, if it may now.
func (t *Tailer) openStream(f *file) bool {
	switch {
	case f.packed.stream != nil:
		return true
	case t.now().Before(f.packed.next):
		t.wakeAt = earliest(t.wakeAt, f.packed.next)
		f.drained = true
		return false
	case t.streams == maxStreams:
		t.enqueue(f)
		return false
	}
	p := packingOf(f.name)
	if p == plain { // it was deleted, or moved out of sight
		p = packingIn(f.fd)
	}
	u, err := newUnpacker(f.fd, p)
	if err != nil {
		t.stall(f, err)
		return false
	}
	t.streams++
	f.packed.stream, f.packed.left, f.packed.used, f.packed.spent = &stream{unpacker: u}, 0, 0, 0
	return true
}

func (t *Tailer) closeStream(f *file) {
	if s := f.packed.stream; s != nil {
		f.packed.left = len(s.data)
		s.close()
		f.packed.stream = nil
		t.streams--
	}
}

// unpackSome decompresses at most a quantum, unless a line needs more, and
// hands it on.
func (t *Tailer) unpackSome(ctx context.Context, f *file) (bool, error) {
	s := f.packed.stream
	defer func() { f.packed.used = s.raw.at }()
	if !s.here {
		switch same := s.skip(&f.pos, quantum); {
		case !same:
			t.replace(f)
		case !s.here && s.end != nil:
			t.stall(f, s.end)
		default:
			t.enqueue(f)
		}
		return true, nil
	}
	s.more(quantum)
	n, parts, broken := f.frame(s.data)
	// A line, or event, must fit with one byte more: only that shows that it is longer.
	if long := f.in.MaxLineSize + 1; n == 0 && s.end == nil && long > quantum {
		s.more(long)
		n, parts, broken = f.frame(s.data)
	}
	if s.end == nil || f.more(s.data, n) {
		t.enqueue(f)
	}
	if n > 0 {
		data := s.data[:n]
		s.at, s.data = s.at+int64(n), s.data[n:]
		if err := t.emit(ctx, f, data, parts, false); err != nil {
			return true, err
		}
		f.apart = broken
	}
	if s.end != nil && !f.queued {
		return true, t.unpackEnd(ctx, f)
	}
	return true, nil
}

// unpackEnd ends the reading of f for now, or, if its content is complete, for good.
func (t *Tailer) unpackEnd(ctx context.Context, f *file) error {
	s := f.packed.stream
	if !errors.Is(s.end, io.EOF) {
		t.stall(f, s.end)
		return nil
	}
	rest := s.data
	// Whole lines are an event that the end of the content ends.
	whole := len(rest) == 0 || rest[len(rest)-1] == '\n'
	if f.packed.closing || whole {
		s.at, s.data = s.at+int64(len(rest)), nil
	}
	f.packed.used = s.raw.at
	t.closeStream(f)
	f.atEnd, f.drained = true, true
	i, err := statFD(f.fd)
	if err != nil {
		_, err = t.unreadable(f, err)
		return err
	}
	f.setSize(&i)
	t.readable(f)
	if !f.packed.closing && !whole {
		return nil // end has it handed on when nothing has followed for long
	}
	f.packed.closing = false
	if i.links == 0 {
		t.unindex(f)
		f.pos.Ino = 0
	}
	return t.finish(ctx, f, rest, false)
}

// stall notes that f can't be decompressed further for now. Should it change, it
// is tried again, for at most a tenth of the time: that starts at its beginning.
func (t *Tailer) stall(f *file, err error) {
	f.packed.next = t.now().Add(10 * f.packed.spent)
	f.packed.problem, f.failed, f.atEnd, f.drained = err, true, true, true
	t.closeStream(f)
	t.problem(f.in, f.name, err)
	// What the file system says may change without the file.
	var no syscall.Errno
	f.atEnd = !errors.As(err, &no)
}

// endPacked is end for a compressed file.
func (t *Tailer) endPacked(ctx context.Context, f *file) error {
	if f.packed.problem == nil {
		f.packed.closing = true
		t.enqueue(f)
		return nil
	}
	i, err := statFD(f.fd)
	if err != nil || i.links > 0 {
		return nil // it may still be written, or mended
	}
	t.unindex(f)
	f.pos.Ino = 0
	return t.finish(ctx, f, nil, true)
}

// flushPacked hands on the last lines of compressed files that have no newline.
func (t *Tailer) flushPacked(ctx context.Context) error {
	for _, in := range t.inputs {
		for _, fam := range in.families {
			for _, f := range fam.live {
				if f.packed.left > 0 && f.packed.problem == nil {
					f.packed.closing = true
					t.enqueue(f)
				}
			}
		}
	}
	for {
		if more, err := t.round(ctx); err != nil || !more {
			return err
		}
	}
}
