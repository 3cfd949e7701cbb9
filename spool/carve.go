package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"slices"
)

// Blocks say of themselves what they are, so they can be found in a file
// whose pages lead nowhere any more: by their magic, byte by byte.

const (
	carveWindow = 1 << 20
	sector      = 4096    // what one bad spot of a disk takes along
	maxHeader   = 8 << 20 // a block of 100,000 files has less
)

// carved is a block that was found in a file. What it holds is valid during
// the call it is handed to.
type carved struct {
	at    int64 // of the value in the file
	value []byte
	head  []byte
	h     header
	sound bool // the data has its checksum; the header has in any case
}

// carve calls f for every block in r whose header is sound, wherever it lies:
// freed pages still hold blocks that were acked, or never committed.
func carve(r io.ReaderAt, size int64, f func(*carved) error) error {
	window := make([]byte, carveWindow)
	var buf []byte
	next := int64(0) // all before is done
	// Windows overlap, as a magic may lie across their border.
	for base := int64(0); base < size; base = max(next, base+carveWindow-int64(len(blockMagic)-1)) {
		b := window[:min(carveWindow, size-base)]
		readAround(r, b, base)
		for next = max(next, base); next < base+int64(len(b)); {
			i := bytes.Index(b[next-base:], blockMagic[:])
			if i < 0 {
				break
			}
			at := next + int64(i)
			next = at + 1
			c, ok := carveAt(r, size, at, &buf)
			if !ok {
				continue
			}
			if err := f(&c); err != nil {
				return err
			}
			next = at + int64(len(c.head))
			if c.sound {
				next += int64(c.h.stored)
			}
		}
	}
	return nil
}

// carveAt reads the block that may start at an offset.
func carveAt(r io.ReaderAt, size, at int64, buf *[]byte) (c carved, ok bool) {
	var prefix [headerPrefix]byte
	readAround(r, prefix[:], at)
	n := int64(binary.BigEndian.Uint32(prefix[headerPrefix-4:]))
	if n < headerPrefix || n > min(maxHeader, size-at) {
		return c, false
	}
	v := slices.Grow((*buf)[:0], int(n))[:n]
	readAround(r, v, at)
	c = carved{at: at}
	head, _, err := splitBlock(v)
	if err == nil {
		c.h, err = decodeHeader(head, &Block{})
	}
	if err != nil || c.h.stored > uint64(size-at-n) {
		return c, false
	}
	v = slices.Grow(v, int(c.h.stored))[:n+int64(c.h.stored)]
	readAround(r, v[n:], at+n)
	*buf, c.value, c.head = v, v, v[:n]
	c.sound = crc32.Checksum(v[n:], castagnoli) == c.h.dataCRC
	return c, true
}

// readAround reads what the disk still gives; the rest reads as zeros.
func readAround(r io.ReaderAt, b []byte, at int64) {
	if _, err := r.ReadAt(b, at); err == nil {
		return
	}
	for len(b) > 0 {
		n := min(sector-at%sector, int64(len(b)))
		if _, err := r.ReadAt(b[:n], at); err != nil {
			clear(b[:n])
		}
		b, at = b[n:], at+n
	}
}

// place is where a carved block lies in its file.
type place struct {
	blockKey
	committed int64
	at        int64
	head      string
	size      int
	sound     bool
}

// places finds a chunk's blocks in a segment whose pages cannot be trusted, in
// the order of their batches. It may find too many; the digest of the chunk
// decides whether they are the right ones.
func (s *Spool) places(segment uint64, m *manifest) (ps []place, err error) {
	s.pub.RLock()
	last := s.idx.state.batch // of a later one, only what was never committed
	s.pub.RUnlock()
	err = s.carveFile(segment, func(c *carved) error {
		if c.h.seq == m.seq && c.h.batch <= last && slices.ContainsFunc(m.labels, func(l label) bool { return l.queue == c.h.queue && l.number == c.h.number }) {
			ps = append(ps, place{blockKey{batch: c.h.batch}, c.h.committed, c.at, string(c.head), len(c.value), c.sound})
		}
		return nil
	})
	// Pages are copied when they change, so a small block may be there often.
	// Of two commits of one batch only the later one can have been completed.
	slices.SortStableFunc(ps, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.batch, b.batch), cmp.Compare(b.committed, a.committed))
	})
	seen := map[string]int{}
	kept := ps[:0]
	for _, p := range ps {
		if n := len(kept); n > 0 && kept[n-1].batch == p.batch {
			if kept[n-1].committed != p.committed {
				continue
			}
			p.index = kept[n-1].index + 1
		}
		if i, ok := seen[p.head]; !ok {
			seen[p.head] = len(kept)
			kept = append(kept, p)
		} else if p.sound && !kept[i].sound {
			p.blockKey = kept[i].blockKey
			kept[i] = p
		}
	}
	// Restored blocks of earlier segments lie in what was the head then.
	return kept[max(0, len(kept)-int(m.in(segment))):], err
}

// carveFile carves a segment's file.
func (s *Spool) carveFile(segment uint64, f func(*carved) error) error {
	return withFile(s.segs.path(segment), func(file *os.File, size int64) error { return carve(file, size, f) })
}

// placed returns a carved block's value.
func (s *Spool) placed(segment uint64, p *place) ([]byte, error) {
	file, err := os.Open(s.segs.path(segment))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	v := make([]byte, p.size)
	readAround(file, v, p.at)
	return v, nil
}
