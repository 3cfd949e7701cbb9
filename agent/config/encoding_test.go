package config

import (
	"testing"

	"golang.org/x/text/encoding/charmap"
)

func TestCharset(t *testing.T) {
	for name, want := range map[string]*charmap.Charmap{
		"utf-8": nil, "UTF-8": nil, "iso-8859-1": charmap.ISO8859_1, "Latin1": charmap.ISO8859_1,
		"windows-1252": charmap.Windows1252, "KOI8-R": charmap.KOI8R, "iso-8859-15": charmap.ISO8859_15,
	} {
		if got, ok := Charset(name); !ok || got != want {
			t.Errorf("%s: got %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "latin-nine", "utf-16", "utf-16le", "shift_jis", "IBM037"} {
		if got, ok := Charset(name); ok {
			t.Errorf("%s: got %v, want a refusal", name, got)
		}
	}
}
