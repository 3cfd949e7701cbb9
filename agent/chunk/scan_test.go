package chunk

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func nested(open, end string, n int) string {
	return strings.Repeat(open, n) + strings.Repeat(end, n)
}

func TestScanLine(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		at         int
		want       fault
	}{
		{"empty object", `{}`, 2, ok},
		{"white space everywhere", " \t{ \"a\" :\t[ 1 , 2 ] , \"b\" : { } }\t \r", 36, ok},
		{"all kinds of values", `{"a":"x","b":-0.5e+10,"c":true,"d":false,"e":null,"f":[],"g":{}}`, 64, ok},
		{"large integers", `{"id":18446744073709551616}`, 27, ok},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u12aF"}`, 30, ok},
		{"same key twice", `{"a":1,"a":2}`, 13, ok},
		{"lone surrogate escape", `{"a":"\ud800"}`, 14, ok},
		{"DEL and line separator", "{\"a\":\"\x7f\u2028\"}", 12, ok},
		{"depth 512", `{"a":` + nested("[", "]", 511) + `}`, 1028, ok},

		{"depth 513", `{"a":` + nested("[", "]", 512) + `}`, 516, tooDeep},
		{"depth 513 of objects", strings.Repeat(`{"a":`, 513), 2560, tooDeep},
		{"nothing", ``, 0, notObject},
		{"byte order mark", "\ufeff{}", 0, notObject},
		{"array", ` [1]`, 1, notObject},
		{"second object", `{} {}`, 3, afterObject},
		{"cut", `{"a":"b`, 7, invalidChar},
		{"cut after escape", `{"a":"b\`, 8, invalidChar},
		{"cut word", `{"a":tru`, 8, invalidChar},
		{"wrong word", `{"a":trux}`, 8, invalidChar},
		{"cut number", `{"a":-`, 6, invalidChar},
		{"comma at the end", `{"a":1,}`, 7, invalidChar},
		{"comma at the end of an array", `{"a":[1,]}`, 8, invalidChar},
		{"no colon", `{"a" 1}`, 5, invalidChar},
		{"no value", `{"a":}`, 5, invalidChar},
		{"key without quotes", `{a:1}`, 1, invalidChar},
		{"bad escape", `{"a":"\x"}`, 7, invalidChar},
		{"bad hex escape", `{"a":"\u12g4"}`, 7, invalidChar},
		{"tab in string", "{\"a\":\"\t\"}", 6, invalidChar},
		{"NUL in string", "{\"a\":\"aaaaaaaaaaaa\x00\"}", 18, invalidChar},
		{"NUL outside", "{\x00}", 1, invalidChar},
		{"form feed", "{\f}", 1, invalidChar},
		{"leading zero", `{"a":01}`, 6, invalidChar},
		{"no digit after the point", `{"a":1.}`, 7, invalidChar},
		{"no digit in exponent", `{"a":1e+}`, 8, invalidChar},
		{"plus sign", `{"a":+1}`, 5, invalidChar},
		{"NaN", `{"a":NaN}`, 5, invalidChar},
		{"wrong bracket", `{"a":[1}}`, 7, invalidChar},
		{"single quotes", `{'a':1}`, 1, invalidChar},

		{"invalid UTF-8", "{\"a\":\"\xff\"}", 6, invalidUTF8},
		{"overlong", "{\"a\":\"é\xc0\xaf\"}", 8, invalidUTF8},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", 6, invalidUTF8},
		{"cut character", "{\"a\":\"\xe2\x82\"}", 6, invalidUTF8},
		{"invalid UTF-8 in a key", "{\"abcdefgh\x80\":1}", 10, invalidUTF8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Within other lines, at the very end, and at every alignment.
			for _, after := range []string{"", "\n", "\n\"}{}\n"} {
				for shift := range 9 {
					b := []byte(strings.Repeat(" ", shift)[:max(shift-1, 0)] + "\n" + tt.line + after)
					from := max(shift-1, 0) + 1
					at, f := scanLine(b, from)
					if at-from != tt.at || f != tt.want {
						t.Fatalf("%q at %d: got %d %q, want %d %q", b, from, at-from, faultText[f], tt.at, faultText[tt.want])
					}
				}
			}
		})
	}
}

func TestScanBraces(t *testing.T) {
	for _, tt := range []struct {
		line string
		at   int
		want fault
	}{
		{`{}`, 2, ok},
		{" { nonsense }\t\r", 15, ok},
		{"{\xff}", 3, ok},
		{``, 0, notObject},
		{"  ", 2, notObject},
		{`{`, 0, notObject},
		{`x}`, 0, notObject},
		{` {"a":1`, 6, notObject},
	} {
		for _, after := range []string{"", "\n", "\n}\n"} {
			b := []byte("}\n" + tt.line + after)
			if at, f := scanBraces(b, 2); at-2 != tt.at || f != tt.want {
				t.Errorf("%q: got %d %q, want %d %q", b, at-2, faultText[f], tt.at, faultText[tt.want])
			}
		}
	}
}

// validRecord is what a valid line is, by the standard library. It is laxer
// in two ways: it takes any bytes for UTF-8, and 10,000 levels.
func validRecord(line []byte) bool {
	trimmed := bytes.TrimLeft(line, " \t\r")
	return utf8.Valid(line) && json.Valid(line) && trimmed[0] == '{' && depth(line) <= 512
}

// depth counts brackets outside of strings.
func depth(line []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

func checkScan(t interface{ Fatalf(string, ...any) }, line []byte) {
	want := validRecord(line)
	for _, after := range []string{"", "\n", "\n{}\n", "\n\"1234567890}"} {
		b := append(bytes.Clone(line), after...)
		at, f := scanLine(b, 0)
		if (f == ok) != want {
			t.Fatalf("%q + %q: got %q at %d, want valid = %t", line, after, faultText[f], at, want)
		}
		if at > len(line) || f == ok && at != len(line) {
			t.Fatalf("%q + %q: stopped at %d of %d", line, after, at, len(line))
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[1,-2.5e3,true,false,null,"x\u00e9\n"],"b":{"c":{}}} `, "{\"é\":\"\xff\"}", `{"a":"\ud800"}`,
		`{"a":` + nested("[", "]", 512) + `}`, ` {"a" : 1 , "b":0.0 }` + "\r", `[{}]`, "\ufeff{}", `{"a":1}{`, "{\"\x00\":1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		line, _, _ := bytes.Cut(b, []byte{'\n'})
		checkScan(t, line)
	})
}

// Random objects with a few bytes changed are nearer to valid lines than
// random bytes are.
func TestScanModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := []byte(drawValue(t, "{", 0))
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			i := rapid.IntRange(0, len(line)-1).Draw(t, "at")
			c := rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("{}[]\",:\\eE+-.0 \t\r\x00\x80"))).Draw(t, "byte")
			if c != '\n' {
				line[i] = c
			}
		}
		checkScan(t, line)
	})
}

// drawValue draws the JSON text of a value; kind is its first byte, or "".
func drawValue(t *rapid.T, kind string, depth int) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\t", "  \r"})
	if kind == "" {
		kinds := []string{`"`, "0", "w", "{", "["}
		if depth > 3 {
			kinds = kinds[:3]
		}
		kind = rapid.SampledFrom(kinds).Draw(t, "kind")
	}
	var s string
	switch kind {
	case `"`:
		s = `"` + rapid.StringMatching(`([ -!#-\[\]-~]{0,12}|é|日本|😀|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,4}`).Draw(t, "string") + `"`
	case "0":
		s = rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
	case "w":
		s = rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
	case "{", "[":
		var items []string
		for range rapid.IntRange(0, 4).Draw(t, "items") {
			item := drawValue(t, "", depth+1)
			if kind == "{" {
				item = drawValue(t, `"`, depth) + ":" + item
			}
			items = append(items, item)
		}
		s = kind + space.Draw(t, "space") + strings.Join(items, ",") + map[string]string{"{": "}", "[": "]"}[kind]
	}
	return space.Draw(t, "space") + s + space.Draw(t, "space")
}
