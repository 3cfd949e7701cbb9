package chunk

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// EncoderOptions configure an Encoder.
type EncoderOptions struct {
	Format      Format
	InnerJSON   bool                   // CRI, Docker: the lines that the container wrote are JSON, else text
	Validate    bool                   // JSON: check every line strictly; otherwise only that it starts with '{' and ends with '}'
	Stream      bool                   // JSON, with Validate: objects may have several lines, or follow each other on one
	Fields      []string               // which of time, stream, host, file, offset, message, in this order; empty means all, JSON: none; stream only for CRI and Docker
	Static      map[string]any         // added to every record: strings, bools, int64 and float64
	Path        *PathFields            // added to every record
	Drop, Mask  []string               // JSON, with Validate: dotted paths of members to leave out, or whose values to replace
	Charset     encoding.Encoding      // of the lines; nil: UTF-8. It must have ASCII's newline, or be UTF-16 with an order of bytes
	Begins      func(line []byte) bool // Text: which lines begin an event; nil: all
	Host        string
	MaxLineSize int // bytes without the newline; longer lines become records of parts; 0 means no limit
}

// Encoder turns lines into records. It is immutable: any number of
// goroutines may use it.
type Encoder struct {
	format   Format
	json     bool                               // records are made of JSON lines, in a container or not
	scan     func(b []byte, i int) (int, fault) // JSON
	fields   []field
	host     []byte // as a JSON string
	maxLine  int
	begins   func(line []byte) bool
	encoding encoding.Encoding               // nil: UTF-8
	charset  *charset                        // of one byte a character
	bytes    encoding.Encoding               // of several bytes a character
	wide     *wide                           // UTF-16
	piece    func(line []byte) (piece, bool) // CRI, Docker

	hostName string
	static   []member
	path     *PathFields
	rules    []pathRule
	stream   bool // JSON
	edits    bool // JSON records differ from their lines

	perLine, paths int64 // of PerLine: bytes of all files, and how often the path is added
}

// NewEncoder returns an encoder. It panics if o.Fields has a name that does
// not exist, or one twice, or if JSON is to be changed, or is a stream, that is
// not validated, or if events of several lines are in UTF-16: whoever reads a configuration checks that.
func NewEncoder(o EncoderOptions) *Encoder {
	e := &Encoder{format: o.Format, scan: scanBraces, maxLine: o.MaxLineSize, begins: o.Begins}
	e.json = o.Format == JSON || o.Format != Text && o.InnerJSON
	if o.Validate {
		e.scan = scanLine
	}
	if e.maxLine <= 0 {
		e.maxLine = math.MaxInt
	}
	switch o.Format {
	case CRI:
		e.piece = criPiece
	case Docker:
		e.piece = dockerPiece
	}
	e.setCharset(o.Charset)
	if o.Format != JSON || len(o.Fields) > 0 {
		e.fields = parseFields(o.Fields, e.piece != nil, e.json)
	}
	e.host, _ = appendString(nil, []byte(o.Host))
	e.hostName, e.static, e.path, e.rules = o.Host, newMembers(o.Static), o.Path, pathRules(o.Drop, o.Mask)
	e.edits = e.json && (e.piece != nil || len(e.fields)+len(e.static)+len(e.path.Names())+len(e.rules) > 0)
	if e.wide != nil && (e.begins != nil || e.maxLine%2 == 1 && o.MaxLineSize > 0) {
		panic("chunk: lines of UTF-16 are events, and have an even limit")
	}
	e.stream = e.json && o.Stream
	if e.stream && e.encoding != nil {
		panic("chunk: where an object ends is known in UTF-8 only")
	}
	if e.stream && !o.Validate {
		panic("chunk: where an object ends can't be known without validation")
	}
	if e.json && e.begins != nil {
		panic("chunk: events of several lines are text")
	}
	if len(e.fields)+len(e.static)+len(e.path.Names())+1 > maxAdded { // attrs
		panic("chunk: too many fields are added")
	}
	if e.edits && (!o.Validate || slices.Contains(e.fields, fieldMessage)) {
		panic("chunk: only validated lines can be changed, and get no message")
	}
	e.measure()
	return e
}

func (e *Encoder) setCharset(c encoding.Encoding) {
	e.encoding = c
	switch c {
	case nil:
		return
	case unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM):
		e.wide = wideLE
	case unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM):
		e.wide = wideBE
	}
	if m, one := c.(*charmap.Charmap); one {
		e.charset = newCharset(m)
		return
	}
	e.bytes = c
}

// decoder returns a decoder for one goroutine, if e needs one.
func (e *Encoder) decoder() *multibyte {
	if e.bytes == nil {
		return nil
	}
	return &multibyte{decoder: e.bytes.NewDecoder()}
}

// Mark returns the byte order mark that is left out where a file begins with it.
func (e *Encoder) Mark() []byte {
	switch {
	case e.wide != nil:
		return e.wide.mark[:]
	case e.encoding == nil:
		return []byte("\ufeff")
	case e.encoding == simplifiedchinese.GB18030:
		return []byte("\x84\x31\x95\x33")
	}
	return nil
}

// Append appends the records of l to dst, each ended by a newline. Cutting the
// same lines elsewhere gives the same records, if it is where an event ends. It allocates only to grow dst,
// and a little a call for fields that are added.
func (e *Encoder) Append(dst []byte, l *Lines) ([]byte, Counts) {
	dst, c, verbatim := e.appendUnless(dst, l)
	if verbatim {
		dst = append(dst, l.Data...)
	}
	return dst, c
}

// Encode returns what Append appends. That is l.Data itself where each line is
// its record byte for byte; else it is in *scratch, whose bytes are replaced.
func (e *Encoder) Encode(scratch *[]byte, l *Lines) ([]byte, Counts) {
	dst, c, verbatim := e.appendUnless((*scratch)[:0], l)
	if verbatim {
		return l.Data, c
	}
	*scratch = dst
	return dst, c
}

// appendUnless is Append, unless l's records are verbatim l.Data: then it
// appends nothing and says so.
func (e *Encoder) appendUnless(dst []byte, l *Lines) (_ []byte, c Counts, verbatim bool) {
	switch {
	case e.format == Text:
		dst, c = e.appendText(dst, l)
	case e.piece != nil:
		dst, c = e.appendItems(dst, l)
	case e.encoding != nil:
		dst, c = e.appendConverted(dst, l)
	case e.stream:
		dst, c = e.appendStream(dst, l)
	case e.edits:
		dst, c = e.appendEdited(dst, l)
	default:
		return e.appendJSON(dst, l)
	}
	return dst, c, false
}

// appendEdited is appendJSON for records that differ from their lines.
func (e *Encoder) appendEdited(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	a := e.newAdded(l)
	data, i := l.Data, 0
	if l.Part > 0 && len(data) > 0 {
		end := lineEnd(data, 0)
		dst = e.appendParts(dst, l, nil, a, 0, end, &c)
		i = end + 1
	}
	for i < len(data) {
		at, f := e.scan(data, i)
		end := at
		if f != ok {
			end = lineEnd(data, i)
		}
		dst = e.appendLine(dst, l, a, i, end, at-i, f, &c)
		i = end + 1
	}
	return dst, c
}

// appendJSON copies runs of valid lines as a whole, and none if that is all.
func (e *Encoder) appendJSON(dst []byte, l *Lines) (_ []byte, c Counts, verbatim bool) {
	data, i := l.Data, 0
	if l.Part > 0 && len(data) > 0 {
		end := lineEnd(data, 0)
		dst = e.appendParts(dst, l, nil, nil, 0, end, &c)
		i = min(end+1, len(data))
	}
	// Most lines are valid and are copied together, as data[run:i], once one
	// comes that is not a record byte for byte.
	run := i
	for i < len(data) {
		at, f := e.scan(data, i)
		if f == ok && at < len(data) && at-i <= e.maxLine && data[at-1] != '\r' {
			c.Records++
			i = at + 1
			continue
		}
		dst = append(dst, data[run:i]...)
		end := at
		if f != ok {
			end = lineEnd(data, i)
		}
		dst = e.appendLine(dst, l, nil, i, end, at-i, f, &c)
		i = min(end+1, len(data))
		run = i
	}
	if run == 0 {
		return dst, c, true
	}
	return append(dst, data[run:]...), c, false
}

// appendLine appends the line l.Data[from:end], in which scan found f at byte
// at. With a, it is edited.
func (e *Encoder) appendLine(dst []byte, l *Lines, a *added, from, end, at int, f fault, c *Counts) []byte {
	line := l.Data[from:end]
	if len(line) > e.maxLine || l.Cut && end == len(l.Data) {
		return e.appendParts(dst, l, nil, a, from, end, c)
	}
	if f == ok {
		c.Records++
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if a != nil {
			dst = e.edit(dst, line, a, l.From+int64(from))
		} else {
			dst = append(dst, line...)
		}
		return append(dst, '\n')
	}
	return e.appendFault(dst, line, line, a, l.From+int64(from), at, f, c)
}

// appendFault appends the record of a line that is not a JSON object, or none if
// it is empty. text is the line in UTF-8, in which scan found f at byte at.
func (e *Encoder) appendFault(dst, line, text []byte, a *added, offset int64, at int, f fault, c *Counts) []byte {
	if skipSpace(text, 0) == len(text) {
		c.Empty++
		return dst
	}
	c.Records++
	c.Invalid++
	if f == ok { // a newline follows, of a character that is none in the file
		f = afterObject
	}
	if at == len(text) && f == invalidChar { // the newline, or nothing, is in the way
		f = endOfLine
	}
	dst = e.appendRaw(dst, line)
	dst = append(dst, faultText[f]...)
	dst = append(dst, ` at byte `...)
	dst = strconv.AppendInt(dst, int64(at), 10)
	dst = a.append(append(dst, '"'), offset, 0, false)
	return append(dst, "}\n"...)
}

// appendRaw begins the record of bytes that are not a JSON object, up to the
// error's text. What can't be searched for values that must not leave the host
// stays there: no digest of it either, which would confirm a guess.
func (e *Encoder) appendRaw(dst, line []byte) []byte {
	dst = append(dst, '{')
	if len(e.rules) > 0 {
		dst = append(dst, `"raw_withheld":`...)
		dst = strconv.AppendInt(dst, int64(len(line)), 10)
	} else {
		dst = e.appendLineBytes(dst, "raw", line)
	}
	return append(dst, `,"error":"`...)
}

// appendParts appends the line, or rest of a line, l.Data[from:end] in parts:
// with t as text, else as JSON with the members of a. Only the first line of l
// continues a line.
func (e *Encoder) appendParts(dst []byte, l *Lines, t *frame, a *added, from, end int, c *Counts) []byte {
	part := 0
	if from == 0 {
		part = l.Part
	}
	cut := l.Cut && end == len(l.Data)
	// Even an empty rest is a part: it says that the part before was the last.
	for more := true; more; part++ {
		to := from + min(end-from, e.maxLine)
		more = to < end
		if t != nil {
			dst = t.appendLine(dst, l, from, to)
		} else {
			dst = e.appendRaw(dst, l.Data[from:to])
			dst = append(dst, `line longer than max_line_size"`...)
		}
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(part), 10)
		if !more && !cut {
			dst = append(dst, `,"last":true`...)
		}
		dst = a.append(dst, l.From+int64(from), 0, false)
		dst = append(dst, "}\n"...)
		from = to
		c.Records++
		c.Parts++
	}
	return dst
}

// lineEnd returns the index of the newline that ends the line at b[i], or
// len(b).
func lineEnd(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(b)
}
