package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// value decodes one value into what p points to, and applies the rule of its
// key. After a problem the value stays as it was.
func (l *loader) value(path, rule string, raw, p any) {
	switch p := p.(type) {
	case *Agent, *Spool, *Chunk, *S3, *Telemetry:
		l.table(path, raw, p)
	case *Secret:
		s, ok := l.secret(path, raw)
		set(l, path, rule, p, Secret(s), ok)
	case *string:
		if p != &l.cfg.S3.AccessKeyID { // it may be the secret, put on the wrong line
			l.written[path] = raw
		}
		s, ok := l.text(path, raw)
		set(l, path, rule, p, s, ok)
	case *[]string:
		l.written[path] = raw
		list, ok := l.list(path, rule, raw)
		set(l, path, rule, p, list, ok)
	case *map[string]any:
		l.static(path, raw, p)
	default:
		l.written[path] = raw
		l.scalar(path, rule, raw, p)
	}
}

// scalar is value for what has no parts and needs a unit or no quotes.
func (l *loader) scalar(path, rule string, raw, p any) {
	switch p := p.(type) {
	case *bool:
		v, hint, ok := l.unquoted(path, raw)
		b, fits := v.(bool)
		if ok && !fits {
			l.mismatch(path, "true or false", hint)
		}
		set(l, path, rule, p, b, ok && fits)
	case *int:
		v, hint, ok := l.unquoted(path, raw)
		n, fits := v.(int64)
		if fits = fits && int64(int(n)) == n; ok && !fits {
			l.mismatch(path, "a whole number", hint)
		}
		set(l, path, rule, p, int(n), ok && fits)
	case *Size:
		withUnit(l, path, rule, raw, p, parseSize, complaint{"must be a size with its unit", sizeHint})
	case *Rate:
		withUnit(l, path, rule, raw, p, parseRate, complaint{"must be bytes per second", rateHint})
	case *Duration:
		withUnit(l, path, rule, raw, p, func(s string) (Duration, bool) {
			d, err := time.ParseDuration(s)
			return Duration(d), err == nil
		}, complaint{"must be a duration with its unit", durationHint})
	default:
		panic(fmt.Sprintf("config: no decoder for %T", p))
	}
}

// unquoted returns a value of TOML, or the number or boolean that a string with a
// variable stands for, and what to do if it is of the wrong type. It is not ok if
// the variable is not set.
func (l *loader) unquoted(path string, raw any) (v any, hint string, ok bool) {
	s, quoted := raw.(string)
	if !quoted || !reference.MatchString(s) {
		return raw, "write it without quotes", true
	}
	if s, ok = l.text(path, raw); !ok {
		return nil, "", false
	}
	s, hint = strings.TrimSpace(s), "correct the value of the variable"
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, hint, true
	}
	if s == "true" || s == "false" {
		return s == "true", hint, true
	}
	return s, hint, true
}

// withUnit decodes a string that parse understands.
func withUnit[T any](l *loader, path, rule string, raw any, p *T, parse func(string) (T, bool), c complaint) {
	if _, quoted := raw.(string); !quoted {
		l.problem(path, complaint{c.what + ", in quotes", c.hint})
		return
	}
	s, ok := l.text(path, raw)
	if !ok {
		return
	}
	v, ok := parse(s)
	if !ok {
		l.problem(path, c)
	}
	set(l, path, rule, p, v, ok)
}

// set stores v if it is ok and its key's rule finds nothing wrong.
func set[T any](l *loader, path, rule string, p *T, v T, ok bool) {
	if !ok {
		return
	}
	if check := rules[rule]; check != nil {
		if c := check(v); c != (complaint{}) {
			l.problem(path, c)
			return
		}
	}
	*p = v
}

// text returns a string with its variables replaced.
func (l *loader) text(path string, raw any) (string, bool) {
	s, ok := raw.(string)
	if !ok {
		l.mismatch(path, "a string", `write it in quotes: "…"`)
		return "", false
	}
	s, _, c := expand(s, l.getenv)
	if c != (complaint{}) {
		l.problem(path, c)
		return "", false
	}
	return s, true
}

// secret is text that is not noted for messages.
func (l *loader) secret(path string, raw any) (string, bool) {
	s, ok := l.text(path, raw)
	if ok {
		_, l.literal[path], _ = expand(raw.(string), l.getenv)
	}
	return s, ok
}

// list returns the strings of a list, all of which are checked.
func (l *loader) list(path, rule string, raw any) ([]string, bool) {
	elements, ok := raw.([]any)
	if !ok {
		l.mismatch(path, "a list of strings", `write it in brackets: ["…"]`)
		return nil, false
	}
	list := make([]string, len(elements))
	for i, e := range elements {
		at := fmt.Sprintf("%s[%d]", path, i)
		l.written[at] = e
		s, good := l.text(at, e)
		set(l, at, rule+"[]", &list[i], s, good)
		ok = ok && !l.bad[at]
	}
	return list, ok
}

// static decodes a table of fields with the same value in every record.
func (l *loader) static(path string, raw any, p *map[string]any) {
	const most = 32
	table, ok := raw.(map[string]any)
	if !ok {
		l.mismatch(path, "a table", "write it as [input.static_fields], with its fields below it")
		return
	}
	if len(table) > most {
		l.problem(path, complaint{what: fmt.Sprintf("must have at most %d fields (got %d)", most, len(table))})
	}
	*p = make(map[string]any, len(table))
	for _, name := range sortedKeys(table) {
		at, v := join(path, name), table[name]
		if !fieldName.MatchString(name) {
			l.problem(at, complaint{"is not the name of a field", "use up to 64 letters, digits, _ and -, the first a letter or _"})
			continue
		}
		l.written[at] = v
		if _, isText := v.(string); isText {
			v, _ = l.text(at, v)
		} else if !plainValue(v) {
			l.mismatch(at, "a string, a number, true or false", "a list, a table or a date can be written as a string")
		}
		(*p)[name] = v
	}
}

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// plainValue says whether v is a value of JSON other than a string.
func plainValue(v any) bool {
	switch v := v.(type) {
	case bool, int64:
		return true
	case float64:
		return !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return false
}

// mismatch notes that a value has the wrong type.
func (l *loader) mismatch(path, want, hint string) {
	l.problem(path, complaint{"must be " + want, hint})
}
