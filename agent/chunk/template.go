package chunk

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// KeyVars are the values a template is expanded with.
type KeyVars struct {
	Input  string
	Host   string
	Time   time.Time // UTC is used
	Codec  Codec     // for {ext}
	File   string    // absolute path, for {file} and {dir}; "" if there is none
	Fields []string  // values of Template.Fields, in their order; "" for one that a record has not got
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

// vars are the variables without an argument that Expand fills in and that
// are the same for a batch, but for their time.
var vars = map[string]func(v *KeyVars) string{
	"input": func(v *KeyVars) string { return escapeKey(v.Input) },
	"host":  func(v *KeyVars) string { return escapeKey(v.Host) },
	"ext":   func(v *KeyVars) string { return v.Codec.Ext() },
}

// layouts are the variables that are short for {time:layout}.
var layouts = map[string]string{
	"date": "2006-01-02", "hour": "15", "minute": "04", "year": "2006", "month": "01", "day": "02",
}

const varList = "{input} {host} {queue} {chunk} {records} {id} {date} {hour} {minute} {year} {month} {day} {ext} " +
	"{time:layout} {file} {dir} {field:dotted.path} {env:NAME}"

// Template is a parsed key template. It is immutable.
type Template struct {
	parts  []part
	fields []string
	timed  bool
	byFile bool
	step   time.Duration // times in one step give one key; a whole part of a minute
}

// part is text, followed by a variable unless value is nil.
type part struct {
	text  string
	value func(v *KeyVars) string
	name  string // of a variable without an argument, for Parser
	// layout is that of a time, for Parser.
	layout string
	most   int // bytes of a value that differs between records; 0: it is what it is
}

// ParseTemplate checks a key template: text with variables in braces, {input}
// {host} {queue} {chunk} {records} {id} {date} {hour} {minute} {year} {month}
// {day} {ext} {time:layout} {file} {dir} {field:dotted.path} {env:NAME}. A
// layout is one of package time. It must contain {queue}, {chunk}, {records}
// and {id}: the error names the missing ones and why they are needed.
// Variables of the environment are read here.
func ParseTemplate(s string) (*Template, error) {
	if err := checkPath(s); err != nil {
		return nil, fmt.Errorf("key template %q %w", s, err)
	}
	t := &Template{step: time.Minute}
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
		text += rest[:i]
		rest = after
		if isLate(name) {
			text += "{" + name + "}"
			continue
		}
		p, err := t.variable(name)
		if err != nil {
			return nil, fmt.Errorf("key template %q %w", s, err)
		}
		p.text = text
		t.parts, text = append(t.parts, p), ""
	}
	if err := checkComplete(s); err != nil {
		return nil, err
	}
	return t, nil
}

// variable parses what stands in braces.
func (t *Template) variable(name string) (part, error) {
	if value, ok := vars[name]; ok {
		return part{name: name, value: value}, nil
	}
	if layout, ok := layouts[name]; ok {
		return t.time(layout)
	}
	switch kind, arg, _ := strings.Cut(name, ":"); {
	case name == "file":
		t.byFile = true
		return part{value: func(v *KeyVars) string {
			return escapeFile(v.File, func(f string) string { return escapeValue(path.Base(f)) })
		}, most: maxValue}, nil
	case name == "dir":
		t.byFile = true
		return part{value: func(v *KeyVars) string {
			return escapeFile(v.File, func(f string) string { return escapeDirs(path.Dir(f)) })
		}, most: maxValue}, nil
	case kind == "time":
		return t.time(arg)
	case kind == "field" && arg != "":
		at := slices.Index(t.fields, arg)
		if at < 0 {
			at, t.fields = len(t.fields), append(t.fields, arg)
		}
		return part{value: func(v *KeyVars) string { return escapeValue(v.Fields[at]) }, most: maxValue}, nil
	case kind == "env":
		value := os.Getenv(arg)
		if value == "" {
			return part{}, fmt.Errorf("has {%s}, but the environment variable %s is not set", name, arg)
		}
		return part{value: func(*KeyVars) string { return escapeKey(value) }}, nil
	}
	return part{}, fmt.Errorf("has the unknown variable {%s}; known are %s", name, varList)
}

// time is the variable of a layout.
func (t *Template) time(layout string) (part, error) {
	one := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	is := one.Format(layout)
	switch {
	case is == time.Date(2012, 11, 11, 21, 43, 54, 0, time.UTC).Format(layout):
		return part{}, fmt.Errorf(`has {time:%s}, which is the same at all times; write it like {time:2006-01-02T15}, with parts of Go's reference time`, layout)
	case is != one.Add(123456789).Format(layout):
		return part{}, fmt.Errorf("has {time:%s}, which changes within a second: every record would get an object of its own", layout)
	case is != one.Add(time.Second).Format(layout):
		t.step = time.Second
	}
	t.timed = true
	// Names of months and days may be longer than the layout's, and colons are encoded.
	return part{layout: layout, value: func(v *KeyVars) string { return escapeDirs(v.Time.UTC().Format(layout)) }, most: 3*len(layout) + 16}, nil
}

// Fields are the dotted paths of {field:…}, each once.
func (t *Template) Fields() []string { return slices.Clone(t.fields) }

// Splits reports whether the key depends on the line or its file.
func (t *Template) Splits() bool { return t.byFile || len(t.fields) > 0 }

// Timed says whether the key depends on a time.
func (t *Template) Timed() bool { return t.timed }

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
