package chunk

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// field is a member that tells of a line, as an index into fieldNames.
type field int

const (
	fieldTime field = iota
	fieldHost
	fieldFile
	fieldOffset
	fieldMessage
	fieldStream
)

var fieldNames = [...]string{"time", "host", "file", "offset", "message", "stream"}

// Fields returns the names of the fields that records of a format may have, in
// their usual order.
func Fields(container bool) []string {
	if container {
		return []string{"time", "stream", "host", "file", "offset", "message"}
	}
	return []string{"time", "host", "file", "offset", "message"}
}

// parseFields looks up names; none means all that records of the format have.
func parseFields(names []string, container, json bool) []field {
	if len(names) == 0 {
		names = Fields(container)
		if json {
			names = names[:len(names)-1] // the line is the record
		}
	}
	var fields []field
	for _, name := range names {
		f := field(slices.Index(fieldNames[:], name))
		if f < 0 || slices.Contains(fields, f) || f == fieldStream && !container {
			panic(fmt.Sprintf("chunk: field %q is unknown or there twice", name))
		}
		fields = append(fields, f)
	}
	return fields
}

// frame is a record with gaps where records of one call differ.
type frame struct {
	text []byte
	gaps [4]gap // ascending; an array, so that a frame stays on the stack
	n    int    // gaps in use

	charset   *charset   // of messages, or
	multibyte *multibyte // of several bytes a character; both nil: UTF-8
	wide      *wide      // lines are in UTF-16
}

// event is what fills the gaps of a frame.
type event struct {
	offset  int64
	time    []byte // of a container's line, as is stream; JSON needs no escapes in them
	stream  string
	message []byte
}

// gap is where a field goes that differs between records.
type gap struct {
	at    int // index into text
	field field
}

// newFrame builds the frame of l's records in buf. Bytes of the path that are
// not UTF-8 become U+FFFD.
func (e *Encoder) newFrame(buf []byte, l *Lines) frame {
	f := frame{text: buf, charset: e.charset, multibyte: e.decoder(), wide: e.wide}
	for i, name := range e.fields {
		f.text = append(f.text, "{,"[min(i, 1)])
		if name != fieldMessage { // appendBytes writes that name
			f.text = append(f.text, '"')
			f.text = append(f.text, fieldNames[name]...)
			f.text = append(f.text, `":`...)
		}
		switch name {
		case fieldTime:
			if e.piece != nil {
				f.gap(name)
				continue
			}
			f.text = append(f.text, '"')
			f.text = l.Time.UTC().AppendFormat(f.text, time.RFC3339Nano)
			f.text = append(f.text, '"')
		case fieldHost:
			f.text = append(f.text, e.host...)
		case fieldFile:
			f.text, _ = appendString(f.text, []byte(l.File))
		default:
			f.gap(name)
		}
	}
	for _, m := range e.static {
		f.text = append(append(f.text, ','), m.text...)
	}
	for _, m := range e.path.members(l.File) {
		f.text = append(append(f.text, ','), m.text...)
	}
	return f
}

// gap leaves room for a field that differs between records.
func (f *frame) gap(name field) {
	f.gaps[f.n] = gap{len(f.text), name}
	f.n++
}

// appendEvent appends the record of ev but for its closing brace.
func (f *frame) appendEvent(dst []byte, ev *event) []byte {
	at := 0
	for _, g := range f.gaps[:f.n] {
		dst = append(dst, f.text[at:g.at]...)
		at = g.at
		switch g.field {
		case fieldOffset:
			dst = strconv.AppendInt(dst, ev.offset, 10)
		case fieldTime:
			dst = append(append(append(dst, '"'), ev.time...), '"')
		case fieldStream:
			dst = append(append(append(dst, '"'), ev.stream...), '"')
		default:
			switch {
			case f.charset != nil:
				dst = f.charset.appendBytes(dst, "message", ev.message)
			case f.multibyte != nil:
				dst = f.multibyte.appendBytes(dst, "message", ev.message)
			default:
				dst = appendBytes(dst, "message", ev.message)
			}
		}
	}
	return append(dst, f.text[at:]...)
}

// appendLine is appendEvent for l.Data[from:to]: a line, a part of one, or
// several lines.
func (f *frame) appendLine(dst []byte, l *Lines, from, to int) []byte {
	ev := event{offset: l.From + int64(from), message: l.Data[from:to]}
	if f.wide != nil {
		if bytes.HasPrefix(l.Data[to:], f.wide.newline[:]) {
			ev.message = bytes.TrimSuffix(ev.message, f.wide.cr[:])
		}
		return f.appendEvent(dst, &ev)
	}
	// A part before the last has no newline behind it, and keeps its '\r'.
	if to < len(l.Data) && l.Data[to] == '\n' && to > from && l.Data[to-1] == '\r' {
		ev.message = ev.message[:to-from-1]
	}
	return f.appendEvent(dst, &ev)
}

// appendText fills one frame again and again.
func (e *Encoder) appendText(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	var buf [1024]byte // on the stack; enough unless the path is very long
	f := e.newFrame(buf[:0], l)
	for i := 0; i < len(l.Data); {
		end := e.eventEnd(l, i)
		if end-i > e.maxLine || i == 0 && l.Part > 0 || l.Cut && end == len(l.Data) {
			dst = e.appendParts(dst, l, &f, nil, i, end, &c)
		} else {
			dst = f.appendLine(dst, l, i, end)
			dst = append(dst, "}\n"...)
			c.Records++
		}
		i = end + 1
		if e.wide != nil {
			i++
		}
	}
	return dst, c
}
