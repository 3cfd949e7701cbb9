package chunk

import "bytes"

// wide is the bytes of UTF-16 that matter to lines.
type wide struct{ newline, cr, mark [2]byte }

var (
	wideLE = &wide{newline: [2]byte{'\n', 0}, cr: [2]byte{'\r', 0}, mark: [2]byte{0xff, 0xfe}}
	wideBE = &wide{newline: [2]byte{0, '\n'}, cr: [2]byte{0, '\r'}, mark: [2]byte{0xfe, 0xff}}
)

// lineEnd is lineEnd for characters of two bytes, the first at b[i].
func (w *wide) lineEnd(b []byte, i int) int {
	for at := i; ; {
		n := bytes.Index(b[at:], w.newline[:])
		if n < 0 {
			return len(b)
		}
		if at += n; (at-i)%2 == 0 {
			return at
		}
		at++
	}
}

// whole returns the end of the last line that has its newline.
func (w *wide) whole(data []byte, _ bool) int {
	for end := len(data); ; {
		n := bytes.LastIndex(data[:end], w.newline[:])
		if n < 0 {
			return 0
		}
		if n%2 == 0 {
			return n + 2
		}
		end = n + 1
	}
}
