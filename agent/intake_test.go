package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// newTestIntake returns a running intake over a new spool; the returned
// function closes it and waits until all is durable.
func newTestIntake(tb testing.TB, s *site, interval time.Duration) (*intake, *spool.Spool, func()) {
	tb.Helper()
	in, sp := newIdleIntake(tb, s, spool.Options{}, interval)
	done := make(chan error, 2)
	go func() { done <- in.Run(context.Background(), context.Background()) }()
	go func() { done <- in.Work() }()
	return in, sp, func() {
		tb.Helper()
		if err := in.Close(); err != nil {
			tb.Error(err)
		}
		if err := errors.Join(<-done, <-done); err != nil {
			tb.Error(err)
		}
		if err := sp.Close(); err != nil {
			tb.Error(err)
		}
	}
}

// newIdleIntake returns an intake over a new spool of which nobody calls Run or Work.
func newIdleIntake(tb testing.TB, s *site, o spool.Options, interval time.Duration) (*intake, *spool.Spool) {
	tb.Helper()
	o.Dir = s.cfg.Agent.StateDir
	sp, err := spool.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	a, err := New(Options{Config: s.cfg})
	if err != nil {
		tb.Fatal(err)
	}
	return newIntake(sp, a.setup.Load().plans, "", interval, a.health, a.o.Hook), sp
}

func give(tb testing.TB, in *intake, from int64, data string) {
	tb.Helper()
	s := tailer.Span{File: 1, Path: "/a", From: from, To: from + int64(len(data)), Data: []byte(data), Position: []byte{1}}
	if err := in.Span(tb.Context(), &s); err != nil {
		tb.Fatal(err)
	}
}

func TestIdleCutsAtOnceAndTheTimerLater(t *testing.T) {
	in, sp, closeAll := newTestIntake(t, newSite(t), 50*time.Millisecond)
	defer closeAll()
	records := func(n int64) func() bool {
		return func() bool { c := sp.Chunks(); return len(c) == 1 && c[0].Records == n }
	}
	give(t, in, 0, "{}\n")
	if err := in.Idle(t.Context()); err != nil { // the last cut was long ago
		t.Fatal(err)
	}
	eventually(t, "the first line is durable", records(1))
	give(t, in, 3, "{}\n")
	if err := in.Idle(t.Context()); err != nil { // too early: the timer cuts
		t.Fatal(err)
	}
	eventually(t, "the second line is durable", records(2))
	if n := sp.Stats().Batch; n != 2 {
		t.Errorf("%d batches", n)
	}
	if n := in.inFlight.Load(); n != 0 {
		eventually(t, "nothing is in flight", func() bool { return in.inFlight.Load() == 0 })
	}
}

// fillTwo gives two full batches to an intake that does not commit yet. finish does.
func fillTwo(t *testing.T, maxSize int64) (sp *spool.Spool, commits *int, finish func() error) {
	t.Helper()
	commits = new(int)
	in, sp := newIdleIntake(t, newSite(t), spool.Options{MaxSize: maxSize, Hook: func(event string) error {
		if event == "append.committed" {
			*commits++
		}
		return nil
	}}, time.Hour)
	t.Cleanup(func() { sp.Close() })
	data := bytes.Repeat([]byte("{}\n"), batchSize/3)
	for i := range int64(2) {
		give(t, in, i*int64(len(data)), string(data))
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	return sp, commits, func() error {
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := in.Work(); err != nil {
			t.Error(err)
		}
		return in.Run(t.Context(), stopped)
	}
}

func TestFullBatchesAreCommittedTogether(t *testing.T) {
	sp, commits, finish := fillTwo(t, 0)
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	want := int64(2 * (batchSize / 3))
	if c := sp.Chunks(); *commits != 1 || len(c) != 1 || c[0].Records != want || sp.Stats().Batch != 2 {
		t.Errorf("%d commits of %d batches, chunks %+v, want 1 of 2 and %d records", *commits, sp.Stats().Batch, c, want)
	}
}

// Of a group that does not fit, what fits is committed.
func TestGroupInAFullSpool(t *testing.T) {
	one, _, finish := fillTwo(t, 0)
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	other := &spool.Batch{Blocks: []spool.Block{{Input: "other", Name: "x", Codec: "none", Limit: 1, Data: []byte{'\n'}, Records: 1, RawSize: 1}}}
	if err := one.Append(other); err != nil {
		t.Fatal(err)
	}
	both := one.Chunks()
	sp, commits, finish := fillTwo(t, both[1].DiskSize+both[0].StoredSize*3/4)
	if err := sp.Append(other); err != nil {
		t.Fatal(err)
	}
	if err := finish(); !errors.Is(err, errStopped) {
		t.Fatalf("got %v, want %v", err, errStopped)
	}
	if *commits != 2 || sp.Stats().Batch != 2 {
		t.Errorf("%d commits of %d batches, want 2 of 2: the other input's, and the first", *commits, sp.Stats().Batch)
	}
}

// Lines wait from when their batch was begun until it is durable.
func TestLinesWait(t *testing.T) {
	in, _, closeAll := newTestIntake(t, newSite(t), time.Hour)
	defer closeAll()
	for from := int64(0); from < 9; from += 3 {
		if at := in.waits.since(0); !at.IsZero() {
			t.Errorf("waits since %v before anything was given", at)
		}
		before := time.Now()
		give(t, in, from, "{}\n")
		at := in.waits.since(0)
		if at.Before(before) || at.After(time.Now()) {
			t.Errorf("waits since %v, given at %v", at, before)
		}
		in.mu.Lock()
		err := in.cut()
		in.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "nothing waits", func() bool { return in.waits.since(0).IsZero() })
	}
}

// The oldest batch counts, for the inputs that it holds lines of.
func TestWaits(t *testing.T) {
	w := newWaits(2)
	want := func(a, b time.Time) {
		t.Helper()
		if x, y := w.since(0), w.since(1); !x.Equal(a) || !y.Equal(b) {
			t.Errorf("since %v and %v, want %v and %v", x, y, a, b)
		}
	}
	var none time.Time
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	one := []span{{}}
	w.add(0, first)
	w.add(1, second)
	w.add(0, second)
	want(first, second)
	w.durable([][]span{one, nil})
	want(second, second)
	w.durable([][]span{one, one})
	want(none, none)
}

func TestCloseMakesWhatIsLeftDurable(t *testing.T) {
	s := newSite(t)
	in, _, closeAll := newTestIntake(t, s, time.Hour)
	give(t, in, 0, "{\"a\":1}\nnot json\n\n")
	closeAll()
	sp, err := spool.Open(spool.Options{Dir: s.cfg.Agent.StateDir})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	c := sp.Chunks()
	if len(c) != 1 || c[0].Records != 2 {
		t.Fatalf("chunks %+v", c)
	}
	r, err := sp.OpenChunk(c[0].Seq)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Block(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Ranges) != 1 || b.Ranges[0].From != 0 || b.Ranges[0].To != 18 {
		t.Errorf("ranges %+v", b.Ranges)
	}
	if p, err := sp.Positions(); err != nil || len(p) != 1 || !bytes.Equal(p[0].Data, []byte{1}) {
		t.Errorf("positions %v %v", p, err)
	}
}

// The newest position of a file wins, and adjacent spans become one range.
func TestSpansOfOneFileAreMerged(t *testing.T) {
	b := newBatch(1)
	b.add(&tailer.Span{File: 1, From: 0, To: 2, Data: []byte("a\n"), Position: []byte{1}}, 0)
	b.add(&tailer.Span{File: 1, From: 2, To: 4, Data: []byte("b\n"), Position: []byte{2}}, 0)
	b.add(&tailer.Span{File: 2, From: 0, To: 2, Data: []byte("c\n"), Position: []byte{3}}, 0)
	b.add(&tailer.Span{File: 1, From: 4, To: 6, Data: []byte("dd"), Cut: true, Position: []byte{4}}, 0)
	b.add(&tailer.Span{File: 1, From: 6, To: 8, Data: []byte("e\n"), Part: 1, Position: []byte{5}}, 0)
	want := "[{1 /0-4@0} {2 /0-2@4} {1 /4-6@6} {1 /6-8@8}]"
	var got []string
	for _, s := range b.spans[0] {
		got = append(got, fmt.Sprintf("{%d /%d-%d@%d}", s.file, s.from, s.to, s.start))
	}
	if fmt.Sprint(got) != want {
		t.Errorf("spans %v, want %s", got, want)
	}
	if ref := b.files[1]; !bytes.Equal(b.pos[ref.start:ref.end], []byte{5}) {
		t.Errorf("position %v", b.pos[ref.start:ref.end])
	}
}

// A batch is bounded by what it becomes: empty lines of one byte are records of
// more than a hundred.
func TestBatchesAreBoundedByTheirRecords(t *testing.T) {
	s := newSite(t)
	s.cfg.Inputs[0].Format, s.cfg.Inputs[0].Validate = "text", ""
	in, sp, closeAll := newTestIntake(t, s, time.Hour)
	defer closeAll()
	data := bytes.Repeat([]byte("\n"), 400_000)
	for from := 0; from < len(data); {
		n := in.plans[0].fit("/a", data[from:])
		give(t, in, int64(from), string(data[from:from+n]))
		from += n
	}
	if err := in.cut(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is durable", func() bool { return in.inFlight.Load() == 0 })
	r, err := sp.OpenChunk(sp.Chunks()[0].Seq)
	if err != nil {
		t.Fatal(err)
	}
	var records int64
	for i := range r.Len() {
		b, err := r.Block(i)
		if err != nil {
			t.Fatal(err)
		}
		if records += b.Records; b.RawSize > batchWeight || b.RawSize < batchWeight/8 {
			t.Errorf("block %d has %d bytes in %d records, want at most %d, and not many fewer", i, b.RawSize, b.Records, batchWeight)
		}
	}
	if records != int64(len(data)) {
		t.Errorf("%d records, want %d", records, len(data))
	}
}

// BenchmarkIntake is the road from lines in memory to durable blocks.
func BenchmarkIntake(b *testing.B) {
	var text bytes.Buffer
	rnd := rand.New(rand.NewPCG(1, 2))
	for text.Len() < 1<<20-600 {
		fmt.Fprintf(&text, `{"time":"2026-11-23T14:%02d:%02d.%06dZ","level":"info","service":"checkout","host":"web-%d","request_id":"%016x%016x","user":%d,"method":"GET","path":"/api/v1/items/%d/details","status":%d,"duration_ms":%d,"bytes":%d,"agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36","message":"request finished without errors and was answered from the cache"}`+"\n",
			rnd.IntN(60), rnd.IntN(60), rnd.IntN(1e6), rnd.IntN(8), rnd.Uint64(), rnd.Uint64(), rnd.IntN(100000), rnd.IntN(5000), 200+rnd.IntN(4), rnd.IntN(900), rnd.IntN(65000))
	}
	for _, validate := range []string{"full", "off"} {
		b.Run("validate="+validate, func(b *testing.B) {
			s := newSite(b)
			s.cfg.Inputs[0].Validate = validate
			in, _, closeAll := newTestIntake(b, s, time.Second)
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			from := int64(0)
			for b.Loop() {
				give(b, in, from, text.String())
				from += int64(text.Len())
			}
			closeAll()
		})
	}
}
