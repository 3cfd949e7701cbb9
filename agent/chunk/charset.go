package chunk

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// charset turns bytes of an encoding of one byte a character into the inside
// of JSON strings. Any number of goroutines may use it.
type charset struct {
	text    [256]string
	unknown []byte // that mean no character
}

func newCharset(m *charmap.Charmap) *charset {
	c := &charset{}
	for i := range c.text {
		r := m.DecodeByte(byte(i))
		if r == utf8.RuneError {
			c.unknown = append(c.unknown, byte(i))
		}
		quoted, _ := appendString(nil, utf8.AppendRune(nil, r))
		c.text[i] = string(quoted[1 : len(quoted)-1])
	}
	return c
}

// appendBytes is appendBytes for s in this encoding. Bytes that mean nothing in
// it become U+FFFD, and s is kept beside them.
func (c *charset) appendBytes(dst []byte, name string, s []byte) []byte {
	dst = append(append(append(dst, '"'), name...), `":"`...)
	for _, b := range s {
		dst = append(dst, c.text[b]...)
	}
	dst = append(dst, '"')
	for _, b := range c.unknown {
		if bytes.IndexByte(s, b) >= 0 {
			return appendBase64(dst, name, s)
		}
	}
	return dst
}

// appendLineBytes is appendBytes for s in e's encoding.
func (e *Encoder) appendLineBytes(dst []byte, name string, s []byte) []byte {
	switch {
	case e.charset != nil:
		return e.charset.appendBytes(dst, name, s)
	case e.bytes != nil:
		return e.decoder().appendBytes(dst, name, s)
	}
	return appendBytes(dst, name, s)
}

// multibyte is for encodings of several bytes a character. One goroutine.
type multibyte struct {
	decoder *encoding.Decoder
	utf8    []byte
}

// longest is how many bytes of UTF-8 a byte of any encoding becomes at most.
const longest = 3

// appendBytes is that of charset.
func (m *multibyte) appendBytes(dst []byte, name string, s []byte) []byte {
	if need := longest*len(s) + utf8.UTFMax; len(m.utf8) < need {
		m.utf8 = make([]byte, need)
	}
	m.decoder.Reset()
	n, _, err := m.decoder.Transform(m.utf8, s, true)
	if err != nil { // decoders replace what they can't read
		return appendBytes(dst, name, s)
	}
	dst = appendBytes(dst, name, m.utf8[:n])
	if bytes.ContainsRune(m.utf8[:n], utf8.RuneError) {
		return appendBase64(dst, name, s)
	}
	return dst
}
