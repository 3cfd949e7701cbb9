package chunk

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Key is what an object key says of its object.
type Key struct {
	Input   string // "" if the template has no {input}
	Host    string // "" if the template has no {host}
	Queue   string // 16 hex digits
	Chunk   uint64
	Records int64
	Cause   string // of a tombstone: why it has no records; "" for a chunk of records
	ID      string // 16 hex digits
	Ext     string // of {ext}: the suffix of the codec
	// From and To bound the times that the key stands for: From <= t < To. Both
	// are zero if the template does not tell one hour of a year from all others.
	From, To time.Time
}

// KeyParser reads keys that a template made: the inverse of Template.Expand
// and of filling in {queue}, {chunk}, {records} and {id}. Any goroutine may use it.
type KeyParser struct {
	prefix  string
	pattern keyPattern
	layouts []string // of the times, in their order
	spans   [64]atomic.Pointer[keySpan]
}

// keySpan is the span of the times of a key. Keys that are listed one after the
// other mostly share it, and to find it takes ten times as long as all else.
type keySpan struct {
	values   []string
	from, to time.Time
	err      error
}

// ErrNotKey is returned by Parse for a key that the template did not make.
var ErrNotKey = errors.New("not a key of the template")

// ErrAmbiguous is returned by Parse for a key that the template may have made in
// more than one way.
var ErrAmbiguous = errors.New("can be read in more than one way by the key template, whose variables need something between them that is not in their values")

// Parser returns the parser of keys that the template expanded behind prefix.
func (t *Template) Parser(prefix string) *KeyParser {
	p := &KeyParser{prefix: prefix}
	text := func(s string) { // late variables stand in it
		for s != "" {
			before, rest, found := strings.Cut(s, "{")
			p.pattern.literal(before)
			if !found {
				return
			}
			name, after, _ := strings.Cut(rest, "}") // the template was checked
			p.pattern.variable(name)
			s = after
		}
	}
	for _, part := range t.parts {
		text(part.text)
		switch {
		case part.value == nil:
		case part.layout != "":
			p.layouts = append(p.layouts, part.layout)
			p.pattern.time(part.layout)
		case part.name != "":
			p.pattern.variable(part.name)
		case part.most > 0:
			p.pattern = append(p.pattern, keyPart{kind: anyPath})
		default: // of the environment
			p.pattern.literal(part.value(nil))
		}
	}
	p.pattern.done()
	return p
}

// Parse reads a key. Its error is ErrNotKey or ErrAmbiguous, or says which value
// is none; it does not repeat the key. Strings of the result are parts of key.
func (p *KeyParser) Parse(key string) (Key, error) {
	rest, ok := strings.CutPrefix(key, p.prefix)
	if !ok {
		return Key{}, fmt.Errorf("%w: it does not begin with %q", ErrNotKey, p.prefix)
	}
	most, least, ok := p.pattern.match(rest)
	if !ok {
		return Key{}, ErrNotKey
	}
	var k Key
	var times [8]string
	timed := times[:0]
	for i := range p.pattern {
		v := &p.pattern[i]
		if v.name == "" {
			continue // a text, a file or a field: those may be cut, and nobody asks for them
		}
		value := rest[most[i]:most[i+1]]
		if value != rest[least[i]:least[i+1]] {
			return Key{}, ErrAmbiguous
		}
		if before, twice := p.before(i, rest, most); twice && before != value {
			return Key{}, fmt.Errorf("%w: {%s} is %q and %q", ErrNotKey, v.name, before, value)
		}
		if strings.HasPrefix(v.name, timePrefix) {
			timed = append(timed, value)
		} else if err := k.set(v.name, value); err != nil {
			return Key{}, err
		}
	}
	var err error
	if k.From, k.To, err = p.span(timed); err != nil {
		return Key{}, err
	}
	return k, nil
}

// before returns what an earlier keyPart of the same name as the i-th has.
func (p *KeyParser) before(i int, key string, at []int) (value string, found bool) {
	for j := range p.pattern[:i] {
		if p.pattern[j].name == p.pattern[i].name {
			return key[at[j]:at[j+1]], true
		}
	}
	return "", false
}

// set takes the value of a variable in from its text in a key.
func (k *Key) set(name, value string) (err error) {
	switch name {
	case "queue":
		k.Queue = value
	case "id":
		k.ID = value
	case "ext":
		k.Ext = value
	case "input":
		k.Input, err = decodeValue(name, value)
	case "host":
		k.Host, err = decodeValue(name, value)
	case "chunk":
		if k.Chunk, err = strconv.ParseUint(value, 10, 64); err != nil || k.Chunk == 0 {
			return fmt.Errorf("%w: %s is no chunk number", ErrNotKey, value)
		}
	case "records":
		digits, cause, tombstone := strings.Cut(value, ".")
		k.Records, err = strconv.ParseInt(digits, 10, 64)
		if err != nil || tombstone && k.Records != 0 || digits[0] == '0' && len(digits) > 1 {
			return fmt.Errorf("%w: %s is no count of records", ErrNotKey, value)
		}
		k.Cause = cause
	}
	return err
}

// decodeValue returns the value that is encoded so in a key.
func decodeValue(name, encoded string) (string, error) {
	value := unescapeKey(encoded)
	if (len(value) != len(encoded) || strings.Trim(value, ".") == "") && escapeKey(value) != encoded {
		return "", fmt.Errorf("%w: {%s} %q is not encoded as Spoolship does it", ErrNotKey, name, encoded)
	}
	return value, nil
}

// seed is that of the places of spans.
var seed = maphash.MakeSeed()

// span returns the times that a key with these values of its times stands for.
func (p *KeyParser) span(values []string) (from, to time.Time, err error) {
	if len(values) == 0 {
		return from, to, nil
	}
	place := uint64(0)
	for _, v := range values {
		place = place*31 + maphash.String(seed, v)
	}
	cached := &p.spans[place%uint64(len(p.spans))]
	s := cached.Load()
	if s == nil || !slices.Equal(s.values, values) {
		s = &keySpan{}
		for _, v := range values { // a copy: values are parts of a key
			s.values = append(s.values, strings.Clone(v))
		}
		s.from, s.to, s.err = span(p.layouts, s.values)
		cached.Store(s)
	}
	return s.from, s.to, s.err
}

// unescapeKey undoes escapeKey; what follows a % must be two hex digits.
func unescapeKey(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8) // the pattern matched
			b = append(b, byte(n))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// span returns the times that are written so in the layouts, if they are one
// run: no times otherwise. It is an error if there is no such time.
func span(layouts, values []string) (from, to time.Time, err error) {
	text := make([]string, len(values))
	for i, v := range values {
		if strings.Contains(v, "~") {
			return from, to, nil // cut
		}
		text[i] = unescapeKey(v)
	}
	const between = "\x00"
	from, err = time.ParseInLocation(strings.Join(layouts, between), strings.Join(text, between), time.UTC)
	same := func(at time.Time) bool {
		for i, layout := range layouts {
			if escapeDirs(at.UTC().Format(layout)) != values[i] {
				return false
			}
		}
		return true
	}
	if err != nil || !same(from) {
		if !oneReading(layouts) {
			return time.Time{}, time.Time{}, nil
		}
		return time.Time{}, time.Time{}, fmt.Errorf("%w: there is no time %q", ErrNotKey, strings.Join(text, " "))
	}
	from = from.UTC()
	// The least step that leads to another key; if a greater one leads back to
	// this key, the times are no single run.
	for _, later := range []time.Time{
		from.Add(time.Second), from.Add(time.Minute), from.Add(time.Hour), from.Add(12 * time.Hour),
		from.AddDate(0, 0, 1), from.AddDate(0, 1, 0), from.AddDate(1, 0, 0), from.AddDate(100, 0, 0),
	} {
		switch {
		case to.IsZero() && !same(later):
			to = later
		case !to.IsZero() && same(later):
			return time.Time{}, time.Time{}, nil
		}
	}
	if to.IsZero() {
		from = to
	}
	return from, to, nil
}

// oneReading says whether what the layouts write can be parsed back.
func oneReading(layouts []string) bool {
	layout := strings.Join(layouts, "\x00")
	for _, at := range []time.Time{time.Date(2026, 11, 30, 23, 58, 57, 0, time.UTC), time.Date(2024, 2, 29, 1, 2, 3, 0, time.UTC)} {
		back, err := time.Parse(layout, at.Format(layout))
		if err != nil || back.Format(layout) != at.Format(layout) {
			return false
		}
	}
	return true
}
