package tailer

import (
	"bytes"
	"context"
	"slices"
	"time"
)

// unwrap is emit for a file that several streams share. It reports whether that
// changed anything.
func (t *Tailer) unwrap(ctx context.Context, f *file, data []byte, parts int, last bool) (bool, error) {
	p := &f.pos
	lag := max(0, f.size-p.Offset)
	if n := f.mark(data); n > 0 {
		p.advance(data[:n], 1)
		data = data[n:]
	}
	if last {
		if err := t.handOver(ctx, f); err != nil {
			return true, err
		}
	}
	w := Wrapped{
		Lines: data, From: p.Offset, Part: p.Part, Cut: parts > 0, More: p.Offset+int64(len(data)) < f.size, Carry: p.Carry,
		Now: t.now().UnixNano(), Wait: int64(f.in.EventWait), All: last || t.flushing,
		// What is decompressed does not come again.
		Take:  f.pos.Packed > 0 || f.held && t.now().Sub(f.heldAt) >= f.in.EventWait,
		Items: t.items[:0], Next: t.carry[:0],
	}
	f.in.Unwrap(&w)
	t.items, t.carry = w.Items, w.Next
	t.holdCarry(f, &w)
	if w.Taken == 0 && len(w.Items) == 0 && !last && bytes.Equal(w.Next, p.Carry) {
		return false, nil
	}
	s := Span{From: p.Offset, Data: w.Items}
	p.advance(data[:w.Taken], 1)
	s.To = p.Offset
	if part := p.Part; w.Taken > 0 {
		if p.Part = 0; parts > 0 {
			p.Part = part + parts
		}
	}
	p.Carry, p.Done = slices.Clone(w.Next), last
	f.in.read.Add(int64(w.Taken))
	if w.Taken > 0 {
		f.active = t.now()
	}
	err := t.hand(ctx, f.in, &s, p)
	f.in.lag.Add(max(0, f.size-s.To) - lag)
	f.size = max(f.size, s.To)
	return true, err
}

// holdCarry notes since when w holds something, in the carry or in the file.
func (t *Tailer) holdCarry(f *file, w *Wrapped) {
	t.hold(f, w.From+int64(w.Taken), w.Taken < len(w.Lines))
	if at := time.Unix(0, w.Since); w.Since != 0 && (!f.held || at.Before(f.heldAt)) {
		f.held, f.heldFrom, f.heldAt = true, -1, at
	}
}

// takeOver gives f, before its first byte is read, what the generation before it
// holds: a runtime rotates between two pieces of a line. Once something is in f,
// nothing more comes there. It returns false if more has come meanwhile.
func (t *Tailer) takeOver(ctx context.Context, f *file) (bool, error) {
	if f.in.Unwrap == nil || f.pos.Offset > 0 || f.size == 0 || len(f.pos.Carry) > 0 {
		return true, nil
	}
	i := slices.Index(f.fam.live, f)
	if i <= 0 || len(f.fam.live[i-1].pos.Carry) == 0 {
		return true, nil
	}
	before := f.fam.live[i-1]
	if before.pos.Packed == 0 && t.openFile(before) {
		if now, err := statFD(before.fd); err == nil && now.size > before.size {
			t.enqueue(before)
			t.enqueue(f)
			return false, nil
		}
	}
	if before.size > before.pos.Offset { // it ends within a line of the file
		return true, nil
	}
	return true, t.lend(ctx, before, f)
}

// handOver gives what f, which ends, holds to the next generation, if nothing of
// that was read.
func (t *Tailer) handOver(ctx context.Context, f *file) error {
	i := slices.Index(f.fam.live, f)
	if i < 0 || i+1 == len(f.fam.live) || f.size > f.pos.Offset {
		return nil
	}
	if g := f.fam.live[i+1]; g.pos.Offset == 0 && len(g.pos.Carry) == 0 {
		return t.lend(ctx, f, g)
	}
	return nil
}

// lend moves the carry of f to g. A crash between the two positions leaves it with
// g, which names f until it is gone from there: f may hold other lines later.
func (t *Tailer) lend(ctx context.Context, f, g *file) error {
	if len(f.pos.Carry) == 0 {
		return nil
	}
	g.pos.Carry, g.pos.Lender = f.pos.Carry, f.pos.File
	g.held, g.heldFrom, g.heldAt = f.held, -1, f.heldAt
	if g.held {
		t.tended[g] = struct{}{}
	}
	if err := t.news(ctx, g); err != nil {
		return err
	}
	f.pos.Carry, f.held = nil, false
	if err := t.news(ctx, f); err != nil {
		return err
	}
	g.pos.Lender = 0
	return t.news(ctx, g)
}
