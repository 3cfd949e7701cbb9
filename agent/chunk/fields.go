package chunk

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxAdded is how many members can be added to a record: the bits of
// editor.own; maxPath is how many of them a path can give.
const (
	maxAdded = 64
	maxPath  = 16
)

// ReservedFields are names of the record's own members, which can't be added.
var ReservedFields = []string{"message", "message_base64", "raw", "raw_base64", "raw_withheld", "error", "part", "last"}

// member is a member with the same value in every record.
type member struct {
	name string
	text []byte // "name":value
}

// always returns the value, as JSON, of a static or path field that is added to
// all records of a file; nil if there is none of that name.
func (e *Encoder) always(file, name string) []byte {
	for _, m := range slices.Concat(e.static, e.path.members(file)) {
		if m.name == name {
			end, _ := scanString(m.text, 1)
			return m.text[end+1:]
		}
	}
	return nil
}

// Always returns the text, in a key, of a static or path field of a file; "" if
// there is none of that name.
func (e *Encoder) Always(file, name string) string { return text(e.always(file, name)) }

// newMember renders a member; the value is a string, bool, int64 or float64.
func newMember(name string, value any) member {
	text, _ := appendString(nil, []byte(name))
	text = append(text, ':')
	switch v := value.(type) {
	case string:
		text, _ = appendString(text, []byte(v))
	case int64:
		text = strconv.AppendInt(text, v, 10)
	case bool:
		text = strconv.AppendBool(text, v)
	case float64:
		number, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("chunk: field %q: %v", name, err))
		}
		text = append(text, number...)
	default:
		panic(fmt.Sprintf("chunk: field %q has a value of type %T", name, value))
	}
	return member{name, text}
}

// newMembers renders the static fields in the order of their names.
func newMembers(static map[string]any) []member {
	var all []member
	for _, name := range slices.Sorted(maps.Keys(static)) {
		all = append(all, newMember(name, static[name]))
	}
	return all
}

// added are the members that are added to the JSON records of one call.
type added struct {
	members []member
	read    []byte // when the lines were read, as JSON
	item    *item  // of a container, that the record is made of; nil: none
}

// The members whose values differ within a call; their text ends with the colon.
const (
	offsetName = "offset"
	timeName   = "time"   // of a container's line
	streamName = "stream" // the same
	attrsName  = "attrs"  // the same
)

func differing(name string) member { return member{name, []byte(`"` + name + `":`)} }

// newAdded makes the members for l: selected fields, static ones, and those
// from the path.
func (e *Encoder) newAdded(l *Lines) *added {
	a := &added{members: make([]member, 0, len(e.fields)+len(e.static)+4)}
	a.read, _ = appendString(nil, []byte(l.Time.UTC().Format(time.RFC3339Nano)))
	for _, f := range e.fields {
		var value any
		switch f {
		case fieldMessage: // known only of lines that are what they should be
			continue
		case fieldStream:
			a.members = append(a.members, differing(streamName))
			continue
		case fieldTime:
			if e.piece != nil {
				a.members = append(a.members, differing(timeName))
				continue
			}
			value = l.Time.UTC().Format(time.RFC3339Nano)
		case fieldHost:
			value = e.hostName
		case fieldFile:
			value = l.File
		case fieldOffset:
			a.members = append(a.members, differing(offsetName))
			continue
		}
		a.members = append(a.members, newMember(fieldNames[f], value))
	}
	a.members = append(append(a.members, e.static...), e.path.members(l.File)...)
	if e.format == Docker {
		a.members = append(a.members, differing(attrsName))
	}
	return a
}

// bit is that of the member whose name is key; 0 if there is none.
func (a *added) bit(key []byte) uint64 {
	for i := range a.members {
		if a.members[i].name == string(key) {
			return 1 << i
		}
	}
	return 0
}

// append appends the members but for those in own. Empty says that they begin
// their object. Without members, a may be nil.
func (a *added) append(dst []byte, offset int64, own uint64, empty bool) []byte {
	if a == nil {
		return dst
	}
	for i := range a.members {
		m := &a.members[i]
		if own>>i&1 != 0 || a.lacks(m.name) {
			continue
		}
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
		dst = append(dst, m.text...)
		if m.text[len(m.text)-1] == ':' {
			dst = a.appendValue(dst, m.name, offset)
		}
	}
	return dst
}

// lacks reports whether the record at hand does not get the member of a name.
func (a *added) lacks(name string) bool {
	switch name {
	case streamName:
		return a.item == nil
	case attrsName:
		return a.item == nil || len(a.item.attrs) == 0
	}
	return false
}

// appendValue appends the value of a member whose value differs within a call.
func (a *added) appendValue(dst []byte, name string, offset int64) []byte {
	switch {
	case a.item == nil && name == timeName:
		return append(dst, a.read...)
	case a.item == nil:
		return strconv.AppendInt(dst, offset, 10)
	case name == streamName:
		return append(append(append(dst, '"'), streams[a.item.stream]...), '"')
	case name == timeName:
		return append(append(append(dst, '"'), a.item.time...), '"')
	case name == attrsName:
		return append(dst, a.item.attrs...)
	}
	return strconv.AppendInt(dst, a.item.offset, 10)
}

// PathFields takes fields from the paths of files. It is immutable; nil takes
// none.
type PathFields struct {
	re    *regexp.Regexp
	names []string
}

var pathToken = regexp.MustCompile(`\*\*/|\*\*|\*|\?|\{[^{}]*\}|[^*?{}\[\]\\]+|.`)

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// ParsePathFields parses an absolute pattern of paths such as
// "/var/log/apps/{app}/*.log". {name} is one or more characters of one folder
// or file name, as many as possible; *, ? and ** are as in include.
func ParsePathFields(pattern string) (*PathFields, error) {
	if !strings.HasPrefix(pattern, "/") {
		return nil, fmt.Errorf(`%q must be an absolute pattern; begin it with "/"`, pattern)
	}
	p := &PathFields{}
	expr := `(?s)^`
	for _, token := range pathToken.FindAllString(pattern, -1) {
		switch {
		case token == "**/":
			expr += `(?:.*/)?`
		case token == "**":
			expr += `.*`
		case token == "*":
			expr += `[^/]*`
		case token == "?":
			expr += `[^/]`
		case token[0] == '{' && len(token) > 1:
			name := token[1 : len(token)-1]
			if err := p.add(name); err != nil {
				return nil, err
			}
			expr += `([^/]+)`
		case strings.ContainsAny(token, `{}[]\`):
			return nil, fmt.Errorf("%s can't stand in path_fields; only {name}, *, ? and ** have a meaning here", token)
		default:
			expr += regexp.QuoteMeta(token)
		}
	}
	if len(p.names) == 0 {
		return nil, fmt.Errorf("%q names no field; write {name} where the path has its value", pattern)
	}
	re, err := regexp.Compile(expr + `$`)
	p.re = re
	return p, err
}

func (p *PathFields) add(name string) error {
	switch {
	case !fieldName.MatchString(name):
		return fmt.Errorf("{%s} is not the name of a field; use letters, digits, _ and -, the first a letter or _", name)
	case slices.Contains(p.names, name):
		return fmt.Errorf("{%s} is there twice; give the second another name", name)
	}
	if p.names = append(p.names, name); len(p.names) > maxPath {
		return fmt.Errorf("{%s} is one too many; at most %d fields can be taken from a path", name, maxPath)
	}
	return nil
}

// Names are the names of the fields, in the order of the pattern.
func (p *PathFields) Names() []string {
	if p == nil {
		return nil
	}
	return slices.Clone(p.names)
}

// members are the fields of a path; none if it does not match.
func (p *PathFields) members(path string) []member {
	if p == nil {
		return nil
	}
	var all []member
	if found := p.re.FindStringSubmatch(path); found != nil {
		for i, name := range p.names {
			all = append(all, newMember(name, found[i+1]))
		}
	}
	return all
}
