package bucket

import (
	"fmt"
	"io"
)

// Stream is a run of lines that must arrive once each and in this order: one
// generation of one file.
type Stream struct {
	Input  string
	Format Format
	// File restricts the stream to text records of this path. It is needed
	// where other streams of the input may hold equal lines.
	File    string
	Name    string   // for reports
	Lines   [][]byte // without newlines
	MaxLine int      // max_line_size in bytes: longer lines arrive in parts; 0: none is
}

// Result is the outcome of a comparison. Lines are counted as often as they
// were written; of a line that arrives in parts, each part counts.
type Result struct {
	Written, Delivered         int64
	Lost, Duplicated, Foreign  int64 // Foreign: records of no written line
	Reordered                  int64
	LineBytes, Objects, Stored int64
	Problems                   []string // of the bucket itself
	Details                    []string // the first of each kind of difference
}

// OK says that everything arrived exactly once, in order.
func (r *Result) OK() bool {
	return r.Lost == 0 && r.Duplicated == 0 && r.Foreign == 0 && r.Reordered == 0 &&
		len(r.Problems) == 0 && r.Delivered == r.Written
}

// Print writes what is wrong, one line each.
func (r *Result) Print(w io.Writer) {
	for _, s := range append(r.Problems, r.Details...) {
		fmt.Fprintln(w, "  "+s)
	}
}

// place is where a line belongs.
type place struct{ stream, at int32 }

// occurrences are the places of equal lines, and the objects they were found in.
type occurrences struct {
	want []place
	got  []int32
}

// comparison is the working state of Compare.
type comparison struct {
	streams []Stream
	objects []Object
	wanted  [][][]byte // per stream: its lines in canonical form, long ones in parts
	lines   map[string]*occurrences
	formats map[string]Format
	last    []int32   // per stream: the newest line that was delivered
	found   [][]int32 // per stream and line: object index + 1; 0: missing
	result  Result
}

// maxDetails bounds the report of each kind of difference.
const maxDetails = 5

// Compare checks objects against everything that was written. It sorts objects.
func Compare(streams []Stream, objects []Object) *Result {
	c := &comparison{streams: streams, objects: objects, lines: map[string]*occurrences{}, formats: map[string]Format{}}
	c.result.Problems = Audit(objects)
	c.result.Objects = int64(len(objects))
	c.expect()
	for i := range objects {
		c.result.Stored += objects[i].Size
		for _, rec := range objects[i].Records {
			c.deliver(int32(i), rec)
		}
	}
	c.missing()
	c.repeated()
	return &c.result
}

// key identifies a line; input names and paths hold no NUL.
func key(input, file string, line []byte) string {
	return input + "\x00" + file + "\x00" + string(line)
}

func (c *comparison) expect() {
	for i, s := range c.streams {
		c.formats[s.Input] = s.Format
		c.last = append(c.last, -1)
		parts := make([][]byte, 0, len(s.Lines))
		for _, l := range s.Lines {
			parts = append(parts, expected(l, s.MaxLine)...)
			c.result.LineBytes += int64(len(l)) + 1
		}
		for at, l := range parts {
			k := key(s.Input, s.File, l)
			o := c.lines[k]
			if o == nil {
				o = &occurrences{}
				c.lines[k] = o
			}
			o.want = append(o.want, place{int32(i), int32(at)})
		}
		c.result.Written += int64(len(parts))
		c.wanted = append(c.wanted, parts)
		c.found = append(c.found, make([]int32, len(parts)))
	}
}

// deliver matches one record with the line it stands for. The n-th record of
// equal lines stands for the n-th of them.
func (c *comparison) deliver(object int32, rec []byte) {
	c.result.Delivered++
	name := c.objects[object].Key.Input
	l, file, err := line(c.formats[name], rec)
	if err != nil {
		c.foreign(object, err.Error())
		return
	}
	o := c.lines[key(name, file, l)]
	if o == nil {
		o = c.lines[key(name, "", l)]
	}
	if o == nil {
		c.foreign(object, fmt.Sprintf("a record of no written line: %.200q", rec))
		return
	}
	o.got = append(o.got, object)
	if n := len(o.got); n <= len(o.want) {
		c.order(o.want[n-1], object)
	}
}

// order checks that a stream's lines arrive in their order.
func (c *comparison) order(p place, object int32) {
	c.found[p.stream][p.at] = object + 1
	if p.at < c.last[p.stream] {
		if c.result.Reordered++; c.result.Reordered <= maxDetails {
			c.detail("reordered: %s line %d comes after line %d, in %s", c.streams[p.stream].Name, p.at, c.last[p.stream], c.objects[object].Name)
		}
		return
	}
	c.last[p.stream] = p.at
}

func (c *comparison) foreign(object int32, what string) {
	if c.result.Foreign++; c.result.Foreign <= maxDetails {
		c.detail("foreign: %s: %s", c.objects[object].Name, what)
	}
}

// missing reports lines that no record stands for, with the object that holds
// the line before the gap.
func (c *comparison) missing() {
	for i, found := range c.found {
		before := "no object"
		for at, object := range found {
			if object > 0 {
				before = c.objects[object-1].Name
				continue
			}
			if c.result.Lost++; c.result.Lost <= maxDetails {
				c.detail("lost: %s line %d, after %s: %.200q", c.streams[i].Name, at, before, c.wanted[i][at])
			}
		}
	}
}

// repeated reports lines that more records stand for than were written.
func (c *comparison) repeated() {
	for i, s := range c.streams {
		for at, l := range c.wanted[i] {
			o := c.lines[key(s.Input, s.File, l)]
			extra := len(o.got) - len(o.want)
			if extra <= 0 {
				continue
			}
			if c.result.Duplicated < maxDetails {
				c.detail("duplicated: %s line %d, %d times in %s", s.Name, at, len(o.got), c.names(o.got))
			}
			c.result.Duplicated += int64(extra)
			o.got = o.got[:len(o.want)] // counted
		}
	}
}

func (c *comparison) names(objects []int32) string {
	s := ""
	for i, o := range objects {
		if i > 0 {
			s += ", "
		}
		s += c.objects[o].Name
	}
	return s
}

func (c *comparison) detail(format string, args ...any) {
	c.result.Details = append(c.result.Details, fmt.Sprintf(format, args...))
}
