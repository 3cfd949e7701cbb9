package config

import (
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
)

// multibyte are the encodings with a newline that is ASCII's, where no other
// character has its byte, and no state that reaches beyond a line.
var multibyte = []string{"GBK", "GB18030", "Big5", "Extended_UNIX_Code_Packed_Format_for_Japanese", "Shift_JIS", "EUC-KR"}

// Charset returns the encoding of that name, as IANA registers them, upper or
// lower case; nil for UTF-8. unit is how many bytes its characters have at least:
// 2 for UTF-16, whose order of bytes is in the name, else 1. It returns false if the
// name is none, or lines can't be told in it.
func Charset(name string) (e encoding.Encoding, unit int, ok bool) {
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil || e == nil {
		return nil, 0, false
	}
	canonical, err := ianaindex.IANA.Name(e)
	if m, one := e.(*charmap.Charmap); one {
		return e, 1, m.DecodeByte('\n') == '\n' && m.DecodeByte('\r') == '\r'
	}
	switch {
	case err != nil:
		return nil, 0, false
	case canonical == "UTF-8":
		return nil, 1, true
	case canonical == "UTF-16LE" || canonical == "UTF-16BE":
		return e, 2, true
	}
	return e, 1, slices.Contains(multibyte, canonical)
}

// container reports whether the input's lines are those of a container runtime.
func (in *Input) container() bool { return in.Format == "cri" || in.Format == "docker" }

// lines is the format of the lines that become records: text or json.
func (in *Input) lines() string {
	if in.container() {
		return in.InnerFormat
	}
	return in.Format
}

// unit is how many bytes characters of the input's lines have at least.
func (in *Input) unit() int {
	_, unit, _ := Charset(in.Encoding)
	return max(unit, 1)
}

// encoded reports whether the input's lines are not in UTF-8.
func (in *Input) encoded() bool {
	e, _, _ := Charset(in.Encoding)
	return e != nil
}

func encoded(v any) complaint {
	name := v.(string)
	if _, _, ok := Charset(name); ok {
		return complaint{}
	}
	const what = "must be utf-8, utf-16le, utf-16be, or the IANA name of an encoding whose newline is one byte"
	switch name = strings.ToLower(name); {
	case name == "utf-16" || name == "utf16" || name == "unicode":
		return complaint{what, `use "utf-16le", as Windows writes it, or "utf-16be"; a byte order mark is left out in both`}
	case strings.HasPrefix(name, "iso-2022-") || name == "hz-gb-2312":
		return complaint{what, "its lines can't be read from the middle of a file: have them written in UTF-8"}
	}
	return complaint{what, `for example "iso-8859-1", "windows-1252" or "shift_jis"`}
}
