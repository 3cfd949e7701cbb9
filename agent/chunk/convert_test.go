package chunk

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
)

var converted = map[string]encoding.Encoding{
	"utf-16le": utf16le, "utf-16be": utf16be, "latin1": charmap.ISO8859_1, "shift_jis": japanese.ShiftJIS, "gb18030": simplifiedchinese.GB18030,
}

// Objects in other encodings are records like all others: they are validated,
// changed, and sorted by time and fields.
func TestJSONIsConverted(t *testing.T) {
	for name, e := range converted {
		text := `{"t":"2026-01-02T03:04:05Z","user":"x","user":"\"y","secret":1,"n":"<"}` + "\r\n" + `{"user":"z` + "\n\n" + `["no object"]` + "\n"
		data := encoded(t, e, text)
		offset := int64(len(encoded(t, e, text[:strings.LastIndex(text, "[")])))
		enc := NewEncoder(EncoderOptions{Format: JSON, Validate: true, Charset: e, Fields: []string{"offset"}, Mask: []string{"user"}, Drop: []string{"secret"}})
		got, c := enc.Append(nil, &Lines{Data: data})
		if c != (Counts{Records: 3, Invalid: 2, Empty: 1}) {
			t.Errorf("%s: %+v", name, c)
		}
		first, _, _ := bytes.Cut(got, []byte("\n"))
		if want := `{"t":"2026-01-02T03:04:05Z","user":"***","user":"***","n":"<","offset":0}`; string(first) != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, first, want)
		}
		var last struct{ Offset int64 }
		lines := bytes.Split(bytes.TrimSpace(got), []byte("\n"))
		if err := json.Unmarshal(lines[2], &last); err != nil || last.Offset != offset {
			t.Errorf("%s: %s, want offset %d: %v", name, lines[2], offset, err)
		}
		plain := NewEncoder(EncoderOptions{Format: JSON, Validate: true, Charset: e})
		got, _ = plain.Append(nil, &Lines{Data: encoded(t, e, `{"a":"b"}`+"\r\n"+` no `+"\n")})
		if want := `{"a":"b"}` + "\n" + `{"raw":" no ","error":"not a JSON object at byte 1"}` + "\n"; string(got) != want {
			t.Errorf("%s: got %s", name, got)
		}
		p := NewPartitioner(PartitionOptions{Template: mustTemplate(t, "{date}/{field:user}|"+late), Encoder: enc, TimeField: "t"})
		var keys []string
		if err := p.Split(&Lines{Data: data, Time: time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)}, func(r Run) { keys = append(keys, r.Key[:16]) }); err != nil {
			t.Fatal(err)
		}
		if len(keys) != 2 || keys[0] != "2026-01-02/%22y|" || keys[1] != "2026-02-02/__HIV" {
			t.Errorf("%s: keys %q", name, keys)
		}
	}
}

// What means nothing in the encoding is kept, byte for byte.
func TestUnreadableJSONIsKept(t *testing.T) {
	line := "{\"a\":\"\x81\xff\"}"
	e := NewEncoder(EncoderOptions{Format: JSON, Validate: true, Charset: japanese.ShiftJIS})
	got, c := e.Append(nil, &Lines{Data: []byte(line + "\n")})
	var r struct {
		Raw []byte `json:"raw_base64"`
	}
	if err := json.Unmarshal(got, &r); err != nil || string(r.Raw) != line || c.Invalid != 1 {
		t.Errorf("%s %+v %v", got, c, err)
	}
	wide := NewEncoder(EncoderOptions{Format: JSON, Validate: true, Charset: utf16le})
	if got, _ := wide.Append(nil, &Lines{Data: encoded(t, utf16le, "{\"a\":\"\ufffd\"}\n")}); string(got) != "{\"a\":\"\ufffd\"}\n" {
		t.Errorf("the replacement character itself: %s", got)
	}
}

func FuzzConvertedJSON(f *testing.F) {
	f.Add([]byte("{\x00}\x00\n\x00"), "utf-16le")
	f.Add([]byte("{\"a\":\"\xe9\"}\n"), "latin1")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		charset := converted[name]
		if charset == nil {
			charset = utf16be
		}
		e := NewEncoder(EncoderOptions{Format: JSON, Validate: true, Charset: charset, MaxLineSize: 64, Fields: []string{"offset"}})
		got, c := e.Append(nil, &Lines{Data: data})
		if n := int64(bytes.Count(got, []byte{'\n'})); n != c.Records {
			t.Fatalf("%d records are counted, %d are there", c.Records, n)
		}
		for line := range bytes.Lines(got) {
			if at, f := scanLine(line, 0); f != ok {
				t.Fatalf("%s at byte %d of %q", faultText[f], at, line)
			}
		}
	})
}
