package chunk

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may be nested. Consumers differ in
// what they take; 512 is under the limit of every common one.
const maxDepth = 512

// fault is why a line is not a valid record.
type fault uint8

const (
	ok fault = iota
	invalidChar
	invalidUTF8
	tooDeep
	notObject
	afterObject
	endOfLine // reported in place of invalidChar when the line ends too early
)

// faultText is stable: it stands in records, followed by " at byte N".
var faultText = [...]string{
	ok:          "",
	invalidChar: "invalid character",
	invalidUTF8: "invalid UTF-8",
	tooDeep:     "nested deeper than 512 levels",
	notObject:   "not a JSON object",
	afterObject: "text after the JSON object",
	endOfLine:   "unexpected end",
}

// longestFault is the most bytes of a record's error, the number behind it left out.
const longestFault = len("line longer than max_line_size at byte ")

// scanLine checks that the line starting at b[i] is one JSON object and finds
// its end in the same pass: it returns the index of the line's newline, or
// len(b), and ok. Otherwise it returns where the line is wrong, which is never
// past its end: a newline is valid nowhere within a line.
func scanLine(b []byte, i int) (int, fault) {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != '{' {
		return i, notObject
	}
	i, f := scanObject(b, i+1, 1)
	if f != ok {
		return i, f
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] != '\n' {
		return i, afterObject
	}
	return i, ok
}

// scanBraces is what is left of scanLine when lines are trusted: it finds the
// newline and looks only at the first and last byte that are not space.
func scanBraces(b []byte, i int) (int, fault) {
	end := len(b)
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		end = i + n
	}
	first := skipSpace(b, i)
	if first >= end || b[first] != '{' {
		return first, notObject
	}
	last := end - 1
	for isSpace(b[last]) {
		last--
	}
	if b[last] != '}' {
		return last, notObject
	}
	return end, ok
}

// isSpace leaves out '\n', which ends lines.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// skipSpace returns the index of the first byte from i on that is not space,
// or len(b). Most often that is i.
func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// The scan functions below start behind the byte that told them apart, and
// return the index behind what they scanned, or where it is wrong.

// scanObject counts itself in depth. Recursion is bounded by that, and keeps
// what encloses a value in the program's own stack.
func scanObject(b []byte, i, depth int) (int, fault) {
	if depth > maxDepth {
		return i - 1, tooDeep
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == '}' {
		return i + 1, ok
	}
	var f fault
	for {
		if i >= len(b) || b[i] != '"' {
			return i, invalidChar
		}
		if i, f = scanString(b, i+1); f != ok {
			return i, f
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ':' {
			return i, invalidChar
		}
		if i, f = scanValue(b, skipSpace(b, i+1), depth); f != ok {
			return i, f
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ',' {
			break
		}
		i = skipSpace(b, i+1)
	}
	return scanByte(b, i, '}')
}

// scanArray is scanObject without keys.
func scanArray(b []byte, i, depth int) (int, fault) {
	if depth > maxDepth {
		return i - 1, tooDeep
	}
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ']' {
		return i + 1, ok
	}
	var f fault
	for {
		if i, f = scanValue(b, i, depth); f != ok {
			return i, f
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ',' {
			break
		}
		i = skipSpace(b, i+1)
	}
	return scanByte(b, i, ']')
}

// scanByte takes exactly c.
func scanByte(b []byte, i int, c byte) (int, fault) {
	if i >= len(b) || b[i] != c {
		return i, invalidChar
	}
	return i + 1, ok
}

// scanValue starts at the value's first byte; depth is that of the object or
// array the value is in.
func scanValue(b []byte, i, depth int) (int, fault) {
	if i >= len(b) {
		return i, invalidChar
	}
	switch c := b[i]; c {
	case '"':
		return scanString(b, i+1)
	case '{':
		return scanObject(b, i+1, depth+1)
	case '[':
		return scanArray(b, i+1, depth+1)
	case 't':
		return scanWord(b, i, "true")
	case 'f':
		return scanWord(b, i, "false")
	case 'n':
		return scanWord(b, i, "null")
	default:
		return scanNumber(b, i)
	}
}

// scanWord takes true, false or null, and blames the first letter that differs.
func scanWord(b []byte, i int, word string) (int, fault) {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word), ok
	}
	for k := 0; i < len(b) && b[i] == word[k]; k++ {
		i++
	}
	return i, invalidChar
}

// scanNumber takes -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func scanNumber(b []byte, i int) (int, fault) {
	if b[i] == '-' {
		i++
	}
	start := i
	i = skipDigits(b, i)
	if i == start {
		return i, invalidChar
	}
	if b[start] == '0' && i > start+1 { // 01 could be meant as octal
		return start + 1, invalidChar
	}
	if i < len(b) && b[i] == '.' {
		start = i + 1
		if i = skipDigits(b, start); i == start {
			return i, invalidChar
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		start = i
		if i = skipDigits(b, start); i == start {
			return i, invalidChar
		}
	}
	return i, ok
}

// skipDigits relies on bytes below '0' wrapping around.
func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// One bit pattern in each of the eight bytes of a word.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// special marks, with its high bit, the first byte of w that cannot simply be
// copied between the quotes of a JSON string: a quote, a backslash, a control
// character, or a byte that is not ASCII. Bytes above the first may be marked
// wrongly, because subtraction borrows. Exchanging bit 1 makes quotes (0x22)
// neighbours of the control characters (below 0x20) and moves only space and
// '!' out of the way, so one comparison finds both.
func special(w uint64) uint64 {
	quoteOrControl := (w ^ 0x02*ones) - 0x21*ones
	backslash := (w ^ '\\'*ones) - ones
	return (quoteOrControl | backslash | w) & highs
}

// scanString looks at eight bytes at a time, of this line or the next: the
// newline that ends the line is special too, so nothing behind it counts.
func scanString(b []byte, i int) (int, fault) {
	for {
		for i+8 <= len(b) {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return i, invalidChar
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, ok
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return i + 1, invalidChar
			}
			i += n
		case c < ' ':
			return i, invalidChar
		case c < utf8.RuneSelf: // one of the last seven bytes of b
			i++
		default:
			n := utf8Len(b[i:])
			if n == 0 {
				return i, invalidUTF8
			}
			i += n
		}
	}
}

// escapeLen returns the length of the escape that b starts with, or 0. Lone
// surrogates are valid: RFC 8259 leaves them to the reader.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && isHex(b[2]) && isHex(b[3]) && isHex(b[4]) && isHex(b[5]) {
			return 6
		}
	}
	return 0
}

// isHex folds case by bit 5, which is set in lower-case letters.
func isHex(c byte) bool {
	return c-'0' <= 9 || c|0x20-'a' <= 5
}

// utf8Len returns the length of the run of whole characters beyond ASCII that
// b starts with, or 0 if its first character is not valid.
func utf8Len(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}
