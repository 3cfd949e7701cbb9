package chunk

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding"
)

// converter makes UTF-8 of lines in the encoding of an Encoder. One goroutine.
type converter struct {
	e       *Encoder
	decoder *encoding.Decoder
	utf8    []byte
}

// converter returns a converter, or nil if lines are in UTF-8 already.
func (e *Encoder) converter() *converter {
	if !e.json || e.encoding == nil {
		return nil
	}
	return &converter{e: e, decoder: e.encoding.NewDecoder()}
}

// lineEnd returns the index of the newline of the line at b[i], or len(b), and
// where the next line begins.
func (e *Encoder) lineEnd(b []byte, i int) (end, next int) {
	if e.wide != nil {
		end = e.wide.lineEnd(b, i)
		return end, min(end+2, len(b))
	}
	end = lineEnd(b, i)
	return end, min(end+1, len(b))
}

// line returns the text of a line, valid until the next call. It returns false
// if some bytes mean nothing in the encoding: a text without them would not be
// what was written.
func (c *converter) line(line []byte) ([]byte, bool) {
	if need := longest*len(line) + utf8.UTFMax; len(c.utf8) < need {
		c.utf8 = make([]byte, need)
	}
	c.decoder.Reset()
	n, _, err := c.decoder.Transform(c.utf8, line, true)
	text := c.utf8[:n]
	if err != nil {
		return nil, false
	}
	if bytes.ContainsRune(text, utf8.RuneError) { // it may stand in the line itself
		back, err := c.e.encoding.NewEncoder().Bytes(text)
		return text, err == nil && bytes.Equal(back, line)
	}
	return text, true
}

// appendConverted is appendEdited for lines that are not in UTF-8.
func (e *Encoder) appendConverted(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	var a *added
	if e.edits {
		a = e.newAdded(l)
	}
	conv := e.converter()
	for i := 0; i < len(l.Data); {
		end, next := e.lineEnd(l.Data, i)
		line := l.Data[i:end]
		if len(line) > e.maxLine || i == 0 && l.Part > 0 || l.Cut && end == len(l.Data) {
			dst = e.appendParts(dst, l, nil, a, i, end, &c)
			i = next
			continue
		}
		text, valid := conv.line(line)
		at, f := e.scan(text, 0)
		switch {
		case !valid:
			c.Records++
			c.Invalid++
			dst = append(e.appendRaw(dst, line), `bytes that mean nothing in the encoding"`...)
			dst = append(a.append(dst, l.From+int64(i), 0, false), "}\n"...)
		case f == ok && at == len(text):
			c.Records++
			text = bytes.TrimSuffix(text, []byte{'\r'})
			if a != nil {
				dst = e.edit(dst, text, a, l.From+int64(i))
			} else {
				dst = append(dst, text...)
			}
			dst = append(dst, '\n')
		default:
			dst = e.appendFault(dst, line, text, a, l.From+int64(i), at, f, &c)
		}
		i = next
	}
	return dst, c
}
