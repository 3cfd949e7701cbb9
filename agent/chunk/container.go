package chunk

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// The streams of a container.
var streams = [...]string{"stdout", "stderr"}

// piece is one line of a container's log: a line of its output, or a piece of a
// longer one.
type piece struct {
	time   []byte
	stream int    // index into streams
	text   []byte // without a newline
	attrs  []byte // Docker: a JSON object of labels and variables; nil: none
	more   bool   // the line goes on with the next piece of the stream
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

// timeLike reports whether b has only what an RFC 3339 time consists of.
func timeLike(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && bytes.IndexByte([]byte("-:.+TZ"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// dockerPiece reads a line of Docker's json-file driver: an object with log,
// stream and time, maybe attrs, and maybe others. log ends with a newline unless
// it is a piece that is not the last.
func dockerPiece(line []byte) (p piece, complete bool) {
	if at, f := scanLine(line, 0); f != ok || at < len(line) {
		return p, false
	}
	p.stream = -1
	var inside []byte
	for i := skipSpace(line, 0); line[i] != '}'; {
		i = skipSpace(line, i+1)
		if line[i] == '}' {
			break
		}
		end, _ := scanString(line, i+1)
		key := line[i+1 : end-1]
		i = skipSpace(line, skipSpace(line, end)+1)
		end, _ = scanValue(line, i, 0)
		switch value := line[i:end]; {
		case value[0] == '{' && string(key) == "attrs":
			p.attrs = value
		case value[0] != '"':
		case string(key) == "log":
			inside = value[1 : len(value)-1]
		case string(key) == "stream":
			p.stream = streamOf(value[1 : len(value)-1])
		case string(key) == "time":
			p.time = value[1 : len(value)-1]
		}
		i = skipSpace(line, end)
	}
	if inside == nil || p.stream < 0 || !timeLike(p.time) {
		return p, false
	}
	p.text = unescape(nil, inside)
	text, newline := bytes.CutSuffix(p.text, []byte{'\n'})
	p.text, p.more = text, !newline
	return p, true
}

// item is what a container wrote as one line, or event of several lines, or a
// part of such; or a line of the file that is none of a container.
type item struct {
	flags  byte
	stream int
	offset int64 // of its first byte in the file
	end    int64 // behind its last one
	part   int   // if flags has itemPart
	time   []byte
	attrs  []byte
	text   []byte
}

const (
	itemRaw  = 1 << iota // not a line of a container
	itemPart             // part of a line
	itemLast             // with itemPart: the last one
	itemNext             // the line behind it has ended it
)

// appendItem appends the encoding of it, which nextItem reads: the length of what
// follows in four bytes, flags, stream, uvarints of offset, length and part,
// time and attrs with their lengths before, and text.
func appendItem(dst []byte, it *item) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = append(dst, it.flags, byte(it.stream))
	dst = binary.AppendUvarint(dst, uint64(it.offset))
	dst = binary.AppendVarint(dst, it.end-it.offset)
	dst = binary.AppendUvarint(dst, uint64(it.part))
	dst = append(binary.AppendUvarint(dst, uint64(len(it.time))), it.time...)
	dst = append(binary.AppendUvarint(dst, uint64(len(it.attrs))), it.attrs...)
	dst = append(dst, it.text...)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// nextItem reads the item at b[i], which appendItem wrote, and returns where the
// next one begins.
func nextItem(b []byte, i int) (it item, next int) {
	next = i + 4 + int(binary.LittleEndian.Uint32(b[i:]))
	r := reader{b: b[i+4 : next]}
	it.flags, it.stream = r.byte(), int(r.byte())
	it.offset = int64(r.uvarint())
	it.end = it.offset + r.varint()
	it.part = int(r.uvarint())
	it.time, it.attrs = r.bytes(), r.bytes()
	it.text = r.b
	return it, next
}

// reader takes values off the front of b; bad is set by the first that is not there.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad = r.bad || n <= 0; r.bad {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad = r.bad || n <= 0; r.bad {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.bad = r.bad || n > uint64(len(r.b)); r.bad {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// Wrapped is a run of whole lines of a container's log, of which [Encoder.Unwrap]
// makes the lines that the container wrote.
type Wrapped struct {
	Lines []byte // with their newlines, which the last may lack with All
	From  int64  // offset of Lines[0] in the file
	Part  int    // number of the part that Lines begins with; 0: a line's start
	Cut   bool   // as in Lines
	More  bool   // the file has more than Lines
	Carry []byte // Next of the call before
	Now   int64  // ns since 1970
	Wait  int64  // ns: what is held for longer is not held any more
	All   bool   // nothing is held: no more will come
	Take  bool   // all of Lines is taken

	// Results. Items and Next are appended to.
	Items []byte // for Lines.Data
	Next  []byte // what is held of lines that were taken
	Taken int    // bytes of Lines that need not come again
	Since int64  // since when the oldest text in Next is held, ns since 1970; 0: there is none
}

// maxCarry is how many bytes of a line or event are carried: they stand in the
// position of its file, which is written with each batch.
const maxCarry = 256 << 10

// open is an item that is being put together.
type open struct {
	item
	since      int64
	inLine     bool // its last line goes on
	lineAt     int  // where that one begins in text
	lineOffset int64
	lineTime   []byte
	start      int // of it in Wrapped.Lines; -1: in those of a call before
	scope      scope
}

// unwrapper is the work of one call of Unwrap.
type unwrapper struct {
	e       *Encoder
	w       *Wrapped
	open    [len(streams)]open
	line    int // where the line at hand begins in Lines; -1: there is none
	emitted int // where the last item ended in Lines
}

// Unwrap takes the lines of a container out of w.Lines. The runtime cuts long
// lines, and the streams of a container share a file: pieces are joined by
// stream, and then lines to events or objects. What ends in w.Lines goes to
// w.Items, in the order in which it ends. What does not is held in w.Next, so that
// a stream which does not end its line holds up no other. Where that would be
// more than maxCarry bytes and nothing else comes after it, it stays in the file:
// w.Taken ends before it. Otherwise, and what is held for longer than w.Wait, it
// is a part of a line.
func (e *Encoder) Unwrap(w *Wrapped) {
	u := unwrapper{e: e, w: w}
	u.load(w.Carry)
	for i := 0; i < len(w.Lines); {
		end := lineEnd(w.Lines, i)
		next := min(end+1, len(w.Lines))
		u.line = i
		p, ok := e.piece(w.Lines[i:end])
		switch {
		case end-i > e.maxLine || i == 0 && w.Part > 0 || w.Cut && end == len(w.Lines):
			u.long(i, end, next)
		case !ok:
			u.emit(&item{flags: itemRaw, offset: w.From + int64(i), text: w.Lines[i:end]}, next)
		default:
			u.add(&p, i, next)
		}
		i = next
	}
	w.Taken, u.line = len(w.Lines), -1
	u.hold()
}

// emit appends an item that ends at a byte of Lines.
func (u *unwrapper) emit(it *item, end int) {
	if u.emitted = end; end == u.line {
		it.flags |= itemNext
	}
	it.end = u.w.From + int64(end)
	u.w.Items = appendItem(u.w.Items, it)
}

// long appends a line of the file that is too long, in parts.
func (u *unwrapper) long(i, end, next int) {
	part := 0
	if i == 0 {
		part = u.w.Part
	}
	for more := true; more; part++ {
		to := i + min(end-i, u.e.maxLine)
		more = to < end
		it := item{flags: itemRaw | itemPart, offset: u.w.From + int64(i), part: part, text: u.w.Lines[i:to]}
		if !more && (!u.w.Cut || end < len(u.w.Lines)) {
			it.flags |= itemLast
		}
		if i = to; !more {
			to = next
		}
		u.emit(&it, to)
	}
}

// add adds the piece at Lines[i:next] to the item of its stream.
func (u *unwrapper) add(p *piece, i, next int) {
	o := &u.open[p.stream]
	offset := u.w.From + int64(i)
	joined := o.inLine
	if !joined {
		if u.e.encoding == nil {
			p.text = bytes.TrimPrefix(p.text, []byte("\ufeff"))
		}
		switch {
		case o.start == idle:
		case !p.more && u.e.begins != nil && u.e.begins(p.text), len(o.text)+1+len(p.text) > u.e.maxLine:
			u.end(o, i)
		default:
			o.text = append(o.text, '\n')
		}
		o.lineAt, o.lineOffset, o.lineTime = len(o.text), offset, p.time
	}
	for o.inLine && len(o.text) > 0 && len(o.text)+len(p.text) > u.e.maxLine {
		u.cut(o, i)
	}
	if o.start == idle {
		o.begin(p, offset, u.w.Now, i)
	}
	o.text = append(o.text, p.text...)
	if o.inLine = p.more; o.inLine {
		return
	}
	if joined && o.lineAt > 0 && u.e.begins != nil && u.e.begins(o.text[o.lineAt:]) { // the whole line tells
		u.split(o, i)
		o.since = u.w.Now
	}
	switch {
	case o.part > 0:
		o.flags |= itemPart | itemLast
	case u.e.stream:
		o.scope.add(o.text[o.lineAt:])
		if o.scope.open() {
			return
		}
	case u.e.begins != nil:
		return
	}
	u.end(o, next)
}

// idle is open.start of a stream without an item.
const idle = -2

// begin begins an item, or the next part of one.
func (o *open) begin(p *piece, offset, now int64, start int) {
	o.item = item{stream: p.stream, offset: offset, part: o.part, time: p.time, attrs: p.attrs, text: o.text[:0]}
	o.since, o.start, o.scope = now, start, scope{}
	o.lineAt, o.lineOffset, o.lineTime = 0, offset, p.time
}

// end appends the item as it is.
func (u *unwrapper) end(o *open, end int) {
	u.emit(&o.item, end)
	*o = open{item: item{text: o.text[:0]}, start: idle}
}

// cut appends what there is of an item as a part of a line, or, if the line
// that it ends with began later, the lines before that one.
func (u *unwrapper) cut(o *open, end int) {
	if o.lineAt > 0 {
		u.split(o, end)
		return
	}
	o.flags |= itemPart
	u.emit(&o.item, end)
	*o = open{item: item{stream: o.stream, part: o.part + 1, text: nil}, start: idle, inLine: true}
}

// split appends the lines of an item before its last one, which begins the next item.
func (u *unwrapper) split(o *open, end int) {
	before := o.item
	before.text = o.text[:o.lineAt-1]
	u.emit(&before, end)
	o.text = o.text[o.lineAt:]
	o.offset, o.time, o.lineAt, o.scope = o.lineOffset, o.lineTime, 0, scope{}
}

// hold decides what becomes of items whose end is not there.
func (u *unwrapper) hold() {
	w := u.w
	for i := range u.open {
		o := &u.open[i]
		if o.start == idle {
			continue
		}
		due := w.All || w.Now-o.since >= w.Wait
		if !due && len(o.text) > maxCarry {
			if alone := u.open[1-i].start == idle; alone && !w.Take && o.start >= u.emitted && (o.start > 0 || !w.More) {
				w.Taken = o.start
				*o = open{item: item{part: o.part}, start: idle, inLine: o.part > 0}
				continue
			}
			due = true
		}
		switch {
		case due && o.inLine:
			for o.start != idle {
				u.cut(o, len(w.Lines))
			}
		case due:
			u.end(o, len(w.Lines))
		case w.Since == 0 || o.since < w.Since:
			w.Since = o.since
		}
	}
	if !w.All {
		u.save()
	}
}

// save appends what is open to Next: for each stream flags, part, and if there
// is text since, offset, lineAt, lineOffset, and time, attrs, lineTime and text
// with their lengths before.
func (u *unwrapper) save() {
	w := u.w
	if u.open[0].start == idle && !u.open[0].inLine && u.open[1].start == idle && !u.open[1].inLine {
		return
	}
	for i := range u.open {
		o := &u.open[i]
		var flags byte
		if o.inLine {
			flags |= 1
		}
		if o.start != idle {
			flags |= 2
		}
		w.Next = binary.AppendUvarint(append(w.Next, flags), uint64(o.part))
		if o.start == idle {
			continue
		}
		w.Next = binary.AppendVarint(w.Next, o.since)
		w.Next = binary.AppendVarint(w.Next, o.offset)
		w.Next = binary.AppendUvarint(w.Next, uint64(o.lineAt))
		w.Next = binary.AppendVarint(w.Next, o.lineOffset)
		for _, b := range [][]byte{o.time, o.attrs, o.lineTime, o.text} {
			w.Next = append(binary.AppendUvarint(w.Next, uint64(len(b))), b...)
		}
	}
}

// load is the inverse of save. Bytes that save did not write are nothing.
func (u *unwrapper) load(carry []byte) {
	r := reader{b: carry}
	for i := range u.open {
		o := &u.open[i]
		*o = open{start: idle}
		if len(carry) == 0 || r.bad {
			continue
		}
		flags := r.byte()
		o.stream, o.inLine, o.part = i, flags&1 != 0, int(r.uvarint())
		if flags&2 == 0 {
			continue
		}
		o.start, o.since, o.offset = -1, r.varint(), r.varint()
		o.lineAt, o.lineOffset = int(r.uvarint()), r.varint()
		o.time, o.attrs, o.lineTime = r.bytes(), r.bytes(), r.bytes()
		o.text = slices.Clone(r.bytes())
		if r.bad || o.lineAt < 0 || o.lineAt > len(o.text) || o.part < 0 {
			*o = open{start: idle}
			continue
		}
		if u.e.stream && !o.inLine {
			o.scope.add(o.text)
		} else if u.e.stream {
			o.scope.add(o.text[:o.lineAt])
		}
	}
}

// scope follows how deep text is nested in braces and brackets outside of
// strings. Text that does not begin with a brace is in none.
type scope struct {
	depth  int
	begun  bool
	quoted bool
	escape bool
}

func (s *scope) add(text []byte) {
	for _, c := range text {
		if !s.begun {
			if isSpace(c) || c == '\n' {
				continue
			}
			if s.begun = true; c != '{' {
				return
			}
		}
		switch {
		case s.escape:
			s.escape = false
		case s.quoted:
			s.escape, s.quoted = c == '\\', c != '"'
		case c == '"':
			s.quoted = s.depth > 0
		case c == '{' || c == '[':
			s.depth++
		case (c == '}' || c == ']') && s.depth > 0:
			s.depth--
		}
	}
}

func (s *scope) open() bool { return s.depth > 0 }

// appendItems appends the records of items.
func (e *Encoder) appendItems(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	var buf [1024]byte // on the stack; enough unless the path is very long
	f := e.newFrame(buf[:0], l)
	a := e.newAdded(l)
	conv := e.converter()
	for i := 0; i < len(l.Data); {
		var it item
		it, i = nextItem(l.Data, i)
		switch {
		case it.flags&itemRaw != 0:
			a.item = nil
			dst = e.appendOther(dst, &it, a, &c)
		case e.json:
			a.item = &it
			dst = e.appendInnerJSON(dst, l, &it, a, conv, &c)
		default:
			dst = f.appendItem(dst, &it, &c)
		}
	}
	return dst, c
}

// appendOther appends a line that is none of a container, or a part of one that
// is too long.
func (e *Encoder) appendOther(dst []byte, it *item, a *added, c *Counts) []byte {
	dst = e.appendRaw(dst, it.text)
	c.Records++
	if it.flags&itemPart != 0 {
		c.Parts++
		dst = it.appendPart(append(dst, `line longer than max_line_size"`...))
	} else {
		c.Invalid++
		dst = append(dst, `not a line of a container log"`...)
	}
	return append(a.append(dst, it.offset, 0, false), "}\n"...)
}

// appendPart appends the members that tell of a part.
func (it *item) appendPart(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `,"part":`...), int64(it.part), 10)
	if it.flags&itemLast != 0 {
		dst = append(dst, `,"last":true`...)
	}
	return dst
}

// appendItem appends the record of an item of text.
func (f *frame) appendItem(dst []byte, it *item, c *Counts) []byte {
	c.Records++
	ev := event{it.offset, it.time, streams[it.stream], it.text}
	part := it.flags&itemPart != 0
	if !part || it.flags&itemLast != 0 {
		ev.message = bytes.TrimSuffix(ev.message, []byte{'\r'})
	}
	dst = f.appendEvent(dst, &ev)
	if part {
		c.Parts++
		dst = it.appendPart(dst)
	}
	if len(it.attrs) > 0 {
		dst = append(append(dst, `,"attrs":`...), it.attrs...)
	}
	return append(dst, "}\n"...)
}

// appendInnerJSON appends the record of an item that is to be a JSON object.
func (e *Encoder) appendInnerJSON(dst []byte, l *Lines, it *item, a *added, conv *converter, c *Counts) []byte {
	if it.flags&itemPart != 0 {
		c.Records++
		c.Parts++
		dst = it.appendPart(append(e.appendRaw(dst, it.text), `part of a line"`...))
		return append(a.append(dst, it.offset, 0, false), "}\n"...)
	}
	if e.stream {
		return e.appendObjects(dst, &Lines{File: l.File, Time: l.Time, Data: it.text}, a, c)
	}
	text, valid := it.text, true
	if conv != nil {
		text, valid = conv.line(it.text)
	}
	at, f := e.scan(text, 0)
	switch {
	case !valid:
		c.Records++
		c.Invalid++
		dst = append(e.appendRaw(dst, it.text), `bytes that mean nothing in the encoding"`...)
		return append(a.append(dst, it.offset, 0, false), "}\n"...)
	case f == ok && at == len(text):
		c.Records++
		return append(e.edit(dst, bytes.TrimSuffix(text, []byte{'\r'}), a, it.offset), '\n')
	}
	return e.appendFault(dst, it.text, text, a, it.offset, at, f, c)
}

// Unwraps reports whether Unwrap makes the lines that are encoded.
func (e *Encoder) Unwraps() bool { return e.piece != nil }

// Ended returns the items that lines behind an offset of their file end; the lines
// begin at from.
func (e *Encoder) Ended(lines []byte, from, behind int64) []byte {
	w := Wrapped{Lines: lines, From: from, Wait: math.MaxInt64, Take: true}
	e.Unwrap(&w)
	for i := 0; i < len(w.Items); {
		it, next := nextItem(w.Items, i)
		if it.end > behind || it.end == behind && it.flags&itemNext != 0 {
			return w.Items[i:]
		}
		i = next
	}
	return nil
}
