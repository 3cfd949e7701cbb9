package chunk

import (
	"slices"
	"strings"
	"time"
)

// keyPattern is a key template as the parts of its keys, from left to right. It is
// matched by hand: an audit reads millions of keys, and a regular expression takes
// fifteen times as long for each.
type keyPattern []keyPart

// keyPart is a text or a variable of a template.
type keyPart struct {
	kind partKind
	text string // of literal and shape
	name string // of the variable; "" of files, fields and texts
	rest int    // the fewest bytes that all parts behind it take
}

// partKind is the kind of text that a part stands for.
type partKind uint8

// The kinds. A literal, a shape and an id have one length, the others any.
const (
	literalPart partKind = iota // this text
	shapePart                   // this text, with any digit for each 0
	id16                        // 16 hex digits in lower case
	countPart                   // digits, and perhaps a dot and the cause of a tombstone in lower case
	extPart                     // .gz, .zst or nothing
	anyValue                    // a percent-encoded value: A-Z a-z 0-9 . _ - or %XX, not empty
	anyPath                     // the same with / and ~
)

// kinds are those of the variables without an argument, dates apart.
var kinds = map[string]keyPart{
	"input":   {kind: anyValue},
	"host":    {kind: anyValue},
	"ext":     {kind: extPart},
	"queue":   {kind: id16},
	"chunk":   {kind: shapePart, text: strings.Repeat("0", 20)},
	"records": {kind: countPart},
	"id":      {kind: id16},
}

func (p *keyPattern) literal(text string) { *p = append(*p, keyPart{kind: literalPart, text: text}) }

func (p *keyPattern) variable(name string) {
	v := kinds[name]
	v.name = name
	*p = append(*p, v)
}

// time appends a time in that layout: its shape, if all times have the same one.
func (p *keyPattern) time(layout string) {
	of := func(at time.Time) string {
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return '0'
			}
			return r
		}, escapeDirs(at.Format(layout)))
	}
	at := time.Date(2001, 1, 1, 1, 1, 1, 0, time.UTC)
	first := of(at)
	v := keyPart{kind: shapePart, text: first, name: timePrefix + layout}
	for range 24 {
		at = at.AddDate(0, 1, 1).Add(time.Hour)
		if of(at) != first || len(first) == maxValue { // one that was cut has a digest in it
			v = keyPart{kind: anyPath, name: timePrefix + layout}
			break
		}
	}
	*p = append(*p, v)
}

// timePrefix begins the names of times, before their layout.
const timePrefix = "time:"

// done is called once all parts are there.
func (p keyPattern) done() {
	rest := 0
	for i := range slices.Backward(p) {
		p[i].rest = rest
		rest += p[i].least()
	}
}

// least returns the fewest bytes that the part takes.
func (p *keyPart) least() int {
	switch p.kind {
	case literalPart, shapePart:
		return len(p.text)
	case id16:
		return 16
	case extPart:
		return 0
	default:
		return 1
	}
}

// most returns the most bytes at the beginning of s that the part can take; -1 if
// it can't begin there.
func (p *keyPart) most(s string) int {
	n := 0
	switch p.kind {
	case literalPart:
		if !strings.HasPrefix(s, p.text) {
			return -1
		}
		return len(p.text)
	case shapePart:
		if len(s) < len(p.text) {
			return -1
		}
		for i := range len(p.text) {
			if c := p.text[i]; c != s[i] && (c != '0' || !isDigit(s[i])) {
				return -1
			}
		}
		return len(p.text)
	case id16:
		for n < 16 && n < len(s) && (isDigit(s[n]) || s[n] >= 'a' && s[n] <= 'f') {
			n++
		}
		if n < 16 {
			return -1
		}
		return n
	case countPart:
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		cause := n + 1
		for cause < len(s) && s[cause] >= 'a' && s[cause] <= 'z' {
			cause++
		}
		if n > 0 && n < len(s) && s[n] == '.' && cause > n+1 {
			return cause
		}
	case extPart:
		for _, suffix := range []string{".gz", ".zst"} {
			if strings.HasPrefix(s, suffix) {
				return len(suffix)
			}
		}
		return 0
	case anyValue, anyPath:
		for n < len(s) {
			switch c := s[n]; {
			case safeInKey(c), p.kind == anyPath && (c == '/' || c == '~'):
				n++
				continue
			case c == '%' && n+2 < len(s) && isUpperHex(s[n+1]) && isUpperHex(s[n+2]):
				n += 3
				continue
			}
			break
		}
	}
	if n == 0 {
		return -1
	}
	return n
}

// endsAt reports whether the part may end after n bytes of s, of at most most(s).
func (p *keyPart) endsAt(s string, n int) bool {
	switch p.kind {
	case countPart:
		return n > 0 && s[n-1] != '.'
	case extPart:
		return n == 0 || n == p.most(s)
	default:
		return n > 0 && s[n-1] != '%' && (n < 2 || s[n-2] != '%')
	}
}

func isDigit(c byte) bool    { return c-'0' < 10 }
func isUpperHex(c byte) bool { return isDigit(c) || c-'A' < 6 }

// safeInKey reports whether every tool that reads keys takes c as it is.
func safeInKey(c byte) bool {
	return c|0x20-'a' < 26 || isDigit(c) || c == '_' || c == '-' || c == '.'
}

// match finds where the parts of s begin, and the end of the last: once with each
// part as long as it can be, from the left, and once as short. Where the two agree
// there is no other way to read s.
func (p keyPattern) match(s string) (most, least []int, ok bool) {
	var few [64]uint64
	m := keyMatch{pattern: p, s: s, dead: few[:]}
	if n := len(p)*(len(s)+1)/64 + 1; n > len(few) {
		m.dead = make([]uint64, n)
	}
	at := make([]int, 2*(len(p)+1))
	most, least = at[:len(p)+1], at[len(p)+1:]
	m.at = most
	if !m.from(0, 0) {
		return nil, nil, false
	}
	m.at, m.shortest = least, true
	return most, least, m.from(0, 0)
}

// keyMatch is a match on its way. What can't be matched from a place on does not
// depend on how it was reached, and is tried once: the time is bounded by the
// parts times the square of the length, whatever the key is.
type keyMatch struct {
	pattern  keyPattern
	s        string
	shortest bool
	at       []int
	dead     []uint64 // a bit for each part and place
}

// from reports whether the parts from the i-th on match all of s from pos on.
func (m *keyMatch) from(i, pos int) bool {
	if m.at[i] = pos; i == len(m.pattern) {
		return pos == len(m.s)
	}
	p, s := &m.pattern[i], m.s[pos:]
	most := min(p.most(s), len(s)-p.rest)
	if p.kind <= id16 {
		return most == p.least() && m.from(i+1, pos+most)
	}
	bit := i*(len(m.s)+1) + pos
	if m.dead[bit/64]>>(bit%64)&1 == 1 {
		return false
	}
	for n := range most + 1 {
		if !m.shortest {
			n = most - n
		}
		if p.endsAt(s, n) && m.from(i+1, pos+n) {
			return true
		}
	}
	m.dead[bit/64] |= 1 << (bit % 64)
	return false
}
