package chunk

import (
	"fmt"
	"strings"
	"time"
)

// KeyVars are the values a template is expanded with.
type KeyVars struct {
	Input string
	Host  string
	Time  time.Time // UTC is used
	Codec Codec     // for {ext}
}

// lateVars are filled in when a chunk is sealed, each with at most so many
// bytes; a key without one of them would not be safe.
var lateVars = []struct {
	name   string
	length int
	reason string
}{
	{"queue", 16, "two agents could write to one key"},
	{"chunk", 20, "two chunks could be written to one key"},
	{"records", 20, "nobody could tell from the keys whether the bucket is complete"},
	{"id", 16, "a copied agent could overwrite an object with other records"},
}

// vars are the variables that Expand fills in.
var vars = map[string]func(v *KeyVars) string{
	"input":  func(v *KeyVars) string { return escapeKey(v.Input) },
	"host":   func(v *KeyVars) string { return escapeKey(v.Host) },
	"date":   func(v *KeyVars) string { return v.Time.UTC().Format("2006-01-02") },
	"hour":   func(v *KeyVars) string { return v.Time.UTC().Format("15") },
	"minute": func(v *KeyVars) string { return v.Time.UTC().Format("04") },
	"year":   func(v *KeyVars) string { return v.Time.UTC().Format("2006") },
	"month":  func(v *KeyVars) string { return v.Time.UTC().Format("01") },
	"day":    func(v *KeyVars) string { return v.Time.UTC().Format("02") },
	"ext":    func(v *KeyVars) string { return v.Codec.Ext() },
}

const varList = "{input} {host} {queue} {chunk} {records} {id} {date} {hour} {minute} {year} {month} {day} {ext}"

// Template is a parsed key template. It is immutable.
type Template struct {
	parts []part
}

// part is text, followed by a variable unless value is nil.
type part struct {
	text  string
	value func(v *KeyVars) string
}

// ParseTemplate checks a key template: text with variables in braces, {input}
// {host} {queue} {chunk} {records} {id} {date} {hour} {minute} {year} {month}
// {day} {ext}. It must contain {queue}, {chunk}, {records} and {id}: the error
// names the missing ones and why they are needed.
func ParseTemplate(s string) (*Template, error) {
	if err := checkPath(s); err != nil {
		return nil, fmt.Errorf("key template %q %w", s, err)
	}
	t := &Template{}
	text := "" // before the next variable, late ones included
	for rest := s; ; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			t.parts = append(t.parts, part{text: text + rest})
			break
		}
		name, after, closed := strings.Cut(rest[i+1:], "}")
		if rest[i] == '}' || !closed || strings.Contains(name, "{") {
			return nil, fmt.Errorf("key template %q has a brace without its partner at byte %d; braces stand for variables only", s, len(s)-len(rest)+i)
		}
		value, early := vars[name]
		switch {
		case early:
			t.parts = append(t.parts, part{text + rest[:i], value})
			text = ""
		case isLate(name):
			text += rest[:i] + "{" + name + "}"
		default:
			return nil, fmt.Errorf("key template %q has the unknown variable {%s}; known are %s", s, name, varList)
		}
		rest = after
	}
	if err := checkComplete(s); err != nil {
		return nil, err
	}
	return t, nil
}

func isLate(name string) bool {
	for _, v := range lateVars {
		if v.name == name {
			return true
		}
	}
	return false
}

// checkComplete says which variables are missing that every key needs.
func checkComplete(s string) error {
	var missing []string
	for _, v := range lateVars {
		if !strings.Contains(s, "{"+v.name+"}") {
			missing = append(missing, fmt.Sprintf("{%s} (without it %s)", v.name, v.reason))
		}
	}
	if missing != nil {
		return fmt.Errorf("key template %q lacks %s", s, strings.Join(missing, ", "))
	}
	return nil
}
