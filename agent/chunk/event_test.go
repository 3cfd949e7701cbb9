package chunk

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// stackEncoder takes lines that begin with a space as parts of the event before.
func stackEncoder(limit int) *Encoder {
	space := regexp.MustCompile(`^\s`)
	return NewEncoder(EncoderOptions{
		Format: Text, Fields: []string{"offset", "message"}, MaxLineSize: limit,
		Begins: func(line []byte) bool { return !space.Match(line) },
	})
}

func TestMultiline(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		l        Lines
		want     string
		counts   Counts
	}{
		{name: "a stack trace between lines", in: "one\npanic\n\tat a\n\tat b\r\ntwo\n",
			want: `{"offset":0,"message":"one"}` + "\n" + `{"offset":4,"message":"panic\n\tat a\n\tat b"}` + "\n" + `{"offset":23,"message":"two"}` + "\n", counts: Counts{Records: 3}},
		{name: "a rest at the start", in: "\tat b\none\n",
			want: `{"offset":0,"message":"\tat b"}` + "\n" + `{"offset":6,"message":"one"}` + "\n", counts: Counts{Records: 2}},
		{name: "too long", in: "0123456789\n 123456789\n 12\nx\n",
			want: `{"offset":0,"message":"0123456789"}` + "\n" + `{"offset":11,"message":" 123456789\n 12"}` + "\n" + `{"offset":26,"message":"x"}` + "\n", counts: Counts{Records: 3}},
		{name: "a long line in it", in: "one\n 0123456789012345678901\n 2\n",
			want: `{"offset":0,"message":"one"}` + "\n" + `{"offset":4,"message":" 0123456789012345678","part":0}` + "\n" + `{"offset":24,"message":"901","part":1,"last":true}` + "\n" + `{"offset":28,"message":" 2"}` + "\n", counts: Counts{Records: 4, Parts: 2}},
		{name: "no newline at the end", in: "one\n 2", want: `{"offset":0,"message":"one\n 2"}` + "\n", counts: Counts{Records: 1}},
		{name: "a cut line at the end", in: "one\n 0123456789012345678", l: Lines{Cut: true},
			want: `{"offset":0,"message":"one"}` + "\n" + `{"offset":4,"message":" 0123456789012345678","part":0}` + "\n", counts: Counts{Records: 2, Parts: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.l.Data = []byte(tt.in)
			got, counts := stackEncoder(20).Append(nil, &tt.l)
			if string(got) != tt.want || counts != tt.counts {
				t.Errorf("got  %s%+v\nwant %s%+v", got, counts, tt.want, tt.counts)
			}
		})
	}
}

func containerEncoder(f Format, limit int) *Encoder {
	return NewEncoder(EncoderOptions{Format: f, Host: "h", MaxLineSize: limit, Fields: []string{"time", "stream", "offset", "message"}})
}

func TestContainers(t *testing.T) {
	const at, later = "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:06Z"
	record := func(at, stream string, offset int, rest string) string {
		return fmt.Sprintf(`{"time":"%s","stream":"%s","offset":%d,"message":%s}`+"\n", at, stream, offset, rest)
	}
	for _, tt := range []struct {
		name   string
		format Format
		in     string
		want   string
		counts Counts
	}{
		{"cri", CRI, at + " stdout F a \"b\"\n" + later + " stderr F \n" + later + " stdout F\n",
			record(at, "stdout", 0, `"a \"b\""`) + record(later, "stderr", 40, `""`) + record(later, "stdout", 71, `""`), Counts{Records: 3}},
		{"cri joins by stream", CRI, at + " stdout P one \n" + at + " stderr P x\n" + later + " stdout F two\n" + later + " stderr F:tag y\n",
			record(at, "stdout", 0, `"one two"`) + record(at, "stderr", 39, `"xy"`), Counts{Records: 2}},
		{"cri, not UTF-8 until it is joined", CRI, at + " stdout P \xc3\n" + at + " stdout F \xa9\n", record(at, "stdout", 0, `"é"`), Counts{Records: 1}},
		{"cri, too long", CRI, at + " stdout P " + strings.Repeat("a", 60) + "\n" + at + " stdout P " + strings.Repeat("b", 60) + "\n" + at + " stdout F c\n",
			record(at, "stdout", 0, `"`+strings.Repeat("a", 60)+`","part":0`) + record(at, "stdout", 95, `"`+strings.Repeat("b", 60)+`c","part":1,"last":true`), Counts{Records: 2, Parts: 2}},
		{"cri without its end", CRI, at + " stdout P a\n", record(at, "stdout", 0, `"a","part":0`), Counts{Records: 1, Parts: 1}},
		{"others", CRI, "x\n" + at + " stdin F a\n" + at + " stdout X a\n{} stdout F a\n\n",
			`{"raw":"x","error":"not a line of a container log","offset":0}` + "\n" +
				`{"raw":"` + at + ` stdin F a","error":"not a line of a container log","offset":2}` + "\n" +
				`{"raw":"` + at + ` stdout X a","error":"not a line of a container log","offset":37}` + "\n" +
				`{"raw":"{} stdout F a","error":"not a line of a container log","offset":73}` + "\n" +
				`{"raw":"","error":"not a line of a container log","offset":87}` + "\n", Counts{Records: 5, Invalid: 5}},
		{"docker", Docker, `{"log":"a \"b\"\u0001\n","stream":"stdout","attrs":{"tag":"t"},"time":"` + at + `"}` + "\n",
			record(at, "stdout", 0, `"a \"b\"\u0001","attrs":{"tag":"t"}`), Counts{Records: 1}},
		{"a carriage return, a mark, characters in escapes", Docker, `{"log":"\ufeff\u003c\u00e9\ud83d\ude00\r\n","stream":"stdout","time":"` + at + `"}` + "\n",
			record(at, "stdout", 0, `"<é😀"`), Counts{Records: 1}},
		{"docker joins by stream", Docker, `{"log":"one ","stream":"stdout","time":"` + at + `"}` + "\n" +
			`{"log":"x\n","stream":"stderr","time":"` + at + `"}` + "\n" + ` { "time":"` + later + `", "stream":"stdout", "log":"two\n" } ` + "\n",
			record(at, "stderr", 67, `"x"`) + record(at, "stdout", 0, `"one two"`), Counts{Records: 2}},
		{"docker, a backslash before an n is no newline", Docker, `{"log":"a\\n","stream":"stdout","time":"` + at + `"}` + "\n" + `{"log":"\\\n","stream":"stdout","time":"` + at + `"}` + "\n",
			record(at, "stdout", 0, `"a\\n\\"`), Counts{Records: 1}},
		{"no lines of docker", Docker, "{}\n" + `{"log":"a\n","stream":"stdin","time":"` + at + `"}` + "\n" + `{"log":1,"stream":"stdout","time":"` + at + `"}` + "\n" + `{"log":"a\n","stream":"stdout","time":"\n"}` + "\n",
			"", Counts{Records: 4, Invalid: 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := containerEncoder(tt.format, 100)
			if tt.counts.Invalid > 0 {
				e = NewEncoder(EncoderOptions{Format: tt.format, MaxLineSize: 100, Fields: []string{"stream", "offset", "message"}})
			}
			got, counts := unwrapped(e, []byte(tt.in))
			if tt.want != "" && string(got) != tt.want || counts != tt.counts {
				t.Errorf("got  %s%+v\nwant %s%+v", got, counts, tt.want, tt.counts)
			}
		})
	}
}

// drawEvents returns lines of a format, broken ones among them.
func drawEvents(t *rapid.T, f Format) []byte {
	var b []byte
	for range rapid.IntRange(0, 12).Draw(t, "lines") {
		text := rapid.StringMatching(`[a-z \\"é]{0,12}`).Draw(t, "text")
		stream := rapid.SampledFrom([]string{"stdout", "stderr"}).Draw(t, "stream")
		more := rapid.Bool().Draw(t, "more")
		switch {
		case rapid.IntRange(0, 7).Draw(t, "broken") == 0:
			b = append(append(b, text...), '\n')
		case f == Text:
			b = append(append(append(b, " x"[rapid.IntRange(0, 1).Draw(t, "begins")]), text...), '\n')
		case f == CRI:
			b = fmt.Appendf(b, "2026-01-02T03:04:05Z %s %c %s\n", stream, "FP"[map[bool]int{true: 1}[more]], text)
		default:
			text, _ := appendString(nil, []byte(text+map[bool]string{false: "\n"}[more]))
			b = fmt.Appendf(b, `{"log":%s,"stream":"%s","time":"2026-01-02T03:04:05Z"}`+"\n", text, stream)
		}
	}
	return b
}

// unwrapped encodes the lines of a container's log at once.
func unwrapped(e *Encoder, data []byte) ([]byte, Counts) {
	w := Wrapped{Lines: data, All: true}
	e.Unwrap(&w)
	return e.Append(nil, &Lines{Data: w.Items, Time: readAt})
}

// Lines cut where Events says give the same records as all of them at once,
// and a longer input never moves a cut back.
func TestEventsAreWhole(t *testing.T) {
	e := stackEncoder(1 << 20)
	rapid.Check(t, func(t *rapid.T) {
		data := drawEvents(t, Text)
		want, _ := e.Append(nil, &Lines{Data: data})
		var got []byte
		start, whole := 0, 0
		for end := 1; end <= len(data); end++ {
			if data[end-1] != '\n' {
				continue
			}
			n := start + e.Events()(data[start:end])
			if n < whole || n > end {
				t.Fatalf("of %d bytes, %d are whole events, of less %d", end, n, whole)
			}
			if whole = n; rapid.Bool().Draw(t, "cut") {
				got, _ = e.Append(got, &Lines{From: int64(start), Data: data[start:whole]})
				start = whole
			}
		}
		got, _ = e.Append(got, &Lines{From: int64(start), Data: data[start:]})
		if !bytes.Equal(got, want) {
			t.Fatalf("%q:\ngot  %s\nwant %s", data, got, want)
		}
	})
}

// Whatever the lines are, records are JSON, and as many as are counted.
func FuzzContainer(f *testing.F) {
	f.Add([]byte("2026-01-02T03:04:05Z stdout P a\n2026-01-02T03:04:05Z stdout F b\nx\n"), true)
	f.Add([]byte(`{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}`+"\n"), false)
	f.Add([]byte(`{"log":"a\\","stream":"stderr","time":"1"}`+"\n\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, cri bool) {
		format := Docker
		if cri {
			format = CRI
		}
		e := NewEncoder(EncoderOptions{Format: format, MaxLineSize: 64})
		got, counts := unwrapped(e, data)
		if n := int64(bytes.Count(got, []byte{'\n'})); n != counts.Records {
			t.Fatalf("%d records are counted, %d are there", counts.Records, n)
		}
		for line := range bytes.Lines(got) {
			if at, f := scanLine(line, 0); f != ok {
				t.Fatalf("%s at byte %d of %q", faultText[f], at, line)
			}
		}
	})
}
