package config

import (
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

func TestCharset(t *testing.T) {
	for name, want := range map[string]encoding.Encoding{
		"utf-8": nil, "UTF-8": nil, "iso-8859-1": charmap.ISO8859_1, "Latin1": charmap.ISO8859_1,
		"windows-1252": charmap.Windows1252, "KOI8-R": charmap.KOI8R, "iso-8859-15": charmap.ISO8859_15,
		"gbk": simplifiedchinese.GBK, "gb18030": simplifiedchinese.GB18030, "big5": traditionalchinese.Big5,
		"shift_jis": japanese.ShiftJIS, "euc-jp": japanese.EUCJP, "EUC-KR": korean.EUCKR,
	} {
		if got, unit, ok := Charset(name); !ok || got != want || unit != 1 {
			t.Errorf("%s: got %v, %d, %v", name, got, unit, ok)
		}
	}
	for name, want := range map[string]encoding.Encoding{
		"utf-16le": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), "UTF-16BE": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
	} {
		if got, unit, ok := Charset(name); !ok || got != want || unit != 2 {
			t.Errorf("%s: got %v, %d, %v", name, got, unit, ok)
		}
	}
	for _, name := range []string{"", "latin-nine", "utf-16", "utf-32", "utf-7", "iso-2022-jp", "hz-gb-2312", "IBM037"} {
		if got, _, ok := Charset(name); ok {
			t.Errorf("%s: got %v, want a refusal", name, got)
		}
	}
}

// No character but the newline has its byte: lines are cut before they are decoded.
func TestNewlinesAreOneByte(t *testing.T) {
	for _, name := range multibyte {
		e, _, ok := Charset(name)
		if !ok {
			t.Fatalf("%s is refused", name)
		}
		for first := range 256 {
			text, err := e.NewDecoder().Bytes([]byte{byte(first), '\n', '\n'})
			if err != nil || len(text) < 2 || text[len(text)-1] != '\n' {
				t.Errorf("%s: %x and newlines became %q, %v", name, first, text, err)
			}
		}
		for r := range rune(0x110000) {
			b, err := e.NewEncoder().Bytes([]byte(string(r)))
			if r != '\n' && err == nil {
				for _, c := range b {
					if c == '\n' {
						t.Errorf("%s: %U is % x", name, r, b)
					}
				}
			}
		}
	}
}
