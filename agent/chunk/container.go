package chunk

import (
	"bytes"
	"strconv"
)

// The streams of a container.
var streams = [...]string{"stdout", "stderr"}

// piece is one line of a container's log: a line of its output, or a piece of a
// longer one.
type piece struct {
	time    []byte
	stream  int    // index into streams
	text    []byte // without a newline
	escaped bool   // text is the inside of a JSON string
	more    bool   // the line goes on with the next piece of the stream
}

func streamOf(name []byte) int {
	for i, s := range streams {
		if s == string(name) {
			return i
		}
	}
	return -1
}

// criPiece reads a line of the logs of the Container Runtime Interface: time,
// stream, tags and text with a space between each. The first of the tags, which
// are separated by colons, is P for a piece that is not the last, else F.
// https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
func criPiece(line []byte) (p piece, ok bool) {
	var stream, tags []byte
	if p.time, line, ok = bytes.Cut(line, []byte{' '}); !ok || !timeLike(p.time) {
		return p, false
	}
	if stream, line, ok = bytes.Cut(line, []byte{' '}); !ok {
		return p, false
	}
	tags, p.text, _ = bytes.Cut(line, []byte{' '}) // an empty line may have no space behind its tag
	tag, _, _ := bytes.Cut(tags, []byte{':'})
	p.stream, p.more = streamOf(stream), string(tag) == "P"
	return p, p.stream >= 0 && (p.more || string(tag) == "F")
}

// timeLike says whether b has only what an RFC 3339 time consists of.
func timeLike(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && bytes.IndexByte([]byte("-:.+TZ"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// dockerPiece reads a line of Docker's json-file driver: an object with log,
// stream and time, and maybe others. log ends with a newline unless it is a
// piece that is not the last.
func dockerPiece(line []byte) (p piece, complete bool) {
	if at, f := scanLine(line, 0); f != ok || at < len(line) {
		return p, false
	}
	p.stream, p.escaped = -1, true
	for i := skipSpace(line, 0); line[i] != '}'; {
		i = skipSpace(line, i+1)
		if line[i] == '}' {
			break
		}
		end, _ := scanString(line, i+1)
		key := line[i+1 : end-1]
		i = skipSpace(line, skipSpace(line, end)+1)
		end, _ = scanValue(line, i, 0)
		if value := line[i:end]; value[0] == '"' {
			switch inside := value[1 : len(value)-1]; string(key) {
			case "log":
				p.text = inside
			case "stream":
				p.stream = streamOf(inside)
			case "time":
				p.time = inside
			}
		}
		i = skipSpace(line, end)
	}
	if p.text == nil || p.stream < 0 || !timeLike(p.time) {
		return p, false
	}
	text, newline := bytes.CutSuffix(p.text, []byte(`\n`))
	// Behind an odd number of backslashes, it was an escaped one and an n.
	if newline && (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 0 {
		p.text = text
	} else {
		p.more = true
	}
	return p, true
}

// joined returns the end of the last line after which no stream is within a
// line of the container.
func (e *Encoder) joined(lines []byte) (whole int) {
	var open [len(streams)]bool
	for i := 0; i < len(lines); {
		end := lineEnd(lines, i)
		if p, ok := e.piece(lines[i:end]); ok {
			open[p.stream] = p.more
		}
		i = end + 1
		if open == [len(streams)]bool{} {
			whole = min(i, len(lines))
		}
	}
	return whole
}

// output is a line of a container that is being put together.
type output struct {
	event
	open bool
	part int // of the line, if it is longer than maxLine
}

// appendContainer joins pieces of lines.
func (e *Encoder) appendContainer(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	var buf [1024]byte // on the stack; enough unless the path is very long
	f := e.newFrame(buf[:0], l)
	var outputs [len(streams)]output
	var others *added // of lines that are none of a container
	for i := 0; i < len(l.Data); {
		end := lineEnd(l.Data, i)
		long := end-i > e.maxLine || i == 0 && l.Part > 0 || l.Cut && end == len(l.Data)
		p, ok := e.piece(l.Data[i:end])
		if ok && !long {
			dst = outputs[p.stream].add(dst, &f, &p, l.From+int64(i), e.maxLine, &c)
		} else {
			if others == nil {
				others = e.newAdded(l)
			}
			dst = e.appendOther(dst, l, others, i, end, long, &c)
		}
		i = end + 1
	}
	for i := range outputs {
		dst = outputs[i].end(dst, &f, &c)
	}
	return dst, c
}

// add appends the record of a line that ends with p, or takes p for later.
func (o *output) add(dst []byte, f *frame, p *piece, offset int64, maxLine int, c *Counts) []byte {
	if !o.open {
		ev := event{offset, p.time, streams[p.stream], p.text, p.escaped}
		if !p.more {
			c.Records++
			return append(f.appendEvent(dst, &ev), "}\n"...)
		}
		ev.message = o.message[:0]
		o.event, o.open, o.part = ev, true, 0
	}
	if len(o.message) > 0 && len(o.message)+len(p.text) > maxLine {
		dst = o.appendPart(dst, f, false, c)
		o.offset = offset
	}
	o.message = append(o.message, p.text...)
	if p.more {
		return dst
	}
	o.open = false
	if o.part > 0 {
		return o.appendPart(dst, f, true, c)
	}
	c.Records++
	return append(f.appendEvent(dst, &o.event), "}\n"...)
}

// end appends what there is of a line whose end is not there.
func (o *output) end(dst []byte, f *frame, c *Counts) []byte {
	if !o.open {
		return dst
	}
	return o.appendPart(dst, f, false, c)
}

func (o *output) appendPart(dst []byte, f *frame, last bool, c *Counts) []byte {
	dst = append(f.appendEvent(dst, &o.event), `,"part":`...)
	dst = strconv.AppendInt(dst, int64(o.part), 10)
	if last {
		dst = append(dst, `,"last":true`...)
	}
	o.message = o.message[:0]
	o.part++
	c.Records++
	c.Parts++
	return append(dst, "}\n"...)
}

// appendOther appends a line that is none of a container, or too long for one.
func (e *Encoder) appendOther(dst []byte, l *Lines, a *added, from, end int, long bool, c *Counts) []byte {
	if long {
		return e.appendParts(dst, l, nil, a, from, end, c)
	}
	c.Records++
	c.Invalid++
	dst = append(e.appendRaw(dst, l.Data[from:end]), `not a line of a container log"`...)
	return append(a.append(dst, l.From+int64(from), 0, false), "}\n"...)
}
