package bucket

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const queue = "00112233445566ff"

// object builds an object of the input "app" with these records.
func object(number uint64, records ...string) Object {
	o := Object{Key: Key{Input: "app", Queue: queue, Chunk: number, Records: int64(len(records))}}
	o.Name = fmt.Sprintf("app/dt=2026-03-01/hour=00/h-%s-%020d-%d-0123456789abcdef.ndjson", queue, number, len(records))
	for _, r := range records {
		o.Records = append(o.Records, []byte(r))
	}
	return o
}

func event(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }

func stream(name string, lines ...string) Stream {
	s := Stream{Input: "app", Format: JSON, Name: name}
	for _, l := range lines {
		s.Lines = append(s.Lines, []byte(l))
	}
	return s
}

// delivered are three objects that hold everything that two streams wrote.
func delivered() ([]Stream, []Object) {
	return []Stream{stream("one", event(1), event(2), event(3)), stream("two", event(10), "no json", event(11))},
		[]Object{
			object(1, event(1), event(10)),
			object(2, event(2), `{"raw":"no json","error":"x"}`),
			object(3, event(3), event(11)),
		}
}

func TestCompareAcceptsExactlyOnce(t *testing.T) {
	streams, objects := delivered()
	slices.Reverse(objects) // the order of the listing does not matter
	r := Compare(streams, objects)
	if !r.OK() || r.Written != 6 || r.Delivered != 6 || r.Objects != 3 {
		t.Errorf("%+v", r)
	}
}

// The checker must fail on each of these; a check that can't fail is none.
func TestCompareFindsEveryDifference(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func([]Object) []Object
		want  Result
		says  string
	}{
		{"lost line", func(o []Object) []Object {
			o[1] = object(2, `{"raw":"no json","error":"x"}`)
			return o
		}, Result{Lost: 1}, "lost: one line 1, after " + object(1, "", "").Name},
		{"lost object", func(o []Object) []Object { return o[:2] }, Result{Lost: 2}, "lost: two line 2"},
		{"duplicated line", func(o []Object) []Object {
			o[2] = object(3, event(3), event(11), event(2))
			return o
		}, Result{Duplicated: 1}, "duplicated: one line 1, 2 times in " + object(2, "", "").Name},
		{"line three times", func(o []Object) []Object {
			o[2] = object(3, event(3), event(11), event(2), event(2))
			return o
		}, Result{Duplicated: 2}, "3 times"},
		{"reordered lines", func(o []Object) []Object {
			o[0], o[1] = object(1, event(2), event(10)), object(2, event(1), `{"raw":"no json","error":"x"}`)
			return o
		}, Result{Reordered: 1}, "reordered: one line 0 comes after line 1"},
		{"reordered in an object", func(o []Object) []Object {
			o[2] = object(3, event(11), event(3))
			o[1], o[2] = object(2, `{"raw":"no json","error":"x"}`, event(3)), object(3, event(2), event(11))
			return o
		}, Result{Reordered: 1}, "reordered: one line 1 comes after line 2"},
		{"foreign line", func(o []Object) []Object {
			o[2] = object(3, event(3), event(11), event(99))
			return o
		}, Result{Foreign: 1}, "no written line"},
		{"changed line", func(o []Object) []Object {
			o[2] = object(3, event(3), `{"n": 11}`)
			return o
		}, Result{Foreign: 1, Lost: 1}, "no written line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			streams, objects := delivered()
			r := Compare(streams, c.spoil(objects))
			got := Result{Lost: r.Lost, Duplicated: r.Duplicated, Reordered: r.Reordered, Foreign: r.Foreign}
			if fmt.Sprint(got) != fmt.Sprint(c.want) || r.OK() {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if all := strings.Join(r.Details, "\n"); !strings.Contains(all, c.says) {
				t.Errorf("details do not say %q:\n%s", c.says, all)
			}
		})
	}
}

// Of several carriage returns before the newline, one is not kept.
func TestCompareCarriageReturns(t *testing.T) {
	text := Stream{Input: "app", Format: Text, Name: "one", Lines: [][]byte{[]byte("a\r\r"), []byte("b\r"), []byte("c")}}
	if r := Compare([]Stream{text}, []Object{object(1, `{"message":"a\r"}`, `{"message":"b"}`, `{"message":"c"}`)}); !r.OK() {
		t.Errorf("%+v", r)
	}
	raw := stream("one", "a\r\r", event(1)+"\r")
	if r := Compare([]Stream{raw}, []Object{object(1, `{"raw":"a\r\r"}`, event(1))}); !r.OK() {
		t.Errorf("%+v", r)
	}
}

// Equal lines are counted, not only looked up.
func TestCompareCountsEqualLines(t *testing.T) {
	streams := []Stream{stream("one", "{}", "{}", "{}")}
	if r := Compare(streams, []Object{object(1, "{}", "{}", "{}")}); !r.OK() {
		t.Errorf("%+v", r)
	}
	if r := Compare(streams, []Object{object(1, "{}", "{}")}); r.Lost != 1 || r.OK() {
		t.Errorf("two of three: %+v", r)
	}
	if r := Compare(streams, []Object{object(1, "{}", "{}", "{}", "{}")}); r.Duplicated != 1 || r.OK() {
		t.Errorf("four of three: %+v", r)
	}
}

// Text records name their file: equal lines of two files are told apart where
// the stream says so.
func TestCompareTextByFile(t *testing.T) {
	text := func(file, line string) string {
		b, err := json.Marshal(map[string]any{"file": file, "message": line, "offset": 0})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one := Stream{Input: "app", Format: Text, File: "/one", Name: "one", Lines: [][]byte{[]byte("same\r")}}
	two := Stream{Input: "app", Format: Text, File: "/two", Name: "two", Lines: [][]byte{[]byte("same")}}
	if r := Compare([]Stream{one, two}, []Object{object(1, text("/one", "same"), text("/two", "same"))}); !r.OK() {
		t.Errorf("%+v", r)
	}
	if r := Compare([]Stream{one, two}, []Object{object(1, text("/one", "same"), text("/one", "same"))}); r.Lost != 1 || r.Duplicated != 1 {
		t.Errorf("%+v", r)
	}
	exact := Stream{Input: "app", Format: Text, Name: "exact", Lines: [][]byte{[]byte("a\xffb")}}
	rec := fmt.Sprintf(`{"message":"a\ufffdb","message_base64":%q}`, base64.StdEncoding.EncodeToString([]byte("a\xffb")))
	if r := Compare([]Stream{exact}, []Object{object(1, rec)}); !r.OK() {
		t.Errorf("%+v", r)
	}
}

// A line over max_line_size arrives in numbered parts, all of them, in order.
func TestCompareParts(t *testing.T) {
	long := stream("one", "abcdefgh", event(1))
	long.MaxLine = 3
	parts := []string{`{"raw":"abc","part":0}`, `{"raw":"def","part":1}`, `{"raw":"gh","part":2,"last":true}`}
	short := []string{`{"raw":"{\"n","part":0}`, `{"raw":"\":1","part":1}`, `{"raw":"}","part":2,"last":true}`}
	if r := Compare([]Stream{long}, []Object{object(1, append(slices.Clone(parts), short...)...)}); !r.OK() || r.Written != 6 {
		t.Errorf("%+v", r)
	}
	parts[0], parts[1] = parts[1], parts[0]
	if r := Compare([]Stream{long}, []Object{object(1, append(parts, short...)...)}); r.Reordered != 1 || r.OK() {
		t.Errorf("swapped: %+v", r)
	}
	parts[1] = `{"raw":"abc"}`
	if r := Compare([]Stream{long}, []Object{object(1, append(parts, short...)...)}); r.Foreign != 1 || r.Lost != 1 {
		t.Errorf("without a number: %+v", r)
	}
}

func TestAudit(t *testing.T) {
	_, objects := delivered()
	if p := Audit(objects); len(p) > 0 {
		t.Errorf("problems of a good bucket: %q", p)
	}
	for name, spoil := range map[string]func([]Object) []Object{
		"gap":             func(o []Object) []Object { return []Object{o[0], o[2]} },
		"starts at two":   func(o []Object) []Object { return o[1:] },
		"number twice":    func(o []Object) []Object { return append(o, object(3, event(3), event(11))) },
		"wrong count":     func(o []Object) []Object { o[0].Key.Records++; return o },
		"chunk of nobody": func(o []Object) []Object { other := object(2, "{}"); other.Key.Input = "b"; return append(o, other) },
	} {
		_, objects := delivered()
		if p := Audit(spoil(objects)); len(p) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}
