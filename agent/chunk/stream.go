package chunk

import (
	"bytes"
	"unicode/utf8"
)

// streamItem is what comes next in a stream of JSON objects: one of them, or the text
// in its place.
type streamItem struct {
	end   int // behind it; the end of the data if open
	fault fault
	at    int  // where it is wrong, counted from its start
	lines bool // it is an object of several lines
	open  bool // its end is not there
}

// whole returns how much of data, the next bytes of a stream of JSON objects, is
// whole: objects, lines of other text, and the white space behind them. inside
// says that data begins within something longer than MaxLineSize; its end may be
// all that is found.
func (e *Encoder) whole(data []byte, inside bool) (whole int) {
	i := 0
	if inside {
		var found bool
		if i, found = resync(data, 1); !found {
			return 0
		}
	}
	for {
		if i = skipBlank(data, i); i == len(data) {
			return i
		}
		it := e.next(data, i)
		if it.open {
			return i
		}
		i = it.end
	}
}

// next returns the item that begins at b[i], which is not white space. What
// becomes of b[i:] does not depend on how much follows, once the item is whole.
func (e *Encoder) next(b []byte, i int) streamItem {
	limit := min(len(b)-i, e.maxLine)
	end, f := scanStream(b[:i+limit], i)
	if f == ok {
		return streamItem{end: end, lines: bytes.IndexByte(b[i:end], '\n') >= 0}
	}
	it := streamItem{fault: f, at: end - i}
	cut := cutOff(b[:i+limit], end, f)
	if cut {
		it.fault, it.at = endOfLine, limit
	}
	found := false
	switch line := !cut && bytes.IndexByte(b[i:end], '\n') < 0; {
	case cut && limit == len(b)-i:
	case line:
		if it.end = lineEnd(b, end); it.end-i <= e.maxLine {
			found = it.end < len(b)
			break
		}
		fallthrough
	case cut:
		it.end, found = resync(b, i+e.maxLine)
	default:
		it.end, found = resync(b, end)
	}
	if !found {
		it.end, it.open = len(b), true
	}
	if it.at >= it.end-i { // what is wrong is that it ends here
		it.fault, it.at = endOfLine, it.end-i
	}
	return it
}

// resync returns where text that is no object, or too long for one, ends: at a
// line that begins with '{', or behind the '}' of one that begins so, whichever is
// the first from b[from] on. Who has only the bytes
// before that '{' takes them all.
func resync(b []byte, from int) (end int, found bool) {
	for {
		n := bytes.IndexByte(b[from-1:], '\n')
		if from += n; n < 0 || from == len(b) {
			return 0, false
		}
		switch b[from] {
		case '{':
			return from, true
		case '}':
			return from + 1, true
		}
		from++
	}
}

// scanStream is scanLine for an object with newlines: it returns the index
// behind the object at b[i].
func scanStream(b []byte, i int) (int, fault) {
	if b[i] != '{' {
		return i, notObject
	}
	const (
		key = iota
		value
		behind // a value
	)
	var objects [maxDepth/64 + 1]uint64 // bit d: what is open at depth d is an object
	inObject := func(depth int) bool { return objects[depth/64]>>(depth%64)&1 == 1 }
	want, depth, empty := value, 0, false
	var f fault
	for {
		if i = skipBlank(b, i); i == len(b) {
			return i, invalidChar
		}
		c := b[i]
		switch {
		case want == behind && c == ',':
			i, empty, want = i+1, false, value
			if inObject(depth) {
				want = key
			}
		case (want == behind || empty) && (c == '}' || c == ']'):
			if (c == '}') != inObject(depth) {
				return i, invalidChar
			}
			i, empty, want = i+1, false, behind
			if depth--; depth == 0 {
				return i, ok
			}
		case want == behind || want == key && c != '"':
			return i, invalidChar
		case want == key:
			if i, f = scanString(b, i+1); f != ok {
				return i, f
			}
			if i, f = scanByte(b, skipBlank(b, i), ':'); f != ok {
				return i, f
			}
			empty, want = false, value
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return i, tooDeep
			}
			objects[depth/64] &^= 1 << (depth % 64)
			i, empty, want = i+1, true, value
			if c == '{' {
				objects[depth/64] |= 1 << (depth % 64)
				want = key
			}
		default:
			if i, f = scanValue(b, i, depth); f != ok {
				return i, f
			}
			empty, want = false, behind
		}
	}
}

// cutOff says whether the fault f at b[at] may only be that b ends too early.
func cutOff(b []byte, at int, f fault) bool {
	switch {
	case at == len(b):
		return true
	case f == invalidUTF8:
		return !utf8.FullRune(b[at:])
	case f == invalidChar && b[at-1] == '\\' && b[at] == 'u' && len(b)-at < 5:
		for _, c := range b[at+1:] {
			if !isHex(c) {
				return false
			}
		}
		return true
	}
	return false
}

// skipBlank is skipSpace over newlines.
func skipBlank(b []byte, i int) int {
	for i < len(b) && (isSpace(b[i]) || b[i] == '\n') {
		i++
	}
	return i
}

// compact appends the valid object b without white space outside of strings.
func compact(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		from := i
		for i < len(b) && b[i] != '\n' && !isSpace(b[i]) {
			if b[i] == '"' {
				i, _ = scanString(b, i+1)
			} else {
				i++
			}
		}
		dst = append(dst, b[from:i]...)
		i = skipBlank(b, i)
	}
	return dst
}

// appendStream appends a record for each item of l.
func (e *Encoder) appendStream(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	var a *added
	if e.edits {
		a = e.newAdded(l)
	}
	return e.appendObjects(dst, l, a, &c), c
}

// appendObjects is appendStream with the members of a.
func (e *Encoder) appendObjects(dst []byte, l *Lines, a *added, c *Counts) []byte {
	var line []byte
	data, i := l.Data, 0
	if l.Part > 0 && len(data) > 0 {
		i = restEnd(data)
		dst = e.appendParts(dst, l, nil, a, 0, i, c)
	}
	for {
		if i = skipBlank(data, i); i == len(data) {
			return dst
		}
		it := e.next(data, i)
		switch {
		case !it.lines:
			end := it.end
			if end-i <= e.maxLine && (!l.Cut || end < len(data)) {
				end = i + len(bytes.TrimRight(data[i:end], "\n"))
			}
			dst = e.appendLine(dst, l, a, i, end, min(it.at, end-i), it.fault, c)
		case a != nil:
			line = compact(line[:0], data[i:it.end])
			dst = append(e.edit(dst, line, a, l.From+int64(i)), '\n')
			c.Records++
		default:
			dst = append(compact(dst, data[i:it.end]), '\n')
			c.Records++
		}
		i = it.end
	}
}

// restEnd is where the rest of something too long ends that data begins with.
func restEnd(data []byte) int {
	if end, found := resync(data, 1); found {
		return end
	}
	return len(data)
}
