package chunk

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var readAt = time.Date(2026, 1, 2, 4, 4, 5, 678_000_000, time.FixedZone("CET", 3600))

func TestJSON(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		counts         Counts
	}{
		{"nothing", "", "", Counts{}},
		{"valid lines stay as they are", "{\"i\":98765432109876}\n { } \n", "{\"i\":98765432109876}\n { } \n", Counts{Records: 2}},
		{"CRLF", "{\"a\":1}\r\n{\"a\":2}\r\n", "{\"a\":1}\n{\"a\":2}\n", Counts{Records: 2}},
		{"only one CR is the line's end", "{} \r\r\n", "{} \r\n", Counts{Records: 1}},
		{"no newline at the end", "{}\n{\"a\":1}", "{}\n{\"a\":1}\n", Counts{Records: 2}},
		{"no newline, but CR", "{}\r", "{}\n", Counts{Records: 1}},
		{"empty lines", "\n\n \t\r\n{}\n\r\n{}\n\n", "{}\n{}\n", Counts{Records: 2, Empty: 5}},
		{"white space at the end", "{}\n  ", "{}\n", Counts{Records: 1, Empty: 1}},
		{
			"an invalid line among valid ones", "{}\nplain \"text\"\\\n{}\n",
			"{}\n" + `{"raw":"plain \"text\"\\","error":"not a JSON object at byte 0"}` + "\n{}\n",
			Counts{Records: 3, Invalid: 1},
		},
		{
			"cut", `{"a":` + "\n", `{"raw":"{\"a\":","error":"unexpected end at byte 5"}` + "\n",
			Counts{Records: 1, Invalid: 1},
		},
		{
			"CRLF and control characters in an invalid line", "x\x00\x01\t\x1f\x7f\r\n",
			`{"raw":"x\u0000\u0001\t\u001f` + "\x7f" + `\r","error":"not a JSON object at byte 0"}` + "\n",
			Counts{Records: 1, Invalid: 1},
		},
		{
			"NUL in a valid line", "{\"a\":\"\x00\"}\n", `{"raw":"{\"a\":\"\u0000\"}","error":"invalid character at byte 6"}` + "\n",
			Counts{Records: 1, Invalid: 1},
		},
		{
			"invalid UTF-8", "{\"a\":\"é\xff\xfe\"}\n",
			`{"raw":"{\"a\":\"é` + "\ufffd\ufffd" + `\"}","raw_base64":"eyJhIjoiw6n//iJ9","error":"invalid UTF-8 at byte 8"}` + "\n",
			Counts{Records: 1, Invalid: 1},
		},
		{"exactly as long as allowed", `{"a":"123456789"}` + "xxx\n", `{"raw":"{\"a\":\"123456789\"}xxx","error":"text after the JSON object at byte 17"}` + "\n", Counts{Records: 1, Invalid: 1}},
		{
			"too long, though valid", "{\"a\":\"12345678901234567890\"}\n{}\n",
			`{"raw":"{\"a\":\"12345678901234","error":"line longer than max_line_size","part":0}` + "\n" +
				`{"raw":"567890\"}","error":"line longer than max_line_size","part":1,"last":true}` + "\n{}\n",
			Counts{Records: 3, Parts: 2},
		},
		{
			"a part border within a character", strings.Repeat("x", 19) + "é\n",
			`{"raw":"xxxxxxxxxxxxxxxxxxx` + "\ufffd" + `","raw_base64":"eHh4eHh4eHh4eHh4eHh4eHh4eMM=","error":"line longer than max_line_size","part":0}` + "\n" +
				`{"raw":"` + "\ufffd" + `","raw_base64":"qQ==","error":"line longer than max_line_size","part":1,"last":true}` + "\n",
			Counts{Records: 2, Parts: 2},
		},
		{
			"CR alone in the last part", strings.Repeat("x", 20) + "\r\n",
			`{"raw":"xxxxxxxxxxxxxxxxxxxx","error":"line longer than max_line_size","part":0}` + "\n" +
				`{"raw":"\r","error":"line longer than max_line_size","part":1,"last":true}` + "\n",
			Counts{Records: 2, Parts: 2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEncoder(EncoderOptions{Validate: true, MaxLineSize: 20})
			got, counts := e.Append([]byte("before\n"), &Lines{Data: []byte(tt.in)})
			if want := "before\n" + tt.want; string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if counts != tt.counts {
				t.Errorf("got %+v, want %+v", counts, tt.counts)
			}
		})
	}
}

// Lines that are records as they are come back themselves.
func TestVerbatim(t *testing.T) {
	data := []byte("{}\n {\"a\":1} \n")
	for _, tt := range []struct {
		name     string
		l        Lines
		verbatim bool
	}{
		{"valid", Lines{Data: data}, true},
		{"none", Lines{Data: data[:0]}, true},
		{"the rest of a line before", Lines{Data: data, Part: 1}, false},
		{"no newline at the end", Lines{Data: data[:len(data)-1]}, false},
		{"an empty line", Lines{Data: append([]byte("\n"), data...)}, false},
	} {
		scratch := make([]byte, 0, 100)
		e := NewEncoder(EncoderOptions{Validate: true})
		got, counts := e.Encode(&scratch, &tt.l)
		if itself := unsafe.SliceData(got) == unsafe.SliceData(tt.l.Data); itself != tt.verbatim {
			t.Errorf("%s: verbatim %t, want %t", tt.name, itself, tt.verbatim)
		}
		want, wantCounts := e.Append([]byte("before"), &tt.l)
		if !bytes.Equal(got, want[len("before"):]) || counts != wantCounts {
			t.Errorf("%s: got %q, %+v, want %q, %+v", tt.name, got, counts, want, wantCounts)
		}
	}
}

func TestJSONTrusted(t *testing.T) {
	e := NewEncoder(EncoderOptions{})
	got, counts := e.Append(nil, &Lines{Data: []byte("{\"a\":\x00\xff}\r\n\n {nonsense} \n{\"cut\":\nx\n")})
	want := "{\"a\":\x00\xff}\n {nonsense} \n" +
		`{"raw":"{\"cut\":","error":"not a JSON object at byte 6"}` + "\n" +
		`{"raw":"x","error":"not a JSON object at byte 0"}` + "\n"
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if want := (Counts{Records: 4, Invalid: 2, Empty: 1}); counts != want {
		t.Errorf("got %+v, want %+v", counts, want)
	}
}

func TestText(t *testing.T) {
	head := `{"time":"2026-01-02T03:04:05.678Z","host":"h\"1","file":"/log/` + "\ufffd" + `.log",`
	for _, tt := range []struct {
		name   string
		fields []string
		in     string
		want   string
		counts Counts
	}{
		{"all fields", nil, "GET \"/\"\n", head + `"offset":1000,"message":"GET \"/\""}` + "\n", Counts{Records: 1}},
		{
			"CRLF, NUL, no newline at the end", []string{"offset", "message"}, "a\r\n\x00\n\r\r\nb\r",
			`{"offset":1000,"message":"a"}` + "\n" + `{"offset":1003,"message":"\u0000"}` + "\n" +
				`{"offset":1005,"message":"\r"}` + "\n" + `{"offset":1008,"message":"b\r"}` + "\n",
			Counts{Records: 4},
		},
		{
			"empty lines are kept", []string{"message"}, "\n\r\n \n",
			`{"message":""}` + "\n" + `{"message":""}` + "\n" + `{"message":" "}` + "\n", Counts{Records: 3},
		},
		{
			"order of fields", []string{"message", "host", "offset", "time"}, "a\nb\n",
			`{"message":"a","host":"h\"1","offset":1000,"time":"2026-01-02T03:04:05.678Z"}` + "\n" +
				`{"message":"b","host":"h\"1","offset":1002,"time":"2026-01-02T03:04:05.678Z"}` + "\n",
			Counts{Records: 2},
		},
		{"no message", []string{"offset", "host"}, "a\n", `{"offset":1000,"host":"h\"1"}` + "\n", Counts{Records: 1}},
		{
			"invalid UTF-8", []string{"message", "offset"}, "caf\xe9 au lait\n",
			`{"message":"caf` + "\ufffd" + ` au lait","message_base64":"Y2Fm6SBhdSBsYWl0","offset":1000}` + "\n", Counts{Records: 1},
		},
		{
			"long line", []string{"offset", "message"}, "12345678901234567890123456789012345678901\r\nx\n",
			`{"offset":1000,"message":"12345678901234567890","part":0}` + "\n" +
				`{"offset":1020,"message":"12345678901234567890","part":1}` + "\n" +
				`{"offset":1040,"message":"1","part":2,"last":true}` + "\n" +
				`{"offset":1043,"message":"x"}` + "\n",
			Counts{Records: 4, Parts: 3},
		},
		{
			"CR alone in the last part", []string{"message"}, "12345678901234567890\r\n",
			`{"message":"12345678901234567890","part":0}` + "\n" + `{"message":"","part":1,"last":true}` + "\n",
			Counts{Records: 2, Parts: 2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := NewEncoder(EncoderOptions{Format: Text, Fields: tt.fields, Host: `h"1`, MaxLineSize: 20})
			got, counts := e.Append(nil, &Lines{File: "/log/\xff.log", From: 1000, Time: readAt, Data: []byte(tt.in)})
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if counts != tt.counts {
				t.Errorf("got %+v, want %+v", counts, tt.counts)
			}
		})
	}
}

// A path longer than the encoder's buffer is still right.
func TestTextLongPath(t *testing.T) {
	file := "/" + strings.Repeat("d/", 2000)
	got, _ := NewEncoder(EncoderOptions{Format: Text, Fields: []string{"file", "message"}}).
		Append(nil, &Lines{File: file, Data: []byte("a\n")})
	if want := fmt.Sprintf(`{"file":%q,"message":"a"}`+"\n", file); string(got) != want {
		t.Errorf("got %s", got)
	}
}

// A line that was cut goes on with the part it was cut at.
func TestContinued(t *testing.T) {
	e := NewEncoder(EncoderOptions{Validate: true, MaxLineSize: 4})
	for _, tt := range []struct {
		l    Lines
		want string
	}{
		{Lines{Data: []byte("{}\nabcd"), Cut: true}, "{}\n" + `{"raw":"abcd",E,"part":0}`},
		{Lines{Data: []byte("efghijkl"), Part: 1, Cut: true}, `{"raw":"efgh",E,"part":1}` + "\n" + `{"raw":"ijkl",E,"part":2}`},
		{Lines{Data: []byte("m\n{}\n"), Part: 3}, `{"raw":"m",E,"part":3,"last":true}` + "\n{}"},
		{Lines{Data: []byte("\n{}\n"), Part: 3}, `{"raw":"",E,"part":3,"last":true}` + "\n{}"},
		{Lines{Data: []byte("mn"), Part: 3}, `{"raw":"mn",E,"part":3,"last":true}`},
		{Lines{Data: []byte("{}  "), Cut: true}, `{"raw":"{}  ",E,"part":0}`},
		{Lines{Part: 3}, ""},
	} {
		got, _ := e.Append(nil, &tt.l)
		want := strings.ReplaceAll(tt.want, "E", `"error":"line longer than max_line_size"`)
		if want != "" {
			want += "\n"
		}
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Encoding allocates nothing once dst is big enough.
func TestEncodeAllocations(t *testing.T) {
	events, access := eventLines(64<<10), accessLines(64<<10)
	events = append(events, "invalid\xff\n\n{}\r\n"...)
	for _, o := range []EncoderOptions{{Validate: true}, {}, {Format: Text}} {
		for _, data := range [][]byte{events, access} {
			o.MaxLineSize = 520
			e := NewEncoder(o)
			l := &Lines{File: "/var/log/app/access.log", Time: readAt, Data: data}
			dst, _ := e.Append(nil, l)
			if n := testing.AllocsPerRun(5, func() { dst, _ = e.Append(dst[:0], l) }); n > 0 {
				t.Errorf("%+v: %v allocations", o, n)
			}
		}
	}
}

func TestNewEncoderRefusesFields(t *testing.T) {
	for _, fields := range [][]string{{"massage"}, {"host", "host"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q: no panic", fields)
				}
			}()
			NewEncoder(EncoderOptions{Format: Text, Fields: fields})
		}()
	}
}

// Any number of goroutines may use one encoder.
func TestEncoderConcurrently(t *testing.T) {
	e := NewEncoder(EncoderOptions{Format: Text, Host: "h"})
	results := make(chan []byte, 4)
	for range cap(results) {
		go func() {
			got, _ := e.Append(nil, &Lines{File: "f", Time: readAt, Data: accessLines(32 << 10)})
			results <- got
		}()
	}
	first := <-results
	for range cap(results) - 1 {
		if !bytes.Equal(first, <-results) {
			t.Error("results differ")
		}
	}
}
