package printable

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		"/var/log/app.log":        "/var/log/app.log",
		"größe 日本 🙂":              "größe 日本 🙂",
		"a\n<0>kernel: fake":      `a\n<0>kernel: fake`,
		"a\r\tb\v\f\a\b\x00":      `a\r\tb\x0b\x0c\x07\x08\x00`,
		"\x1b[2J\x1b]0;title\x07": `\x1b[2J\x1b]0;title\x07`,
		"\u009b31m\x7f":           `\u009b31m\x7f`,
		"a\u202egol.txt\u2066":    `a\u202egol.txt\u2066`,
		"a\u200bb\ufeffc\u2060":   `a\u200bb\ufeffc\u2060`,
		"a\u2028b\u2029c\u0085":   `a\u2028b\u2029c\u0085`,
		"a\u00a0b\u3000":          `a\u00a0b\u3000`,
		"x\ufe0f\u3164\u034f":     `x\ufe0f\u3164\u034f`,
		"\U000e0041\U000e0100":    `\U000e0041\U000e0100`,
		"a\xff\xc3(\xe2\x82":      `a\xff\xc3(\xe2\x82`,
		"\ufffd":                  "\ufffd",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTextCutsLongValues(t *testing.T) {
	long := strings.Repeat("日", maxText)
	got := Text(long)
	if len(got) > maxText+40 || !strings.Contains(got, "more bytes)") || !utf8.ValidString(got) || strings.Contains(got, `\x`) {
		t.Errorf("%d bytes, ends in %q", len(got), got[len(got)-40:])
	}
	if path := strings.Repeat("/d", 2048); Text(path) != path {
		t.Error("a path of 4,096 bytes is cut")
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b[31m\u202e\xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("Text(%q) = %q", s, got)
		}
		if Text(got) != got && len(s) <= maxText {
			t.Errorf("Text(%q) is not stable: %q, %q", s, got, Text(got))
		}
	})
}

// What JSON escapes is the same value to every reader.
func FuzzJSON(f *testing.F) {
	f.Add("a\x1b[31m\u202e\u009b\U000e0041\n")
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Fatal(err)
		}
		escaped := JSON(nil, text)
		var before, after map[string]string
		if json.Unmarshal(text, &before) != nil || json.Unmarshal(escaped, &after) != nil || len(after) != 1 {
			t.Fatalf("%q is not JSON", escaped)
		}
		for k, v := range before {
			if after[k] != v {
				t.Errorf("%q is %q now", before, after)
			}
		}
		for _, r := range string(escaped) {
			if !visible(r) {
				t.Errorf("%q has %U", escaped, r)
			}
		}
	})
}
