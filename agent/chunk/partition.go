package chunk

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
)

// PartitionOptions configure a Partitioner.
type PartitionOptions struct {
	Template  *Template
	Prefix    string // of all keys
	Vars      KeyVars
	Encoder   *Encoder // that makes the records
	TimeField string   // dotted path of a record's time; "": the time a line was read
	Times     *Times   // of that field; nil: the zero value's
}

// Partitioner says which key each line's record belongs under. It keeps what
// it has found out; one goroutine.
type Partitioner struct {
	o       PartitionOptions
	lines   bool // the lines' content decides
	known   map[string]string
	probe   []byte
	vars    KeyVars
	hits    []found // of the line at hand
	line    []byte  // that one, if it was several
	convert *converter
	added   []found // what is added to the records of file, by field of the template
	file    string
}

// found is the value of a path in a line; nil if there is none.
type found []byte

// Run is a run of lines that belong under one key.
type Run struct {
	Key         string // late variables are left in it
	From, To    int    // bytes of Lines.Data
	First, Last int64  // ns since 1970: their time range
	Untimed     int64  // lines without a time in TimeField
	End         int64  // offset behind the lines in their file
}

// maxKnown bounds the memory of a partitioner.
const maxKnown = 4096

// NewPartitioner returns a partitioner, or nil if all lines that are read at one
// time have one key.
func NewPartitioner(o PartitionOptions) *Partitioner {
	if o.Times == nil {
		o.Times = &Times{}
	}
	p := &Partitioner{o: o, known: make(map[string]string), vars: o.Vars}
	p.lines = len(o.Template.fields) > 0 && (o.Encoder.json || o.Encoder.piece != nil) || o.TimeField != ""
	if !p.lines && !o.Template.Splits() {
		return nil
	}
	p.hits, p.added = make([]found, 1+len(o.Template.fields)), make([]found, len(o.Template.fields))
	p.convert = o.Encoder.converter()
	p.vars.Fields = make([]string, len(o.Template.fields))
	return p
}

// Split calls yield for each run of lines of l that belong under one key, in
// their order. Lines that are not records as they are, such as invalid ones and
// parts of long ones, have the time they were read and no fields but those that
// are added to every record. The error is that of Template.Expand.
func (p *Partitioner) Split(l *Lines, yield func(Run)) error {
	var run Run
	p.lookAt(l.File)
	for i := 0; i < len(l.Data); {
		end, behind := len(l.Data), l.From+int64(len(l.Data))
		at, untimed := l.Time, int64(0)
		clear(p.hits)
		if p.o.Encoder != nil && p.o.Encoder.piece != nil {
			at, untimed, end, behind = p.lookItem(l, i)
		} else if p.lines {
			end = p.look(l, i)
			behind = l.From + int64(end)
			at, untimed = p.time(l, skipBlank(l.Data[:end], i) == end)
		}
		key, err := p.key(l, at)
		if err != nil {
			return err
		}
		ns := at.UnixNano()
		if i > 0 && key == run.Key {
			run.To, run.End, run.First, run.Last = end, behind, min(run.First, ns), max(run.Last, ns)
			run.Untimed += untimed
		} else {
			if i > 0 {
				yield(run)
			}
			run = Run{Key: key, From: i, To: end, End: behind, First: ns, Last: ns, Untimed: untimed}
		}
		i = end
	}
	if len(l.Data) > 0 {
		yield(run)
	}
	return nil
}

// Overflow returns the key for lines whose own keys are too many: that of lines
// that were read at that time and have neither file nor fields.
func (p *Partitioner) Overflow(at time.Time) (string, error) {
	vars := p.o.Vars
	vars.Time, vars.File, vars.Fields = at, "", make([]string, len(p.o.Template.fields))
	return p.o.Template.Expand(p.o.Prefix, vars)
}

// time returns the time of the line whose values were found.
func (p *Partitioner) time(l *Lines, blank bool) (at time.Time, untimed int64) {
	if p.o.TimeField == "" {
		return l.Time, 0
	}
	if at, ok := p.o.Times.Read(text(p.hits[0]), l.Time); ok {
		return at, 0
	}
	if blank {
		return l.Time, 0
	}
	return l.Time, 1
}

// lookItem is look for the line of a container: its stream, and its time, are
// found under these names unless the line has them itself. behind is where it
// ends in the file.
func (p *Partitioner) lookItem(l *Lines, i int) (at time.Time, untimed int64, next int, behind int64) {
	it, next := nextItem(l.Data, i)
	if it.flags&itemRaw != 0 {
		at, untimed = p.time(l, false)
		return at, untimed, next, it.end
	}
	e := p.o.Encoder
	if line, valid := it.text, e.json && it.flags&itemPart == 0; valid {
		if e.stream {
			p.lookStream(&Lines{Data: line}, 0)
		} else {
			if p.convert != nil {
				line, valid = p.convert.line(line)
			}
			if end, f := e.scan(line, 0); valid && f == ok && end == len(line) {
				p.find(line, 0)
			}
		}
	}
	for k, path := range p.o.Template.fields {
		if path == streamName && p.hits[1+k] == nil {
			p.hits[1+k] = []byte(`"` + streams[it.stream] + `"`)
		}
	}
	if p.hits[0] == nil && p.o.TimeField == timeName {
		if at, ok := (&Times{skew: p.o.Times.skew}).Read(string(it.time), l.Time); ok {
			return at, 0, next, it.end
		}
	}
	at, untimed = p.time(l, skipBlank(it.text, 0) == len(it.text))
	return at, untimed, next, it.end
}

// lookAt finds the values that are added to all records of a file.
func (p *Partitioner) lookAt(file string) {
	if p.file == file {
		return
	}
	p.file = file
	for k, name := range p.o.Template.fields {
		p.added[k] = p.o.Encoder.always(file, name)
	}
}

// look finds the values of the line at l.Data[i], if that becomes a record as it
// is, and returns where the next one begins.
func (p *Partitioner) look(l *Lines, i int) int {
	if p.o.Encoder.stream {
		return p.lookStream(l, i)
	}
	end, next := p.o.Encoder.lineEnd(l.Data, i)
	if i == 0 && l.Part > 0 || l.Cut && end == len(l.Data) || end-i > p.o.Encoder.maxLine {
		return next
	}
	if p.convert != nil {
		if line, valid := p.convert.line(l.Data[i:end]); valid {
			if at, f := p.o.Encoder.scan(line, 0); f == ok && at == len(line) {
				p.find(line, 0)
			}
		}
		return next
	}
	if at, f := p.o.Encoder.scan(l.Data[:end], i); f == ok && at == end {
		p.find(l.Data[:end], i)
	}
	return next
}

// lookStream finds the values of the item at l.Data[i], if that is an object, and
// returns where the next one begins.
func (p *Partitioner) lookStream(l *Lines, i int) (next int) {
	if i == 0 && l.Part > 0 {
		return skipBlank(l.Data, restEnd(l.Data))
	}
	start := skipBlank(l.Data, i)
	if start == len(l.Data) {
		return start
	}
	it := p.o.Encoder.next(l.Data, start)
	switch {
	case it.lines:
		p.line = compact(p.line[:0], l.Data[start:it.end])
		p.find(p.line, 0)
	case it.fault == ok:
		p.find(l.Data[:it.end], start)
	}
	return skipBlank(l.Data, it.end)
}

// find finds the values of the object that line[i:] is.
func (p *Partitioner) find(line []byte, i int) {
	start := skipSpace(line, i) + 1 // behind the opening brace
	if p.o.TimeField != "" {
		p.hits[0] = find(line, start, p.o.TimeField)
	}
	for k, path := range p.o.Template.fields {
		p.hits[1+k] = find(line, start, path)
	}
}

// key returns the key for what was found in a line.
func (p *Partitioner) key(l *Lines, at time.Time) (string, error) {
	t := p.o.Template
	b := p.probe[:0]
	if t.timed {
		b = binary.AppendVarint(b, at.Unix()/int64(t.step/time.Second))
	}
	if t.byFile {
		b = append(append(b, l.File...), 0)
	}
	for k, v := range p.added {
		if p.hits[1+k] == nil { // what the line has itself wins
			p.hits[1+k] = v
		}
	}
	for _, v := range p.hits[1:] {
		b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
	}
	p.probe = b
	if key, ok := p.known[string(b)]; ok {
		return key, nil
	}
	p.vars.Time, p.vars.File = at, l.File
	for k, v := range p.hits[1:] {
		p.vars.Fields[k] = text(v)
	}
	key, err := t.Expand(p.o.Prefix, p.vars)
	if err != nil {
		return "", err
	}
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[string(b)] = key
	return key, nil
}

// find returns the value at a dotted path in the object whose opening brace is
// before b[i]; nil if it is not there. As with fields to drop, a dot stands for
// a step down or for a dot in a key. Of a key that is there twice the last one
// counts, as readers of JSON have it.
func find(b []byte, i int, path string) (hit []byte) {
	var keyBuf [64]byte
	from := -1 // length of the key that has hit
	for {
		start := skipSpace(b, i) + 1
		if start > len(b) || b[start-1] != '"' {
			return hit
		}
		behind, f := scanString(b, start)
		if f != ok {
			return hit
		}
		key := unescape(keyBuf[:0], b[start:behind-1])
		colon := skipSpace(b, behind)
		if colon >= len(b) || b[colon] != ':' {
			return hit
		}
		i = skipSpace(b, colon+1)
		end, f := scanValue(b, i, 1)
		if f != ok {
			return hit
		}
		if rest, found := strings.CutPrefix(path, string(key)); found && (rest == "" || rest[0] == '.') {
			var v []byte
			switch {
			case rest == "":
				v = b[i:end]
			case b[i] == '{':
				v = find(b[:end], i+1, rest[1:])
			}
			if v != nil || from == len(key) {
				hit, from = v, len(key)
			}
		}
		if end = skipSpace(b, end); end >= len(b) || b[end] != ',' {
			return hit
		}
		i = end + 1
	}
}

// text is what stands in a key for a JSON value: strings as they are, numbers
// and booleans as they are written; "" for everything else.
func text(v []byte) string {
	if len(v) == 0 || v[0] == '{' || v[0] == '[' || v[0] == 'n' {
		return ""
	}
	if v[0] != '"' {
		return string(v)
	}
	if !bytes.Contains(v, []byte{'\\'}) {
		return string(v[1 : len(v)-1])
	}
	var s string
	_ = json.Unmarshal(v, &s) // v was scanned
	return s
}
