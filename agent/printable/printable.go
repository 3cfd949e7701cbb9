// Package printable makes text that others wrote safe to print. File names, log
// lines, object keys and the answers of a store can hold terminal sequences, line
// breaks that forge a second line, and characters that nobody sees.
package printable

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxText is the length in bytes above which Text cuts a value: a path has up to
// 4,096 bytes, and whoever prints it wants it whole.
const maxText = 8 << 10

// Text returns s on one line and without effect on a terminal or the journal:
// every character that is not plainly visible is written as an escape of Go, and
// so is every byte that is not UTF-8. A value of more than 8 KiB is cut.
func Text(s string) string {
	s, more := cut(s)
	if !clean(s) {
		var b strings.Builder
		for len(s) > 0 {
			r, n := utf8.DecodeRuneInString(s)
			switch {
			case r == utf8.RuneError && n == 1:
				fmt.Fprintf(&b, `\x%02x`, s[0])
			case visible(r):
				b.WriteString(s[:n])
			case r == '\n':
				b.WriteString(`\n`)
			case r == '\r':
				b.WriteString(`\r`)
			case r == '\t':
				b.WriteString(`\t`)
			case r < utf8.RuneSelf:
				fmt.Fprintf(&b, `\x%02x`, r)
			case r <= 0xffff:
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				fmt.Fprintf(&b, `\U%08x`, r)
			}
			s = s[n:]
		}
		s = b.String()
	}
	return s + more
}

// Quotable returns s for a printer that quotes as strconv.Quote does: cut as Text
// cuts it, and with U+FFFD for the characters that Quote takes for visible.
func Quotable(s string) string {
	s, more := cut(s)
	if clean(s) {
		return s + more
	}
	var b strings.Builder
	for i, r := range s {
		if _, n := utf8.DecodeRuneInString(s[i:]); !unicode.IsPrint(r) || visible(r) {
			b.WriteString(s[i : i+n])
		} else {
			b.WriteRune(utf8.RuneError)
		}
	}
	return b.String() + more
}

// cut shortens s to maxText bytes; more tells how much that left out.
func cut(s string) (short, more string) {
	if len(s) <= maxText {
		return s, ""
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], fmt.Sprintf("… (%d more bytes)", len(s)-end)
}

// JSON appends text, which is JSON or lines of it, to dst and returns it: the same
// values, with every character that is not plainly visible as \uXXXX. Newlines and
// tabs stay. Bytes that are not UTF-8, which JSON does not allow, become \xNN.
func JSON(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, text[0])
		case visible(r), r == '\n', r == '\t':
			dst = append(dst, text[:n]...)
		case r <= 0xffff:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		}
		text = text[n:]
	}
	return dst
}

// clean reports whether nothing in s needs an escape.
func clean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !visible(r) })
		}
	}
	return true
}

// visible reports whether r is seen as itself: a graphic character or the space of
// ASCII. Format characters (bidirectional ones among them) are not, and neither
// are the letters and marks that Unicode has readers ignore.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
