package chunk

import "bytes"

// Events returns a function that says how many of the lines it is given, each
// with its newline, are whole events, where these may be longer than a line;
// else nil. What it is given begins with an event's start, or with the rest of
// an event that was cut.
func (e *Encoder) Events() func(lines []byte) int {
	if e.begins != nil && e.piece == nil {
		return e.begun
	}
	return nil
}

// Stream returns a function that says how much of the bytes it is given, the
// next ones of a file, is whole, if that is not told by the byte of a newline: of
// objects in a stream, and of lines in UTF-16; else nil. inside
// says that they begin within something longer than MaxLineSize: then its end
// may be all that is looked for.
func (e *Encoder) Stream() func(data []byte, inside bool) int {
	switch {
	case e.piece != nil:
		return nil
	case e.stream:
		return e.whole
	case e.wide != nil:
		return e.wide.whole
	}
	return nil
}

// begun returns where the last event in lines begins: whether it is whole, only
// the next line can tell.
func (e *Encoder) begun(lines []byte) int {
	for end := len(lines); end > 0; {
		start := lineStart(lines, end-1)
		if start > 0 && e.begins(lines[start:end-1]) {
			return start
		}
		end = start
	}
	return 0
}

// lineStart returns where the line that ends before b[end] starts.
func lineStart(b []byte, end int) int { return bytes.LastIndexByte(b[:end], '\n') + 1 }

// eventEnd returns the end of the event that starts at l.Data[i], without its
// newline.
func (e *Encoder) eventEnd(l *Lines, i int) int {
	if e.wide != nil {
		return e.wide.lineEnd(l.Data, i)
	}
	end := lineEnd(l.Data, i)
	if e.begins == nil || i == 0 && l.Part > 0 {
		return end
	}
	for end+1 < len(l.Data) {
		next := lineEnd(l.Data, end+1)
		if next-i > e.maxLine || l.Cut && next == len(l.Data) || e.begins(l.Data[end+1:next]) {
			break
		}
		end = next
	}
	return end
}
