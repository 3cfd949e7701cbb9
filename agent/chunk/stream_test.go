package chunk

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func streamEncoder(limit int) *Encoder {
	return NewEncoder(EncoderOptions{Format: JSON, Validate: true, Stream: true, MaxLineSize: limit})
}

func TestStream(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		l        Lines
		want     string
		counts   Counts
		rest     int // bytes at the end that are not whole
	}{
		{name: "one line, byte for byte", in: "{ \"id\": 12345678901234567890 }\n", want: "{ \"id\": 12345678901234567890 }\n", counts: Counts{Records: 1}},
		{name: "several lines", in: "{\n  \"id\": 12345678901234567890,\r\n\t\"a b\": [\n    1.0, {}\n  ],\n  \"s\": \" x\\n { \"\n}\n",
			want: `{"id":12345678901234567890,"a b":[1.0,{}],"s":" x\n { "}` + "\n", counts: Counts{Records: 1}},
		{name: "no newline between", in: "{\"a\":1}{\"b\":2} {\n\"c\":3\n}{\"d\":4}", want: "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n{\"d\":4}\n", counts: Counts{Records: 4}},
		{name: "white space only", in: " \n\r\n\t"},
		{name: "a torn object at the end", in: "{\"a\":1}\n{\n \"b\": \"x", want: `{"a":1}` + "\n" + `{"raw":"{\n \"b\": \"x","error":"unexpected end at byte 10"}` + "\n", counts: Counts{Records: 2, Invalid: 1}, rest: 10},
		{name: "a torn escape at the end", in: `{"b": "\u00`, want: `{"raw":"{\"b\": \"\\u00","error":"unexpected end at byte 11"}` + "\n", counts: Counts{Records: 1, Invalid: 1}, rest: 11},
		{name: "a torn character at the end", in: "{\"b\": \"\xc3", want: `{"raw":"{\"b\": \"` + "\uFFFD" + `","raw_base64":"eyJiIjogIsM=","error":"unexpected end at byte 8"}` + "\n", counts: Counts{Records: 1, Invalid: 1}, rest: 8},
		{name: "text between", in: "one\r\n\n{\"a\":1} two\n  three\n{\n\"b\":2\n},\n4", counts: Counts{Records: 7, Invalid: 5}, rest: 1,
			want: `{"raw":"one\r","error":"not a JSON object at byte 0"}` + "\n" + `{"a":1}` + "\n" + `{"raw":"two","error":"not a JSON object at byte 0"}` + "\n" +
				`{"raw":"three","error":"not a JSON object at byte 0"}` + "\n" + `{"b":2}` + "\n" + `{"raw":",","error":"not a JSON object at byte 0"}` + "\n" + `{"raw":"4","error":"not a JSON object at byte 0"}` + "\n"},
		{name: "wrong on its first line", in: "{\"a\":tru}\nx\n", want: `{"raw":"{\"a\":tru}","error":"invalid character at byte 8"}` + "\n" + `{"raw":"x","error":"not a JSON object at byte 0"}` + "\n", counts: Counts{Records: 2, Invalid: 2}},
		{name: "wrong on another", in: "{\n 'a': 1,\n \"b\": {\n }\n}\n{\"c\":3}\n", want: `{"raw":"{\n 'a': 1,\n \"b\": {\n }\n}","error":"invalid character at byte 3"}` + "\n" + `{"c":3}` + "\n", counts: Counts{Records: 2, Invalid: 1}},
		{name: "torn, and begun anew", in: "{\n \"a\": \"x{\n \"a\": 1\n}\n{\n \"b\": 2,\n{\n \"c\": 3\n}\n", counts: Counts{Records: 3, Invalid: 2},
			want: `{"raw":"{\n \"a\": \"x{\n \"a\": 1\n}","error":"invalid character at byte 11"}` + "\n" + `{"raw":"{\n \"b\": 2,","error":"unexpected end at byte 10"}` + "\n" + `{"c":3}` + "\n"},
		{name: "wrong to the end", in: "{\n 'a': 1\n", want: `{"raw":"{\n 'a': 1","error":"invalid character at byte 3"}` + "\n", counts: Counts{Records: 1, Invalid: 1}, rest: 10},
		{name: "too long", in: "{\n \"a\":\n  [\"0123456789\",\n  \"01234567890123456789\"]\n} {\"b\":2}\n", counts: Counts{Records: 4, Parts: 3},
			want: `{"raw":"{\n \"a\":\n  [\"012345678","error":"line longer than max_line_size","part":0}` + "\n" +
				`{"raw":"9\",\n  \"01234567890123","error":"line longer than max_line_size","part":1}` + "\n" +
				`{"raw":"456789\"]\n}","error":"line longer than max_line_size","part":2,"last":true}` + "\n" + `{"b":2}` + "\n"},
		{name: "too long by one byte", in: "{\n\"a\":\"1234567890123\"}\n{\"b\":2}", counts: Counts{Records: 3, Parts: 2},
			want: `{"raw":"{\n\"a\":\"1234567890123\"","error":"line longer than max_line_size","part":0}` + "\n" + `{"raw":"}\n","error":"line longer than max_line_size","part":1,"last":true}` + "\n" + `{"b":2}` + "\n"},
		{name: "just short enough", in: "{\n\"a\":\"123456789012\"}\n", want: `{"a":"123456789012"}` + "\n", counts: Counts{Records: 1}},
		{name: "a long line of text", in: strings.Repeat("x", 25) + "\n{\"b\":2}\n", counts: Counts{Records: 3, Parts: 2},
			want: `{"raw":"xxxxxxxxxxxxxxxxxxxxx","error":"line longer than max_line_size","part":0}` + "\n" + `{"raw":"xxxx\n","error":"line longer than max_line_size","part":1,"last":true}` + "\n" + `{"b":2}` + "\n"},
		{name: "the rest of something too long", in: "xyz\n\"}\n}{\"b\":2}\n", l: Lines{Part: 3}, want: `{"raw":"xyz\n\"}\n}","error":"line longer than max_line_size","part":3,"last":true}` + "\n" + `{"b":2}` + "\n", counts: Counts{Records: 2, Parts: 1}},
		{name: "a rest of a newline", in: "\n{\"b\":2}\n", l: Lines{Part: 1}, want: `{"raw":"\n","error":"line longer than max_line_size","part":1,"last":true}` + "\n" + `{"b":2}` + "\n", counts: Counts{Records: 2, Parts: 1}},
		{name: "cut", in: "{\"b\":2}{\n\"012345678901234567890123456789012345678", l: Lines{Cut: true}, counts: Counts{Records: 3, Parts: 2}, rest: 42,
			want: `{"b":2}` + "\n" + `{"raw":"{\n\"012345678901234567","error":"line longer than max_line_size","part":0}` + "\n" + `{"raw":"890123456789012345678","error":"line longer than max_line_size","part":1}` + "\n"},
		{name: "deep", in: strings.Repeat("{\"\":", 512) + "{}\n", want: "", counts: Counts{Records: 1, Invalid: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := streamEncoder(21)
			if tt.name == "several lines" || tt.name == "one line, byte for byte" || tt.name == "deep" {
				e = streamEncoder(0)
			} else if strings.HasPrefix(tt.name, "wrong") || strings.HasPrefix(tt.name, "torn") {
				e = streamEncoder(40)
			}
			tt.l.Data = []byte(tt.in)
			got, counts := e.Append(nil, &tt.l)
			if tt.want != "" && string(got) != tt.want || counts != tt.counts {
				t.Errorf("got  %s%+v\nwant %s%+v", got, counts, tt.want, tt.counts)
			}
			if whole := e.Stream()(tt.l.Data, tt.l.Part > 0); whole != len(tt.in)-tt.rest {
				t.Errorf("%d of %d bytes are whole, want all but %d", whole, len(tt.in), tt.rest)
			}
		})
	}
}

// Case: fields are added and values dropped, offset is that of the object's first byte.
func TestStreamIsEdited(t *testing.T) {
	e := NewEncoder(EncoderOptions{Format: JSON, Validate: true, Stream: true, Fields: []string{"offset"}, Drop: []string{"secret"}, Static: map[string]any{"env": "x"}})
	got, _ := e.Append(nil, &Lines{From: 100, Data: []byte("\n{\n \"a\": 1,\n \"secret\": {\"b\": 2}\n}\n{ \"c\": 3 }\nsecret\n{\n\"secret\":\n")})
	want := `{"a":1,"offset":101,"env":"x"}` + "\n" + `{ "c": 3 ,"offset":134,"env":"x"}` + "\n" +
		`{"raw_withheld":6,"error":"not a JSON object at byte 0","offset":145,"env":"x"}` + "\n" + `{"raw_withheld":11,"error":"unexpected end at byte 11","offset":152,"env":"x"}` + "\n"
	if string(got) != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

// drawObject returns a JSON object as some program may write it.
func drawObject(t *rapid.T) []byte {
	var value func(depth int) any
	value = func(depth int) any {
		kind := rapid.IntRange(0, 6).Draw(t, "kind")
		if depth > 3 {
			kind %= 4
		}
		switch kind {
		case 0:
			return json.Number(rapid.SampledFrom([]string{"0", "-1", "12345678901234567890", "1.50", "1e-7"}).Draw(t, "number"))
		case 1:
			return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "word")
		case 2, 3:
			return rapid.StringOfN(rapid.RuneFrom([]rune("ab {}[]\",:\\\n\té世\u0001")), 0, 8, -1).Draw(t, "string")
		case 4:
			list := []any{}
			for range rapid.IntRange(0, 3).Draw(t, "elements") {
				list = append(list, value(depth+1))
			}
			return list
		}
		object := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			object[rapid.StringOfN(rapid.RuneFrom([]rune("ab\"{é ")), 0, 4, -1).Draw(t, "key")] = value(depth + 1)
		}
		return object
	}
	object := map[string]any{"v": value(1)}
	if rapid.Bool().Draw(t, "one line") {
		b, err := json.Marshal(object)
		must(t, err)
		return b
	}
	b, err := json.MarshalIndent(object, "", rapid.StringMatching(`[ \t]{0,4}`).Draw(t, "indent"))
	must(t, err)
	if rapid.Bool().Draw(t, "carriage returns") {
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}
	return b
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inPieces hands data on as a tailer does that sees it grow, and returns the records.
func inPieces(t *rapid.T, e *Encoder, data []byte) (records []byte, sum Counts) {
	at, part := 0, 0
	add := func(l Lines) {
		var c Counts
		l.From = int64(at)
		records, c = e.Append(records, &l)
		sum.Records, sum.Invalid, sum.Parts = sum.Records+c.Records, sum.Invalid+c.Invalid, sum.Parts+c.Parts
		at += len(l.Data)
	}
	for end := 0; ; {
		n := e.Stream()(data[at:end], part > 0)
		switch parts := max(0, end-at-1) / e.maxLine; {
		case n > 0:
			add(Lines{Data: data[at : at+n], Part: part})
			part = 0
		case parts > 0:
			add(Lines{Data: data[at : at+parts*e.maxLine], Part: part, Cut: true})
			part += parts
		case end == len(data):
			if at < end || part > 0 {
				add(Lines{Data: data[at:], Part: part})
			}
			if at != len(data) {
				t.Fatalf("%d of %d bytes are handed on", at, len(data))
			}
			return records, sum
		default:
			end = min(len(data), end+rapid.IntRange(1, 40).Draw(t, "grows"))
		}
	}
}

// Whatever indents objects, and wherever reads end, each is one record, the same
// as the standard library makes of it.
func TestStreamIsCompacted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := streamEncoder(0)
		e.maxLine = 1 << 20
		var data []byte
		var want bytes.Buffer
		n := rapid.IntRange(0, 6).Draw(t, "objects")
		for range n {
			o := drawObject(t)
			data = append(append(data, o...), rapid.SampledFrom([]string{"", "\n", " ", "\r\n", "\n\n\t"}).Draw(t, "between")...)
			must(t, json.Compact(&want, o))
			want.WriteByte('\n')
		}
		got, c := inPieces(t, e, data)
		if string(got) != want.String() || c.Records != int64(n) || c.Invalid > 0 {
			t.Fatalf("%q became %+v\n%swant\n%s", data, c, got, want.String())
		}
	})
}

// Broken streams too give the same records wherever reads end, and every byte
// but white space between items arrives.
func TestStreamIsTheSameInPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		for range rapid.IntRange(1, 5).Draw(t, "items") {
			o := drawObject(t)
			switch rapid.IntRange(0, 3).Draw(t, "broken") {
			case 0:
				o = o[:rapid.IntRange(0, len(o)).Draw(t, "torn")]
			case 1:
				o = rapid.SliceOfN(rapid.SampledFrom([]byte("{}\n\n\r x\"\\u1\xc3[,")), 0, 30).Draw(t, "text")
			}
			data = append(append(data, o...), rapid.SampledFrom([]string{"", "\n", "\n}\n"}).Draw(t, "between")...)
		}
		e := streamEncoder(rapid.IntRange(1, 60).Draw(t, "limit"))
		want, counts := e.Append(nil, &Lines{Data: data})
		got, c := inPieces(t, e, data)
		if !bytes.Equal(got, want) || c != counts {
			t.Fatalf("%q, at most %d:\n%s%+v\nat once\n%s%+v", data, e.maxLine, got, c, want, counts)
		}
		if sent, all := contents(t, want), bytes.Map(noBlank, data); !bytes.Equal(bytes.Map(noBlank, sent), all) {
			t.Fatalf("%q, at most %d: %q is kept", data, e.maxLine, sent)
		}
	})
}

// contents are the bytes that records tell of.
func contents(t rapid.TB, records []byte) (all []byte) {
	for line := range bytes.Lines(records) {
		var r struct {
			Raw    *string
			Base64 []byte `json:"raw_base64"`
		}
		must(t, json.Unmarshal(line, &r))
		switch {
		case r.Raw == nil:
			all = append(all, line...)
		case r.Base64 != nil:
			all = append(all, r.Base64...)
		default:
			all = append(all, *r.Raw...)
		}
	}
	return all
}

func noBlank(r rune) rune {
	if strings.ContainsRune(" \t\r\n", r) {
		return -1
	}
	return r
}

// What is taken for an object is what scanLine takes for one once it is on one
// line, with the same fault at the same place where there are no newlines.
func FuzzStream(f *testing.F) {
	for _, s := range []string{"{}", "{\n\"a\": [1, {}, [], \"\\u12\"]\n}{", "{\"a\":tru\n}\n}", "{,}", "{\"a\" 1}", "{\"a\":[}", "[{\n}]\n{\"a\":1,}\n", "{\"\xc3\":-", "{\"a\":[[],}{"} {
		f.Add([]byte(s), 20)
	}
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		if i := skipBlank(data, 0); i < len(data) {
			end, f := scanStream(data, i)
			switch line := compact(nil, data[i:end]); {
			case f == ok:
				if at, f := scanLine(line, 0); f != ok || at != len(line) {
					t.Fatalf("%q: %s at byte %d", line, faultText[f], at)
				}
			case bytes.IndexByte(data, '\n') < 0:
				if at, other := scanLine(data, i); other != f || at != end {
					t.Fatalf("%s at byte %d, in a line %s at byte %d", faultText[f], end, faultText[other], at)
				}
			}
		}
		e := streamEncoder(1 + limit&63)
		whole := e.Stream()(data, false)
		all, counts := e.Append(nil, &Lines{Data: data})
		first, _ := e.Append(nil, &Lines{Data: data[:whole]})
		both, _ := e.Append(first, &Lines{From: int64(whole), Data: data[whole:]})
		if !bytes.Equal(all, both) {
			t.Fatalf("at once\n%sin two, cut at %d\n%s", all, whole, both)
		}
		if n := int64(bytes.Count(all, []byte{'\n'})); n != counts.Records {
			t.Fatalf("%d records are counted, %d are there", counts.Records, n)
		}
		for line := range bytes.Lines(all) {
			if at, f := scanLine(line, 0); f != ok {
				t.Fatalf("%s at byte %d of %q", faultText[f], at, line)
			}
		}
	})
}
