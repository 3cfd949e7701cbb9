package chunk

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"
)

// hostile are pieces of lines that become much more than they are, or that
// records are told apart by.
var hostile = []string{
	"\n", "\n\n\n\n\n\n\n\n", "\r\n", "\x00", "\x01\x02\x1f", `"`, `\`, `""""\\\\`, "\xff", "\xfe\xff\x80", "é", "日本語", "\ufffd", " ", "\t",
	"{}", "{}\n", "{", "}", "}}}}", `{"a":1}`, `{"a":1}{"a":2}` + "\n", `{"p":{"q":[1,2,{"r":0}]}}` + "\n", `{"a":"` + "\x7f" + `"}`, "[[[[", "1e9999\n", "x", "plain text\n",
	"2026-01-02T03:04:05Z stdout F \n", "2026-01-02T03:04:05.123456789Z stderr P x\n", "2026-01-02T03:04:05Z stdout P \x01\x02\xff\n", "2026-01-02T03:04:05Z stdout F\n",
	`{"log":"\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}` + "\n", `{"log":"\u0001","stream":"stderr","time":"2026-01-02T03:04:05Z"}` + "\n",
	"\n\x00", "\x00\n", "\x0a\x0a", "\x83\x40\x83", "\x1b$B",
}

func drawHostile(t *rapid.T) []byte {
	var b []byte
	for range rapid.IntRange(0, 20).Draw(t, "pieces") {
		piece := rapid.SampledFrom(hostile).Draw(t, "piece")
		b = append(b, bytes.Repeat([]byte(piece), rapid.SampledFrom([]int{1, 2, 7, 50}).Draw(t, "times"))...)
	}
	return b
}

// encoders are all ways to make records.
func encoders(t testing.TB) map[string]*Encoder {
	path, err := ParsePathFields("/{a}/{b}/*.log")
	if err != nil {
		t.Fatal(err)
	}
	static := map[string]any{"text": strings.Repeat("\x01\"\\", 200), "n": int64(-1 << 63), "x": 1.5, "yes": true}
	var all []EncoderOptions
	for _, o := range []EncoderOptions{
		{Format: JSON}, {Format: JSON, Validate: true}, {Format: JSON, Validate: true, Stream: true},
		{Format: Text}, {Format: CRI}, {Format: Docker},
		{Format: Text, Begins: regexp.MustCompile(`^[^x ]`).Match}, {Format: Text, Begins: regexp.MustCompile(`^`).Match},
	} {
		all = append(all, o)
		if o.Format == Text && o.Begins == nil {
			for _, c := range []encoding.Encoding{
				charmap.Windows1252, charmap.CodePage437, charmap.KOI8R, japanese.ShiftJIS, japanese.ISO2022JP,
				unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM),
			} {
				o.Charset = c
				all = append(all, o)
			}
		}
		if o.Format != JSON {
			continue
		}
		if o.Validate {
			o.Fields = []string{"time", "host", "file", "offset"}
			all = append(all, o)
			o.Drop, o.Mask = []string{"x"}, []string{"a", "p.q"}
			all = append(all, o)
		}
	}
	encoders := make(map[string]*Encoder)
	for i, o := range all {
		for _, more := range []bool{false, true} {
			if more && o.Format == JSON && !o.Validate {
				continue
			}
			for _, long := range []int{16, 1 << 10, 0} {
				o.Host, o.MaxLineSize = "host-1", long
				if more {
					o.Static, o.Path = static, path
				}
				encoders[fmt.Sprintf("%d %v more=%v max=%d", i, o.Format, more, long)] = NewEncoder(o)
			}
		}
	}
	return encoders
}

// What records become is bounded before they are made, of the first lines too.
func TestRecordSize(t *testing.T) {
	all := encoders(t)
	names := slices.Sorted(maps.Keys(all))
	files := []string{"/var/x.log", "/\x01\x02\xff/\"\\/x.log", "/" + strings.Repeat("\x01", 250) + "/b/c.log", "/nothing"}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "encoder")
		e, data := all[name], drawHostile(t)
		l := Lines{
			File: rapid.SampledFrom(files).Draw(t, "file"), From: 1 << 60, Time: readAt, Data: data,
			Part: rapid.SampledFrom([]int{0, 0, 1, 1e9}).Draw(t, "part"), Cut: rapid.Bool().Draw(t, "cut"),
		}
		n := rapid.Int64Range(0, 1000).Draw(t, "lines")
		first := e.First(data, n)
		if first == 0 && len(data) > 0 {
			t.Fatalf("%s: nothing is taken of %q", name, data)
		}
		for _, size := range []int{first, len(data)} {
			l.Data = data[:size]
			if e.wide != nil {
				l.Data = data[:size&^1]
			}
			if e.Unwraps() {
				w := Wrapped{Lines: l.Data, From: l.From, Part: l.Part, Cut: l.Cut, All: true}
				e.Unwrap(&w)
				l.Data = w.Items
			}
			got, counts := e.Append(nil, &l)
			if counts.Records > e.Records(l.Data) {
				t.Fatalf("%s: %q became %d records, expected at most %d", name, l.Data, counts.Records, e.Records(l.Data))
			}
			if e.Unwraps() {
				l.Data = data[:size]
			}
			if counts.Records > e.Lines(l.Data) || size == first && counts.Records > max(1, n)+1 {
				t.Fatalf("%s: %q became %d records, expected at most %d, and %d of the first", name, l.Data, counts.Records, e.Lines(l.Data), n)
			}
			if most := Expansion*int64(len(l.Data)) + e.PerLine(l.File)*counts.Records; int64(len(got)) > most {
				t.Fatalf("%s: %q became %d bytes in %d records, expected at most %d: %q", name, l.Data, len(got), counts.Records, most, got)
			}
		}
	})
}

func BenchmarkLines(b *testing.B) {
	data := eventLines(1 << 20)
	e := NewEncoder(EncoderOptions{Format: Text, Host: "host-1", MaxLineSize: 1 << 20})
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		_ = e.PerLine("/var/log/app/current.log") * e.Lines(data)
	}
}
