package tailer

import (
	"bytes"
	"hash/crc32"
)

// markEvery is how far apart marks are in data that is read at once, so that
// there is one close behind any place at which a file may have been cut.
const markEvery = 32 << 10

// advance moves the position over data, the bytes at its offset. Marks are where
// lines begin, or at least characters of so many bytes do.
func (p *Position) advance(data []byte, unit int) {
	for len(data) > markEvery {
		n := bytes.LastIndexByte(data[:markEvery], '\n') + 1
		if n += n % unit; n == 0 {
			n = markEvery
		}
		p.over(data[:n])
		data = data[n:]
	}
	p.over(data)
}

func (p *Position) over(data []byte) {
	if p.Offset < headSize {
		k := min(headSize-p.Offset, int64(len(data)))
		p.Head = Mark{p.Head.Offset + k, crc32.Update(p.Head.CRC, castagnoli, data[:k])}
	}
	p.CRC = crc32.Update(p.CRC, castagnoli, data)
	p.Offset += int64(len(data))
	if keep := anchorSize - len(data); keep > 0 {
		old := p.Anchor[max(0, len(p.Anchor)-keep):]
		p.Anchor = append(p.Anchor[:copy(p.Anchor, old)], data...)
	} else {
		p.Anchor = append(p.Anchor[:0], data[len(data)-anchorSize:]...)
	}
	p.mark()
}

// mark remembers the CRC at the offset. When there are too many marks, the one
// goes whose neighbours are closest, measured by how far back they lie: so the
// distances between marks grow with the distance from the offset.
func (p *Position) mark() {
	if n := len(p.Marks); n > 0 && p.Marks[n-1].Offset == p.Offset || p.Offset == p.Base {
		return
	}
	if len(p.Marks) == maxMarks {
		drop, least := 1, 0.0
		for i := 1; i < maxMarks-1; i++ {
			gap := float64(p.Marks[i+1].Offset-p.Marks[i-1].Offset) / float64(p.Offset-p.Marks[i].Offset)
			if i == 1 || gap < least {
				drop, least = i, gap
			}
		}
		p.Marks = append(p.Marks[:drop], p.Marks[drop+1:]...)
	}
	p.Marks = append(p.Marks, Mark{p.Offset, p.CRC})
}

// markBefore returns the last mark at or before offset, the empty prefix if
// there is none.
func (p *Position) markBefore(offset int64) Mark {
	m := Mark{Offset: p.Base}
	for _, c := range p.Marks {
		if c.Offset > offset {
			break
		}
		m = c
	}
	return m
}
