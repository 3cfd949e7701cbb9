package chunk

import (
	"bytes"
	"math"
	"strconv"
)

// EncoderOptions configure an Encoder.
type EncoderOptions struct {
	Format      Format
	Validate    bool     // JSON: check every line strictly; otherwise only that it starts with '{' and ends with '}'
	Fields      []string // Text: which of time, host, file, offset, message, in this order; empty means all
	Host        string
	MaxLineSize int // bytes without the newline; longer lines become records of parts; 0 means no limit
}

// Encoder turns lines into records. It is immutable: any number of
// goroutines may use it.
type Encoder struct {
	format  Format
	scan    func(b []byte, i int) (int, fault) // JSON
	fields  []field                            // Text
	host    []byte                             // as a JSON string
	maxLine int
}

// NewEncoder returns an encoder. With Text it panics if o.Fields has a name
// that does not exist, or one twice: whoever reads a configuration checks that.
func NewEncoder(o EncoderOptions) *Encoder {
	e := &Encoder{format: o.Format, scan: scanBraces, maxLine: o.MaxLineSize}
	if o.Validate {
		e.scan = scanLine
	}
	if e.maxLine <= 0 {
		e.maxLine = math.MaxInt
	}
	if o.Format == Text {
		e.fields = parseFields(o.Fields)
	}
	e.host, _ = appendString(nil, []byte(o.Host))
	return e
}

// Append appends the records of l to dst, each ended by a newline. Cutting the
// same lines elsewhere gives the same records. It allocates only to grow dst.
func (e *Encoder) Append(dst []byte, l *Lines) ([]byte, Counts) {
	if e.format == Text {
		return e.appendText(dst, l)
	}
	return e.appendJSON(dst, l)
}

// appendJSON copies runs of valid lines as a whole.
func (e *Encoder) appendJSON(dst []byte, l *Lines) ([]byte, Counts) {
	var c Counts
	data, i := l.Data, 0
	if l.Part > 0 && len(data) > 0 {
		end := lineEnd(data, 0)
		dst = e.appendParts(dst, l, nil, 0, end, &c)
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
		dst = e.appendLine(dst, l, i, end, at-i, f, &c)
		i = min(end+1, len(data))
		run = i
	}
	return append(dst, data[run:]...), c
}

// appendLine appends the line l.Data[from:end], in which scan found f at byte
// at.
func (e *Encoder) appendLine(dst []byte, l *Lines, from, end, at int, f fault, c *Counts) []byte {
	line := l.Data[from:end]
	if len(line) > e.maxLine || l.Cut && end == len(l.Data) {
		return e.appendParts(dst, l, nil, from, end, c)
	}
	if f == ok {
		c.Records++
		dst = append(dst, bytes.TrimSuffix(line, []byte{'\r'})...)
		return append(dst, '\n')
	}
	if skipSpace(line, 0) == len(line) {
		c.Empty++
		return dst
	}
	c.Records++
	c.Invalid++
	if at == len(line) && f == invalidChar { // the newline, or nothing, is in the way
		f = endOfLine
	}
	dst = append(dst, '{')
	dst = appendBytes(dst, "raw", line)
	dst = append(dst, `,"error":"`...)
	dst = append(dst, faultText[f]...)
	dst = append(dst, ` at byte `...)
	dst = strconv.AppendInt(dst, int64(at), 10)
	return append(dst, "\"}\n"...)
}

// appendParts appends the line, or rest of a line, l.Data[from:end] in parts:
// with t as text, else as JSON. Only the first line of l continues a line.
func (e *Encoder) appendParts(dst []byte, l *Lines, t *frame, from, end int, c *Counts) []byte {
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
			dst = t.appendRecord(dst, l, from, to)
		} else {
			dst = append(dst, '{')
			dst = appendBytes(dst, "raw", l.Data[from:to])
			dst = append(dst, `,"error":"line longer than max_line_size"`...)
		}
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(part), 10)
		if !more && !cut {
			dst = append(dst, `,"last":true`...)
		}
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
