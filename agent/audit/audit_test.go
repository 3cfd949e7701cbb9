package audit

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/spoolship/spoolship/agent/chunk"
)

const (
	queueA = "00000000000000aa"
	queueB = "00000000000000bb"
)

func key(input, queue string, n uint64, records string) string {
	return fmt.Sprintf("p/%s/dt=2026-01-02/hour=%02d/web-%s-%020d-%s-%016x.ndjson.gz", input, n%24, queue, n, records, n)
}

const template = "{input}/dt={date}/hour={hour}/{host}-{queue}-{chunk}-{records}-{id}.ndjson{ext}"

// reportOf takes the keys in, in any order, and returns what they prove.
func reportOf(t interface{ Fatal(...any) }, states []State, keys ...string) *Report {
	parsed, err := chunk.ParseTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	layouts := []Layout{{Parser: parsed.Parser("p/")}}
	list := func(add func(*Object), foreign func(string, error)) {
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, k := range keys {
			if o, err := Read(layouts, k, 10); err == nil {
				add(&o)
			} else {
				foreign(k, err)
			}
		}
	}
	a := &Audit{}
	list(a.Add, a.AddForeign)
	r := a.Report(states)
	if names := r.Names(); names != nil {
		list(names.Add, func(string, error) {})
		names.Done()
	}
	for i := range r.Streams { // what only the naming needs
		for j := range r.Streams[i].Gaps {
			r.Streams[i].Gaps[j].hole = run{}
		}
	}
	return r
}

func TestReport(t *testing.T) {
	one, two, three, four := key("app", queueA, 1, "5"), key("app", queueA, 2, "6"), key("app", queueA, 3, "7"), key("app", queueA, 4, "8")
	buried := key("app", queueA, 2, "0.dropped")
	again := strings.Replace(two, "-6-", "-9-", 1)
	all := []State{{Input: "app", Queue: queueA, Next: 4}}
	for name, tt := range map[string]struct {
		keys    []string
		states  []State
		gaps    []Gap
		twice   uint64
		tombs   []Tombstone
		foreign int64
		records int64
	}{
		"complete":                 {keys: []string{one, two, three}, records: 18},
		"gap in the middle":        {keys: []string{one, four}, gaps: []Gap{{First: 2, Last: 3, After: one, Before: four}}, records: 13},
		"missing first":            {keys: []string{two, three}, gaps: []Gap{{First: 1, Last: 1, Before: two}}, records: 13},
		"duplicate":                {keys: []string{one, two, again, three}, twice: 1, records: 27},
		"tombstone":                {keys: []string{one, buried, three}, tombs: []Tombstone{{2, "dropped", buried, false}}, records: 12},
		"tombstone beside records": {keys: []string{one, two, buried}, tombs: []Tombstone{{2, "dropped", buried, true}}, records: 11},
		"foreign":                  {keys: []string{one, "p/_spoolship_probe_web", "p/app/x.gz"}, foreign: 2, records: 5},
		"the agent has all acked":  {keys: []string{one, two, three}, states: all, records: 18},
		"the newest is missing":    {keys: []string{one, two}, states: all, gaps: []Gap{{First: 3, Last: 3, After: two}}, records: 11},
		"still on its way":         {keys: []string{one, three}, states: []State{{Input: "app", Queue: queueA, Next: 5, Waiting: []uint64{2, 4}}}, records: 12},
		"one of three on its way":  {keys: []string{one}, states: []State{{Input: "app", Queue: queueA, Next: 5, Waiting: []uint64{3}}}, gaps: []Gap{{First: 2, Last: 2, After: one}, {First: 4, Last: 4, After: one}}, records: 5},
		"nothing arrived":          {states: all, gaps: []Gap{{First: 1, Last: 3}}},
		"nothing was made":         {states: []State{{Input: "app", Queue: queueA, Next: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := reportOf(t, tt.states, tt.keys...)
			var s Stream
			if len(r.Streams) > 0 {
				s = r.Streams[0]
			}
			if !slices.Equal(s.Gaps, tt.gaps) || r.Duplicates != tt.twice || !slices.Equal(s.Tombstones, tt.tombs) || r.ForeignKeys != tt.foreign || r.Records != tt.records {
				t.Errorf("got %+v", r)
			}
			if r.Complete != (tt.gaps == nil && tt.twice == 0) {
				t.Errorf("complete: %v", r.Complete)
			}
		})
	}
}

// Streams are told apart by input and queue, and their times and sums are joined.
func TestStreams(t *testing.T) {
	r := reportOf(t, []State{{Input: "b", Queue: queueA, Next: 1}},
		key("a", queueA, 1, "1"), key("b", queueA, 1, "2"), key("a", queueB, 1, "3"), key("a", queueB, 2, "4"))
	if !r.Complete || len(r.Streams) != 3 || r.Records != 10 || r.Objects != 4 || r.Bytes != 40 || r.From.Hour() != 1 || r.To.Hour() != 3 {
		t.Errorf("got %+v", r)
	}
	if s := r.Streams[2].State; s == nil || s.Unknown != 1 || r.Streams[0].State != nil {
		t.Errorf("state: %+v", s)
	}
	if !slices.Equal(r.Streams[1].Hosts, []string{"web"}) || r.Streams[1].Newest != 2 {
		t.Errorf("got %+v", r.Streams[1])
	}
}

func TestForeignKeysAreBounded(t *testing.T) {
	a := &Audit{}
	for range 3 * maxForeign {
		a.AddForeign("x", chunk.ErrNotKey)
	}
	if r := a.Report(nil); r.ForeignKeys != 3*maxForeign || len(r.Foreign) != maxForeign || !r.Complete {
		t.Errorf("%d keys, %d named", r.ForeignKeys, len(r.Foreign))
	}
}

func zip(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.Bytes()
}

func TestCheck(t *testing.T) {
	const text = "{\"a\":1}\n{\"b\":2}\n"
	e, _ := zstd.NewWriter(nil)
	frames := e.EncodeAll([]byte(text[8:]), e.EncodeAll([]byte(text[:8]), nil))
	good := map[string]string{
		"spoolship-queue": queueA, "spoolship-input": "app", "spoolship-chunk": "7", "spoolship-records": "2",
		"spoolship-crc32": fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))),
	}
	with := func(name, value string) map[string]string {
		return map[string]string{name: value}
	}
	flipped := zip(text)
	flipped[len(flipped)-6] ^= 1 // in the CRC
	for name, tt := range map[string]struct {
		metadata map[string]string
		body     []byte
		want     string
	}{
		"gzip":        {good, zip(text), ""},
		"zstd":        {good, frames, ""},
		"none":        {good, []byte(text), ""},
		"no metadata": {nil, zip(text), ""},
		"cut":         {good, zip(text)[:20], "decompress"},
		"cut zstd":    {good, frames[:len(frames)-3], "decompress"},
		"flipped":     {good, flipped, "decompress"},
		"header only": {good, []byte{0x1f, 0x8b}, "decompress"},
		"bad zstd":    {good, []byte{0x28, 0xb5, 0x2f, 0xfd}, "decompress"},
		"trailing":    {good, append(zip(text), 'x'), "decompress"},
		"one more":    {nil, zip(text + "{}\n"), "has 3 records, its key says 2"},
		"none left":   {nil, nil, "has 0 records"},
		"half a line": {nil, []byte(text[:12]), "no newline"},
		"other bytes": {good, []byte("{\"a\":1}\n{\"b\":3}\n"), "spoolship-crc32"},
		"other queue": {with("spoolship-queue", queueB), zip(text), "spoolship-queue"},
		"other input": {with("spoolship-input", "web"), zip(text), "spoolship-input"},
		"other chunk": {with("spoolship-chunk", "8"), zip(text), "spoolship-chunk"},
		"other count": {with("spoolship-records", "3"), zip(text), "spoolship-records"},
	} {
		o := Object{chunk.Key{Input: "app", Queue: queueA, Chunk: 7, Records: 2}, "key", 0}
		c := Checker{Failed: func(error) bool { return false }}
		damage, failed := c.Check(o, tt.metadata, iotest.OneByteReader(bytes.NewReader(tt.body)))
		if failed != nil || (damage == nil) != (tt.want == "") || damage != nil && !strings.Contains(damage.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want %q", name, damage, failed, tt.want)
		}
	}
}

// A connection that breaks says nothing about the object.
func TestCheckFailure(t *testing.T) {
	broken := errors.New("broken")
	for _, body := range [][]byte{nil, zip("x\n")[:12], []byte("x\ny")} {
		r := io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken))
		c := Checker{Failed: func(err error) bool { return errors.Is(err, broken) }}
		damage, failed := c.Check(Object{}, nil, r)
		if damage != nil || !errors.Is(failed, broken) {
			t.Errorf("%q: got %v, %v", body, damage, failed)
		}
	}
}

// Lines are followed from object to object, but not over chunks that are missing
// or lost, nor of inputs whose records do not have them whole.
func TestLinesThatAreMissing(t *testing.T) {
	record := func(offset int, message string) string {
		return fmt.Sprintf("{\"file\":\"/a\",\"offset\":%d,\"message\":%q}\n", offset, message)
	}
	for name, tt := range map[string]struct {
		second chunk.Key
		text   string
		want   string
	}{
		"next":       {chunk.Key{Input: "text", Chunk: 2, Records: 1}, record(4, "b"), ""},
		"CR":         {chunk.Key{Input: "text", Chunk: 2, Records: 1}, record(5, "b"), ""},
		"hole":       {chunk.Key{Input: "text", Chunk: 2, Records: 1}, record(6, "b"), "bytes 4 to 6 of /a are in no record"},
		"later hole": {chunk.Key{Input: "text", Chunk: 2, Records: 2}, record(4, "b") + record(99, "c"), "bytes 6 to 99"},
		"anew":       {chunk.Key{Input: "text", Chunk: 2, Records: 2}, record(0, "b") + record(9, "c"), "bytes 2 to 9"},
		"after gap":  {chunk.Key{Input: "text", Chunk: 3, Records: 1}, record(99, "b"), ""},
		"JSON":       {chunk.Key{Input: "app", Chunk: 2, Records: 1}, record(99, "b"), ""},
	} {
		c := Checker{Follow: map[string]bool{"text": true}, Failed: func(error) bool { return false }}
		first := chunk.Key{Input: tt.second.Input, Chunk: 1, Records: 1}
		if damage, err := c.Check(Object{first, "one", 0}, nil, strings.NewReader(record(0, "aaa"))); damage != nil || err != nil {
			t.Fatal(damage, err)
		}
		damage, err := c.Check(Object{tt.second, "two", 0}, nil, strings.NewReader(tt.text))
		if err != nil || (damage == nil) != (tt.want == "") || damage != nil && !strings.Contains(damage.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want %q", name, damage, err, tt.want)
		}
	}
	c := Checker{Follow: map[string]bool{"text": true}, Failed: func(error) bool { return false }}
	for i, text := range []string{record(0, "a"), "", record(99, "b")} { // the second is a tombstone
		k := chunk.Key{Input: "text", Chunk: uint64(i + 1), Records: 1}
		if text == "" {
			k.Cause, k.Records = "dropped", 0
		}
		if damage, err := c.Check(Object{k, "key", 0}, nil, strings.NewReader(text)); damage != nil || err != nil {
			t.Error(damage, err)
		}
	}
}

// Keys of an agent under a template that was not given are told from those of others.
func TestOtherTemplates(t *testing.T) {
	a := &Audit{}
	for name, want := range map[string]int64{
		fmt.Sprintf("p/2026/app-%s-%020d-5-%016x.gz", queueA, 1, 1): 1,
		fmt.Sprintf("p/%020d/%s/%016x/0.dropped", 2, queueA, 7):     1,
		"p/other.txt": 0, "p/12345678901234567890/x": 0, "p/00000000000000aa/1": 0, "p/123456789012345678901-00000000000000aa": 0,
	} {
		before := a.Report(nil).OtherTemplates
		a.AddForeign(name, errors.New("not a key of this template"))
		if got := a.Report(nil).OtherTemplates - before; got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if n := a.Report(nil).ForeignKeys; n != 6 {
		t.Errorf("%d foreign keys", n)
	}
}
