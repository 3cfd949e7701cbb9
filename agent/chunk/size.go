package chunk

import "bytes"

// The size of records is bounded before they are made, so that less is taken
// at once of lines that become much more than they are:
//
//	bytes of the records of data ≤ Expansion × len(data) + PerLine × Lines(data)
//
// Every record writer keeps to that bound: what it adds to a record is counted
// in PerLine, no byte of a line becomes more than Expansion of them, and it
// makes no more records than Lines. TestRecordSize holds all formats to it.

// Expansion is the most bytes that one byte of a line becomes: six of an escape
// and 4/3 of a base64 copy.
const Expansion = 8

// PerLine returns the most bytes that are added to each line of a file.
func (e *Encoder) PerLine(file string) int64 {
	if e.paths == 0 {
		return e.perLine
	}
	var buf [512]byte
	path, _ := appendString(buf[:0], []byte(file))
	return e.perLine + e.paths*int64(len(path))
}

// measure computes what PerLine is made of.
func (e *Encoder) measure() {
	e.perLine = int64(len(`{"raw":"","raw_base64":"====","error":"","part":,"last":true,}`) + 10 + longestFault + 20)
	for _, f := range e.fields {
		e.perLine += int64(len(`,"":""`) + len(fieldNames[f]))
		switch f {
		case fieldTime:
			e.perLine += int64(len("2006-01-02T15:04:05.999999999Z"))
		case fieldStream:
			e.perLine += int64(len("stdout"))
		case fieldOffset:
			e.perLine += 20
		case fieldHost:
			e.perLine += int64(len(e.host))
		case fieldFile:
			e.paths++
		case fieldMessage:
			e.perLine += int64(len(`,"message_base64":"===="`))
		}
	}
	for _, m := range e.static {
		e.perLine += int64(len(m.text) + 1)
	}
	for _, name := range e.path.Names() {
		e.perLine += int64(len(`,"":""`) + len(name))
	}
	if e.piece != nil {
		e.perLine += int64(len(`,"attrs":`))
	}
	if e.path != nil {
		e.paths++ // its fields are different pieces of the path
	}
}

// Records returns the most records that Lines.Data becomes.
func (e *Encoder) Records(data []byte) (n int64) {
	if e.piece == nil {
		return e.Lines(data)
	}
	for i := 0; i < len(data); n++ {
		var it item
		if it, i = nextItem(data, i); e.stream {
			n += e.Lines(it.text)
		}
	}
	return n
}

// Lines returns the most records that lines of a file become.
func (e *Encoder) Lines(data []byte) int64 {
	n := 1 + bytes.Count(data, []byte{'\n'}) + len(data)/e.maxLine
	if e.stream { // objects may share a line
		n += bytes.Count(data, []byte{'}'})
	}
	return int64(n)
}

// First returns how many bytes of data are about n of its Lines, at least one
// byte.
func (e *Encoder) First(data []byte, n int64) int {
	for i, c := range data {
		if c == '\n' || c == '}' && e.stream {
			n--
		}
		if n <= int64(i/e.maxLine) {
			return i + 1
		}
	}
	return len(data)
}
