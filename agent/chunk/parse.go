package chunk

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
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
// and of filling in {queue}, {chunk}, {records} and {id}. It is immutable.
type KeyParser struct {
	prefix string
	// most and least match the same keys; one makes each value as long as it
	// can be, from the left, and the other as short. Where they agree there is
	// no other way to read a key.
	most, least *regexp.Regexp
	names       []string // of the groups
}

// ErrNotKey says that a key was not made by the template.
var ErrNotKey = errors.New("not a key of the template")

// ErrAmbiguous says that a key of the template can be read in more than one way.
var ErrAmbiguous = errors.New("can be read in more than one way by the key template, whose variables need something between them that is not in their values")

// anyValue is the pattern of values that are percent-encoded.
const anyValue = `(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})`

// patterns are those of the variables without an argument, {date} and the like
// apart. In each %s stands what makes a repetition as short as it can be.
var patterns = map[string]string{
	"input":   anyValue + `+%s`,
	"host":    anyValue + `+%s`,
	"ext":     `(?:\.gz|\.zst)?%s`,
	"queue":   `[0-9a-f]{16}`,
	"chunk":   `[0-9]{20}`,
	"records": `[0-9]+%s(?:\.[a-z]+%s)?%s`,
	"id":      `[0-9a-f]{16}`,
}

// anyPath is the pattern of values that may be paths, cut ones included.
const anyPath = `(?:[A-Za-z0-9_.~/-]|%[0-9A-F]{2})+%s`

// Parser returns the parser of keys that the template expanded behind prefix.
func (t *Template) Parser(prefix string) *KeyParser {
	p := &KeyParser{prefix: prefix}
	var most, least strings.Builder
	add := func(name, pattern string) {
		p.names = append(p.names, name)
		for b, mark := range map[*strings.Builder]string{&most: "", &least: "?"} {
			b.WriteString("(" + strings.ReplaceAll(pattern, "%s", mark) + ")")
		}
	}
	text := func(s string) {
		for s != "" {
			before, rest, found := strings.Cut(s, "{")
			most.WriteString(regexp.QuoteMeta(before))
			least.WriteString(regexp.QuoteMeta(before))
			if !found {
				return
			}
			name, after, _ := strings.Cut(rest, "}") // the template was checked
			add(name, patterns[name])
			s = after
		}
	}
	for _, part := range t.parts {
		text(part.text)
		switch {
		case part.value == nil:
		case part.layout != "":
			add("time:"+part.layout, layoutPattern(part.layout))
		case patterns[part.name] != "":
			add(part.name, patterns[part.name])
		case part.most > 0:
			add("", anyPath)
		default: // of the environment
			text(part.value(nil))
		}
	}
	p.most = regexp.MustCompile(`\A` + most.String() + `\z`)
	p.least = regexp.MustCompile(`\A` + least.String() + `\z`)
	return p
}

// layoutPattern is the pattern of times in a layout: digits where all times have
// digits, if they differ in nothing else.
func layoutPattern(layout string) string {
	at := time.Date(2001, 1, 1, 1, 1, 1, 0, time.UTC)
	shape := func(at time.Time) string {
		return strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return '0'
			}
			return r
		}, escapeDirs(at.Format(layout)))
	}
	first := shape(at)
	for range 24 {
		at = at.AddDate(0, 1, 1).Add(time.Hour)
		if shape(at) != first {
			return anyPath
		}
	}
	if len(first) == maxValue {
		return anyPath // cut, so the digits of a digest are in it
	}
	return strings.ReplaceAll(strings.ReplaceAll(regexp.QuoteMeta(first), "%", "[%]"), "0", "[0-9]")
}

// Parse reads a key. Its error is ErrNotKey or ErrAmbiguous, or says which value
// is none; it does not repeat the key.
func (p *KeyParser) Parse(key string) (Key, error) {
	rest, ok := strings.CutPrefix(key, p.prefix)
	if !ok {
		return Key{}, fmt.Errorf("%w: it does not begin with %q", ErrNotKey, p.prefix)
	}
	most := p.most.FindStringSubmatch(rest)
	if most == nil {
		return Key{}, ErrNotKey
	}
	least := p.least.FindStringSubmatch(rest)
	values := make(map[string]string, len(p.names))
	var layouts, times []string
	for i, name := range p.names {
		value := most[i+1]
		if name == "" {
			continue // of a file or field: it may be cut, and nobody asks for it
		}
		if value != least[i+1] {
			return Key{}, ErrAmbiguous
		}
		if old, twice := values[name]; twice && old != value {
			return Key{}, fmt.Errorf("%w: {%s} is %q and %q", ErrNotKey, name, old, value)
		}
		values[name] = value
		if layout, ok := strings.CutPrefix(name, "time:"); ok {
			layouts, times = append(layouts, layout), append(times, value)
		}
	}
	return newKey(values, layouts, times)
}

// newKey makes values of their text in a key.
func newKey(values map[string]string, layouts, times []string) (k Key, err error) {
	k.Queue, k.ID, k.Ext = values["queue"], values["id"], values["ext"]
	if k.Chunk, err = strconv.ParseUint(values["chunk"], 10, 64); err != nil || k.Chunk == 0 {
		return Key{}, fmt.Errorf("%w: %s is no chunk number", ErrNotKey, values["chunk"])
	}
	count, cause, tombstone := strings.Cut(values["records"], ".")
	k.Records, err = strconv.ParseInt(count, 10, 64)
	if err != nil || tombstone && k.Records != 0 || strconv.FormatInt(k.Records, 10) != count {
		return Key{}, fmt.Errorf("%w: %s is no count of records", ErrNotKey, values["records"])
	}
	k.Cause = cause
	for name, to := range map[string]*string{"input": &k.Input, "host": &k.Host} {
		value, used := values[name]
		if *to = unescapeKey(value); used && escapeKey(*to) != value {
			return Key{}, fmt.Errorf("%w: {%s} %q is not encoded as Spoolship does it", ErrNotKey, name, value)
		}
	}
	if k.From, k.To, err = span(layouts, times); err != nil {
		return Key{}, err
	}
	return k, nil
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
	if len(layouts) == 0 {
		return from, to, nil
	}
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
