package chunk

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// containers are encoders of lines of containers with everything that can be
// done with these.
func containers(f Format, limit int) map[string]*Encoder {
	o := EncoderOptions{Format: f, Validate: true, MaxLineSize: limit, Fields: []string{"time", "stream", "offset", "message"}}
	events := o
	events.Begins = func(line []byte) bool { return !regexp.MustCompile(`^\s`).Match(line) }
	inner := o
	inner.InnerJSON, inner.Fields, inner.Mask = true, o.Fields[:3], []string{"secret"}
	objects := inner
	objects.Stream = true
	return map[string]*Encoder{"text": NewEncoder(o), "events": NewEncoder(events), "json": NewEncoder(inner), "objects": NewEncoder(objects)}
}

// Lines that a container wrote go through the same steps as any others.
func TestInnerLines(t *testing.T) {
	const at = "2026-01-02T03:04:05Z"
	line := func(stream, tag, text string) string { return at + " " + stream + " " + tag + " " + text + "\n" }
	added := func(stream string, offset int) string {
		return fmt.Sprintf(`"time":"%s","stream":"%s","offset":%d}`+"\n", at, stream, offset)
	}
	for _, tt := range []struct{ name, encoder, in, want string }{
		{"json", "json", line("stdout", "P", `{"a":1,"sec`) + line("stderr", "F", "oops") + line("stdout", "F", `ret":2}`) + line("stdout", "F", ""),
			`{"raw_withheld":4,"error":"not a JSON object at byte 0",` + added("stderr", 42) + `{"a":1,"secret":"***",` + added("stdout", 0)},
		{"json has what it has itself", "json", line("stdout", "F", "\ufeff{\"time\":7,\"stream\":null,\"secret\":1,\"secret\":2}\r"), `{"time":7,"stream":null,"secret":"***","secret":"***","offset":0}` + "\n"},
		{"events", "events", line("stdout", "F", "panic") + line("stderr", "F", "x") + line("stdout", "P", "\tat") + line("stdout", "F", " a") + line("stderr", "F", "y") + line("stdout", "F", "next"),
			`{"time":"` + at + `","stream":"stderr","offset":36,"message":"x"}` + "\n" + `{"time":"` + at + `","stream":"stdout","offset":0,"message":"panic\n\tat a"}` + "\n" +
				`{"time":"` + at + `","stream":"stdout","offset":167,"message":"next"}` + "\n" + `{"time":"` + at + `","stream":"stderr","offset":135,"message":"y"}` + "\n"},
		{"objects", "objects", line("stdout", "F", "{") + line("stderr", "F", `{"b":1}`) + line("stdout", "F", ` "secret": "}",`) + line("stdout", "F", ` "c": [`) + line("stdout", "F", `]}{"d":1}`) + line("stdout", "F", "{}"),
			`{"b":1,` + added("stderr", 32) + `{"secret":"***","c":[],` + added("stdout", 0) + `{"d":1,` + added("stdout", 0) + `{` + added("stdout", 194)},
		{"an object without its end", "objects", line("stdout", "F", "{") + line("stdout", "F", "x"), `{"raw_withheld":3,"error":"invalid character at byte 2",` + added("stdout", 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, c := unwrapped(containers(CRI, 1000)[tt.encoder], []byte(tt.in))
			if string(got) != tt.want || c.Records != int64(strings.Count(tt.want, "\n")) {
				t.Errorf("got  %s%+v\nwant %s", got, c, tt.want)
			}
		})
	}
}

// A stream that does not end its line holds up no other, and what is held ends
// when it has waited.
func TestHeldStreams(t *testing.T) {
	e := containers(CRI, 1000)["text"]
	var carry []byte
	var got []string
	now := int64(1e18)
	feed := func(lines string) {
		w := Wrapped{Lines: []byte(lines), Carry: carry, Now: now, Wait: 5e9}
		e.Unwrap(&w)
		if w.Taken != len(lines) {
			t.Errorf("%d of %d bytes are taken", w.Taken, len(lines))
		}
		carry = slices.Clone(w.Next)
		records, _ := e.Append(nil, &Lines{Data: w.Items})
		for r := range bytes.Lines(records) {
			_, text, _ := bytes.Cut(bytes.TrimSpace(r), []byte(`"message":`))
			got = append(got, string(text))
		}
		now += 1e9
	}
	feed("1Z stdout P Progress: \n")
	for i := range 7 {
		feed(fmt.Sprintf("1Z stderr F %d\n", i))
	}
	feed("1Z stdout P 50%\n1Z stdout F , done\n1Z stdout F next\n")
	want := []string{`"0"}`, `"1"}`, `"2"}`, `"3"}`, `"4"}`, `"Progress: ","part":0}`, `"5"}`, `"6"}`, `"50%, done","part":1,"last":true}`, `"next"}`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(carry) > 0 {
		t.Errorf("got\n%s\nwant\n%s\nand % x", strings.Join(got, "\n"), strings.Join(want, "\n"), carry)
	}
}

// What is too long to be carried stays in the file if nothing comes after it, and
// is a part else.
func TestLongHeldLines(t *testing.T) {
	e := containers(CRI, 1<<20)["text"]
	piece := "1Z stdout P " + strings.Repeat("x", 16<<10) + "\n"
	long := strings.Repeat(piece, maxCarry/(16<<10)+1)
	w := Wrapped{Lines: []byte("1Z stderr F a\n" + long), Wait: 5e9}
	e.Unwrap(&w)
	if w.Taken != 14 || len(w.Next) > 0 {
		t.Errorf("%d bytes taken, %d carried", w.Taken, len(w.Next))
	}
	w = Wrapped{Lines: []byte(long + "1Z stderr F a\n"), Wait: 5e9}
	e.Unwrap(&w)
	got, c := e.Append(nil, &Lines{Data: w.Items})
	if w.Taken != len(w.Lines) || c.Parts != 1 || len(got) < maxCarry || len(w.Next) > 100 {
		t.Errorf("%d bytes of %d taken, %d carried, %+v", w.Taken, len(w.Lines), len(w.Next), c)
	}
}

// However lines are cut, the records are the same, and no stream waits for another.
func TestUnwrapIsExact(t *testing.T) {
	for _, f := range []Format{CRI, Docker} {
		for name, e := range containers(f, 64) {
			t.Run(formats[f]+" "+name, rapid.MakeCheck(func(t *rapid.T) {
				data := drawEvents(t, f)
				want, wantCounts := unwrapped(e, data)
				var items, carry []byte
				start := 0
				for end := 1; end <= len(data); end++ {
					if data[end-1] != '\n' || end < len(data) && rapid.Bool().Draw(t, "on") {
						continue
					}
					w := Wrapped{Lines: data[start:end], From: int64(start), Carry: carry, Wait: 1e18, All: end == len(data), Items: items}
					e.Unwrap(&w)
					start, items, carry = start+w.Taken, w.Items, slices.Clone(w.Next)
				}
				got, counts := e.Append(nil, &Lines{Data: items, Time: readAt})
				if !bytes.Equal(got, want) || counts != wantCounts {
					t.Fatalf("%q:\ngot  %s%+v\nwant %s%+v", data, got, counts, want, wantCounts)
				}
				if n := e.Records(items); n < counts.Records {
					t.Fatalf("%d records, at most %d were expected", counts.Records, n)
				}
				// A range of the file gives the items that its lines have ended.
				cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
				cut = bytes.LastIndexByte(data[:cut], '\n') + 1
				before := Wrapped{Lines: data[:cut], Wait: 1e18}
				e.Unwrap(&before)
				behind := Wrapped{Lines: data[cut:], From: int64(cut), Carry: before.Next, Wait: 1e18}
				e.Unwrap(&behind)
				if rest := e.Ended(data, 0, int64(cut)); !bytes.Equal(rest, behind.Items) {
					t.Fatalf("%q behind %d: items %q, want %q", data, cut, rest, behind.Items)
				}
			}))
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	f.Add([]byte("1Z stdout P {\"a\n1Z stderr F b\n1Z stdout F \":1}\n"), []byte{}, "json", true)
	f.Add([]byte(`{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05Z","attrs":{"a":"b"}}`+"\n"), []byte{3, 0, 1, 1, 0, 1, 1, 'Z', 0, 1, 'Z', 1, 'x', 0, 0}, "events", false)
	f.Fuzz(func(t *testing.T, data, carry []byte, name string, cri bool) {
		format := Docker
		if cri {
			format = CRI
		}
		e := containers(format, 64)[name]
		if e == nil {
			return
		}
		w := Wrapped{Lines: data, Carry: carry, Now: 7, Wait: 5}
		e.Unwrap(&w)
		last := Wrapped{Lines: data[w.Taken:], Carry: w.Next, From: int64(w.Taken), All: true, Items: w.Items}
		e.Unwrap(&last)
		l := Lines{Data: last.Items, Time: readAt}
		got, c := e.Append(nil, &l)
		if n := int64(bytes.Count(got, []byte{'\n'})); n != c.Records || len(last.Next) > 0 {
			t.Fatalf("%d records are counted, %d are there, %d bytes are held", c.Records, n, len(last.Next))
		}
		for line := range bytes.Lines(got) {
			if at, f := scanLine(line, 0); f != ok && len(carry) == 0 { // a carry is the agent's own
				t.Fatalf("%s at byte %d of %q", faultText[f], at, line)
			}
		}
		p := NewPartitioner(PartitionOptions{Template: mustTemplate(t, "{date}{field:a}{field:stream}"+late), Encoder: e, TimeField: "time"})
		at := 0
		if err := p.Split(&l, func(r Run) { at = r.To }); err != nil || at != len(l.Data) {
			t.Fatalf("%d of %d bytes, %v", at, len(l.Data), err)
		}
	})
}
