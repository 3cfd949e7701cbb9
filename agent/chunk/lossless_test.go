package chunk

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// decoded is any record that the encoder makes itself.
type decoded struct {
	Raw           *string `json:"raw"`
	RawBase64     []byte  `json:"raw_base64"`
	Error         string  `json:"error"`
	Time          string  `json:"time"`
	Host          string  `json:"host"`
	File          string  `json:"file"`
	Offset        int64   `json:"offset"`
	Message       *string `json:"message"`
	MessageBase64 []byte  `json:"message_base64"`
	Part          *int    `json:"part"`
	Last          bool    `json:"last"`
}

// content returns the bytes that a record stands for.
func (d *decoded) content(t *testing.T) []byte {
	s, b := d.Raw, d.RawBase64
	if s == nil {
		s, b = d.Message, d.MessageBase64
	}
	if s == nil {
		t.Fatalf("neither raw nor message: %+v", d)
	}
	if b == nil {
		return []byte(*s)
	}
	if utf8.Valid(b) {
		t.Fatalf("base64 of valid UTF-8 %q", b)
	}
	if want := string(bytes.ToValidUTF8(b, nil)); len(*s) <= len(want) {
		t.Fatalf("%q stands for %q", *s, b)
	}
	return b
}

// records takes encoded records apart.
type records struct {
	t    *testing.T
	rest []byte
}

func (r *records) next() []byte {
	line, rest, found := bytes.Cut(r.rest, []byte{'\n'})
	if !found {
		r.t.Fatalf("a record is missing, left is %q", r.rest)
	}
	r.rest = rest
	return line
}

func (r *records) nextDecoded() *decoded {
	line := r.next()
	d := &decoded{}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil || !utf8.Valid(line) {
		r.t.Fatalf("%q: %v", line, err)
	}
	return d
}

// parts puts the parts of one line together.
func (r *records) parts(limit int, offset int64) []byte {
	var line []byte
	for want := 0; ; want++ {
		d := r.nextDecoded()
		if d.Part == nil || *d.Part != want {
			r.t.Fatalf("got %+v, want part %d", d, want)
		}
		if d.Message != nil && d.Offset != offset+int64(want*limit) {
			r.t.Fatalf("part %d at offset %d", want, d.Offset)
		}
		line = append(line, d.content(r.t)...)
		if d.Last {
			return line
		}
	}
}

// Every line can be had back from its records.
func FuzzEncoder(f *testing.F) {
	for _, s := range []string{
		"{}\n{\"a\":1}\r\n\nx\n", "\xff\xfe{\n\x00\x00\n", "no newline", "\n\n \r\n", "{\"a\":\"\\ud800\"}\n{\"é\":\"日本\"}\n", "aaaaaaaaaaaaaaaaaaaaaaé\r\n{}",
	} {
		for limit := range 3 {
			f.Add([]byte(s), uint8(limit*7), false)
			f.Add([]byte(s), uint8(limit*7), true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, limit uint8, validate bool) {
		max := int(limit) + 1
		checkJSON(t, data, max, validate)
		checkText(t, data, max)
	})
}

func checkJSON(t *testing.T, data []byte, limit int, validate bool) {
	out, counts := NewEncoder(EncoderOptions{Validate: validate, MaxLineSize: limit}).Append(nil, &Lines{Data: data})
	r := &records{t, out}
	var want Counts
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		trimmed := bytes.Trim(line, " \t\r")
		valid := len(trimmed) > 0 && trimmed[0] == '{' && trimmed[len(trimmed)-1] == '}'
		if validate {
			valid = valid && validRecord(line)
		}
		switch {
		case len(line) > limit:
			want.Parts += int64((len(line) + limit - 1) / limit)
			if got := r.parts(limit, 0); !bytes.Equal(got, line) {
				t.Fatalf("got %q, want %q", got, line)
			}
		case len(trimmed) == 0:
			want.Empty++
		case valid:
			want.Records++
			if got := r.next(); !bytes.Equal(got, bytes.TrimSuffix(line, []byte{'\r'})) {
				t.Fatalf("got %q, want %q", got, line)
			}
		default:
			want.Records++
			want.Invalid++
			d := r.nextDecoded()
			if got := d.content(t); !bytes.Equal(got, line) || d.Error == "" || d.Part != nil {
				t.Fatalf("got %q and %+v, want %q", got, d, line)
			}
		}
	}
	want.Records += want.Parts
	if len(r.rest) > 0 || counts != want {
		t.Fatalf("left %q, counts %+v, want %+v", r.rest, counts, want)
	}
}

func checkText(t *testing.T, data []byte, limit int) {
	out, counts := NewEncoder(EncoderOptions{Format: Text, Host: "h", MaxLineSize: limit}).
		Append(nil, &Lines{File: "f\n", From: 7, Time: readAt, Data: data})
	r := &records{t, out}
	offset := int64(7)
	for whole := range bytes.Lines(data) {
		line, terminated := bytes.CutSuffix(whole, []byte{'\n'})
		want := line
		if terminated {
			want = bytes.TrimSuffix(line, []byte{'\r'})
		}
		var got []byte
		if len(line) > limit {
			got = r.parts(limit, offset)
		} else {
			d := r.nextDecoded()
			got = d.content(t)
			if d.Host != "h" || d.File != "f\n" || d.Time != "2026-01-02T03:04:05.678Z" || d.Offset != offset || d.Part != nil {
				t.Fatalf("got %+v, want offset %d", d, offset)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		offset += int64(len(whole))
	}
	if n := bytes.Count(out, []byte{'\n'}); len(r.rest) > 0 || counts.Records != int64(n) {
		t.Fatalf("left %q, %+v for %d records", r.rest, counts, n)
	}
}

// The records do not depend on where the tailer cuts: behind newlines, and
// within long lines at part borders.
func TestCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		data := []byte(rapid.StringMatching(`(([a-z\r\x{0}" ]|é|\xff){0,40}|\{"a":[0-9]{1,20}\}|\{\}|[ \r]{0,3}|\{"a":"é{0,9}")(\r?\n(\{\}\n)*)`).Draw(t, "head") +
			rapid.StringMatching(`(([a-z\r\x{0}" ]|é){0,60}\r?\n|\{"a":[0-9]{1,20}\}\r?\n|\{\}\n){0,8}[a-z\r{}]{0,40}`).Draw(t, "tail"))
		if rapid.Bool().Draw(t, "break UTF-8") {
			data = bytes.ReplaceAll(data, []byte("é"), []byte("\xc3"))
		}
		e := NewEncoder(EncoderOptions{
			Format:      rapid.SampledFrom([]Format{JSON, Text}).Draw(t, "format"),
			Validate:    rapid.Bool().Draw(t, "validate"),
			MaxLineSize: limit,
		})
		want, wantCounts := e.Append(nil, &Lines{From: 100, Time: readAt, Data: data})
		var got, scratch []byte
		var sum Counts
		for _, l := range drawCuts(t, data, limit) {
			records, c := e.Encode(&scratch, &l)
			got = append(got, records...)
			sum.Records += c.Records
			sum.Parts += c.Parts
			sum.Invalid += c.Invalid
			sum.Empty += c.Empty
		}
		if !bytes.Equal(got, want) || sum != wantCounts {
			t.Fatalf("%q:\ngot  %s\nwant %s\n%+v, want %+v", data, got, want, sum, wantCounts)
		}
	})
}

// drawCuts cuts data as the tailer does.
func drawCuts(t *rapid.T, data []byte, limit int) []Lines {
	var spans []Lines
	l := Lines{From: 100, Time: readAt}
	start := 0 // of the span
	cut := func(at, part int) {
		if at == start || !rapid.Bool().Draw(t, "cut") {
			return
		}
		l.Data, l.Cut = data[start:at], part > 0
		spans = append(spans, l)
		l = Lines{From: 100 + int64(at), Time: readAt, Part: part}
		start = at
	}
	for i := 0; i < len(data); {
		end := lineEnd(data, i)
		for part := 1; i+part*limit < end; part++ {
			cut(i+part*limit, part)
		}
		i = min(end+1, len(data))
		cut(i, 0)
	}
	l.Data = data[start:]
	return append(spans, l)
}
