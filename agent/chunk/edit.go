package chunk

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// mask stands where a masked value was.
const mask = `"***"`

// pathRule is what is left of a dotted path on the way down to its value.
type pathRule struct {
	rest string
	mask bool // else the member is dropped
}

// verdict is what becomes of a member.
type verdict uint8

const (
	keep verdict = iota
	maskIt
	dropIt
)

// pathRules returns the rules of a configuration.
func pathRules(drop, masked []string) []pathRule {
	var rules []pathRule
	for _, p := range drop {
		rules = append(rules, pathRule{rest: p})
	}
	for _, p := range masked {
		rules = append(rules, pathRule{p, true})
	}
	return rules
}

// match says what becomes of the member of a key, and appends to inner the
// rules for what is inside its value. A dot in a path stands for a step down
// or for a dot in a key: a value that must not leave the host is found
// whichever way its writer nests it.
func match(rules []pathRule, key []byte, inner []pathRule) (verdict, []pathRule) {
	v := keep
	for _, r := range rules {
		rest, found := strings.CutPrefix(r.rest, string(key))
		switch {
		case !found:
		case rest == "" && r.mask:
			v = max(v, maskIt)
		case rest == "":
			v = dropIt
		case rest[0] == '.':
			inner = append(inner, pathRule{rest[1:], r.mask})
		}
	}
	return v, inner
}

// editor copies one JSON object without what its rules drop or mask; all
// other bytes stay as they are. The object must be valid: the scan functions
// find no fault, so their second result is not looked at.
type editor struct {
	b     []byte
	added *added
	own   uint64 // bit i: the object has a member of the name of added.members[i]
}

// edit appends the valid object b, edited, with the members of a that it has
// not got itself before its closing brace.
func (e *Encoder) edit(dst, b []byte, a *added, offset int64) []byte {
	w := editor{b: b, added: a}
	i := skipSpace(b, 0) + 1 // behind the opening brace
	dst = append(dst, b[:i]...)
	start := len(dst)
	dst, i = w.object(dst, i, e.rules, true)
	empty := skipSpace(dst, start) == len(dst)
	dst = a.append(dst, offset, w.own, empty)
	return append(dst, b[i:]...)
}

// object starts behind the opening brace and returns the index of the closing
// one, which it does not copy. It notes the names of the outermost object.
func (w *editor) object(dst []byte, i int, rules []pathRule, outermost bool) ([]byte, int) {
	b := w.b
	kept := false
	for {
		start := i
		i = skipSpace(b, i)
		if b[i] == '}' { // only right behind the opening brace
			return append(dst, b[start:i]...), i
		}
		end, _ := scanString(b, i+1)
		var keyBuf [64]byte
		key := unescape(keyBuf[:0], b[i+1:end-1])
		i = skipSpace(b, skipSpace(b, end)+1) // the value
		var innerBuf [8]pathRule
		v, inner := match(rules, key, innerBuf[:0])
		if v == dropIt {
			i, _ = scanValue(b, i, 0)
			i = skipSpace(b, i)
		} else {
			if kept {
				dst = append(dst, ',')
			}
			kept = true
			if outermost {
				w.own |= w.added.bit(key)
			}
			dst = append(dst, b[start:i]...)
			dst, i = w.member(dst, i, v, inner)
			space := i
			i = skipSpace(b, i)
			dst = append(dst, b[space:i]...)
		}
		if b[i] == '}' {
			return dst, i
		}
		i++ // the comma
	}
}

// member copies or masks the value at b[i] and returns the index behind it.
func (w *editor) member(dst []byte, i int, v verdict, rules []pathRule) ([]byte, int) {
	if v == maskIt {
		i, _ = scanValue(w.b, i, 0)
		return append(dst, mask...), i
	}
	return w.value(dst, i, rules)
}

// value copies the value at b[i]. Arrays are looked through: their elements
// stand under the name of the array.
func (w *editor) value(dst []byte, i int, rules []pathRule) ([]byte, int) {
	b, start := w.b, i
	if len(rules) > 0 && b[i] == '{' {
		dst, i = w.object(append(dst, '{'), i+1, rules, false)
		return append(dst, '}'), i + 1
	}
	if len(rules) == 0 || b[i] != '[' {
		i, _ = scanValue(b, i, 0)
		return append(dst, b[start:i]...), i
	}
	for i++; ; i++ {
		i = skipSpace(b, i)
		dst = append(dst, b[start:i]...)
		start = i
		if b[i] != ']' { // else it is empty
			dst, i = w.value(dst, i, rules)
			start = i
			i = skipSpace(b, i)
		}
		if b[i] == ']' {
			return append(dst, b[start:i+1]...), i + 1
		}
	}
}

// unescape returns what the inside of a valid JSON string stands for: s
// itself if it has no escapes, else in buf. A lone surrogate is U+FFFD, as
// most readers have it.
func unescape(buf, s []byte) []byte {
	if i := bytes.IndexByte(s, '\\'); i >= 0 {
		return unescapeFrom(append(buf, s[:i]...), s[i:])
	}
	return s
}

// The escapes of one letter, and what they stand for.
const (
	letters  = `"\/bfnrt`
	meanings = "\"\\/\b\f\n\r\t"
)

func unescapeFrom(buf, s []byte) []byte {
	for i := 0; i < len(s); {
		switch {
		case s[i] != '\\':
			buf = append(buf, s[i])
			i++
		case s[i+1] != 'u':
			buf = append(buf, meanings[strings.IndexByte(letters, s[i+1])])
			i += 2
		default:
			r := hex4(s[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if len(s)-i >= 6 && s[i] == '\\' && s[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(s[i+2:]))
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			buf = utf8.AppendRune(buf, r)
		}
	}
	return buf
}

// hex4 is the number that four hexadecimal digits write.
func hex4(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[:4]), 16, 16)
	return rune(n)
}
