package tailer

import (
	"bytes"
	"context"
	"hash/crc32"

	"golang.org/x/sys/unix"
)

// appended is a comparison of what an archive has grown by with a log that may have
// been appended to it as a whole (cat app.log >> app.log.1).
type appended struct {
	of   *file
	from int64  // the archive had so many bytes before
	at   int64  // the log's bytes that were compared
	sum  uint32 // CRC-32C of them
}

// outcome is what a comparison brought.
type outcome int

const (
	own     outcome = iota // the archive's own bytes: hand them on
	skipped                // they were read in the log
	comparing
)

// skipAppended moves f, an archive that has grown by data and more, over the bytes
// of a log that was appended to it, as far as they were read there. It compares a
// quantum a turn.
func (t *Tailer) skipAppended(ctx context.Context, f *file, data []byte) (outcome, error) {
	a := f.appended
	if a == nil || a.from != f.pos.Offset {
		of := t.appendedLog(f, data)
		if of == nil && t.beginsLikeHome(f, data) {
			return comparing, nil
		}
		if of == nil {
			return own, nil
		}
		a = &appended{of: of, from: f.pos.Offset}
		f.appended = a
	}
	if a.of == nil {
		return own, nil // they were compared already
	}
	log := &a.of.pos
	switch {
	case a.of.unread(), a.from+log.Offset > f.size && t.now().Sub(f.active) < t.o.RotateWait:
		// The rest of the log is read first, and all of it appended.
		t.wakeAt = earliest(t.wakeAt, t.now().Add(min(t.o.RotateWait, t.o.PollInterval)))
		return comparing, nil
	case a.from+log.Offset > f.size:
		a.of = nil
		return own, nil
	}
	b := t.scratch[:min(int64(len(t.scratch)), log.Offset-a.at)]
	for turn := int64(0); turn < quantum && a.at < log.Offset; turn += int64(len(b)) {
		b = b[:min(int64(len(b)), log.Offset-a.at)]
		n, err := pread(f.fd, b, a.from+a.at)
		if err != nil || n < len(b) {
			return comparing, err
		}
		a.sum = crc32.Update(a.sum, castagnoli, b)
		a.at += int64(n)
	}
	switch {
	case a.at < log.Offset:
		return comparing, nil
	case a.sum != log.CRC:
		a.of = nil
		return own, nil
	case log.Offset > headSize || a.of.emptied():
		return skipped, t.skipTo(ctx, f, a)
	case t.now().Sub(f.active) < t.o.RotateWait:
		t.wakeAt = earliest(t.wakeAt, t.now().Add(min(t.o.RotateWait, t.o.PollInterval)))
		return comparing, nil
	}
	// Few bytes that stay in the log as well are those of two writers.
	a.of = nil
	return own, nil
}

// skipTo moves f over the bytes of the log that a has found in it.
func (t *Tailer) skipTo(ctx context.Context, f *file, a *appended) error {
	end := a.from + a.of.pos.Offset
	p := f.pos.clone() // a read that fails leaves f where it is
	for p.Offset < end {
		b := t.scratch[:min(int64(len(t.scratch)), end-p.Offset)]
		n, err := pread(f.fd, b, p.Offset)
		if err != nil || n < len(b) {
			return err
		}
		p.advance(b, f.in.Unit)
	}
	f.pos = *p
	f.in.lag.Add(-a.of.pos.Offset)
	if g := a.of; g.replaced && f.size-a.from >= g.size { // what was destroyed of it is here
		f.in.lag.Add(g.pos.Offset - g.size)
		g.size, g.pos.Size = g.pos.Offset, g.pos.Offset
	}
	t.log.Info("a log was appended to an archive: its lines were read", "input", f.in.Name, "path", f.name, "bytes", a.of.pos.Offset)
	a.of = nil
	return t.news(ctx, f)
}

// appendedLog returns the log that data, which follows the offset of the archive f,
// begins like: one that is, or was, at home, and was not read as part of f.
func (t *Tailer) appendedLog(f *file, data []byte) *file {
	if !f.rotated || f.pos.Offset == f.pos.Base || f.pos.Part > 0 || !bytes.HasSuffix(f.pos.Anchor, []byte("\n")) {
		return nil
	}
	for _, all := range [...][]*file{f.fam.live, f.fam.done} {
		for _, g := range all {
			p := &g.pos
			if g == f || p.Offset == 0 && !g.unread() || p.Base > 0 || p.Packed > 0 || g.seen != nil && !g.seen.home || p.Offset <= headSize && common(f.pos.Anchor, data) {
				continue
			}
			if t.beginsWith(g, data[:min(int64(len(data)), headSize)]) {
				return g
			}
		}
	}
	return nil
}

// beginsWith reports whether the log g begins with data, of which there may be less
// than is known of g.
func (t *Tailer) beginsWith(g *file, data []byte) bool {
	if n := g.pos.Head.Offset; n > 0 && int64(len(data)) >= n {
		return crc32.Checksum(data[:n], castagnoli) == g.pos.Head.CRC
	}
	if g.seen == nil || g.pos.Done || !t.openFile(g) {
		return false
	}
	b := make([]byte, len(data))
	n, err := pread(g.fd, b, 0)
	return err == nil && n > 0 && bytes.HasPrefix(data, b[:n])
}

// beginsLikeHome reports whether data is the beginning of what is at home, which is
// not followed yet because another decision is waited for.
func (t *Tailer) beginsLikeHome(f *file, data []byte) bool {
	home := f.fam.atHome()
	if !f.rotated || !f.fam.pending || home == nil || home.owner != nil || home.packed != plain {
		return false
	}
	fd, err := t.openSeen(home)
	if err != nil || fd < 0 {
		return false
	}
	defer unix.Close(fd)
	b := make([]byte, min(len(data), headSize))
	n, err := pread(fd, b, 0)
	return err == nil && n > 0 && bytes.HasPrefix(data, b[:n])
}

// emptied reports whether no name leads to the bytes that were read of f any more.
func (f *file) emptied() bool { return f.replaced || f.seen == nil }

// unread reports whether there is, or may be, more of g to be read where it is.
func (f *file) unread() bool {
	return !f.pos.Done && !f.replaced && !f.failed && (f.queued || !f.atEnd)
}

// common reports whether the first line of data is also the one before: then few
// equal bytes prove nothing.
func common(before, data []byte) bool {
	line := data[:bytes.IndexByte(data, '\n')+1]
	return len(line) == 0 || bytes.HasSuffix(before, line[max(0, len(line)-len(before)):])
}
