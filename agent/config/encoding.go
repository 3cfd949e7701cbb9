package config

import (
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
)

// Charset returns the encoding of that name, as IANA registers them, upper or
// lower case; nil for UTF-8. It returns false if the name is none, or its
// characters are not one byte each with a newline as ASCII has it.
func Charset(name string) (*charmap.Charmap, bool) {
	e, err := ianaindex.IANA.Encoding(name)
	if err != nil || e == nil {
		return nil, false
	}
	if canonical, err := ianaindex.IANA.Name(e); err == nil && canonical == "UTF-8" {
		return nil, true
	}
	m, ok := e.(*charmap.Charmap)
	return m, ok && m.DecodeByte('\n') == '\n' && m.DecodeByte('\r') == '\r'
}

func encoded(v any) complaint {
	if _, ok := Charset(v.(string)); !ok {
		return complaint{"must be utf-8, or the IANA name of an encoding of one byte a character", `for example "iso-8859-1" or "windows-1252"`}
	}
	return complaint{}
}
