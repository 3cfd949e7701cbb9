package chunk

import (
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendBytes appends the JSON member name:s, and name_base64 beside it if s
// is not valid UTF-8, so that its bytes can be had back.
func appendBytes(dst []byte, name string, s []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	dst = append(dst, `":`...)
	dst, valid := appendString(dst, s)
	if valid {
		return dst
	}
	return appendBase64(dst, name, s)
}

// appendBase64 appends the member that keeps what a string can't.
func appendBase64(dst []byte, name string, s []byte) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, name...)
	dst = append(dst, `_base64":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, s)
	return append(dst, '"')
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; it returns false if there were any.
func appendString(dst, s []byte) ([]byte, bool) {
	valid := true
	dst = append(dst, '"')
	from, i := 0, 0 // s[from:i] is copied in one go once something else comes
	for {
		i = plain(s, i)
		if i == len(s) {
			break
		}
		if s[i] < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, s[i])
			i++
			from = i
			continue
		}
		if n := utf8Len(s[i:]); n > 0 {
			i += n
			continue
		}
		valid = false
		dst = append(dst, s[from:i]...)
		dst = utf8.AppendRune(dst, utf8.RuneError)
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"'), valid
}

// plain returns the index of the first special byte of s from i on, or len(s).
func plain(s []byte, i int) int {
	for ; i+8 <= len(s); i += 8 {
		if m := special(binary.LittleEndian.Uint64(s[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(s) && special(uint64(s[i]))&0x80 == 0 {
		i++
	}
	return i
}

// appendEscape appends the escape of a quote, a backslash or a control
// character: the short form where it is common in logs.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
