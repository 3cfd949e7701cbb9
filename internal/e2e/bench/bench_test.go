package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	self := func(f float64) float64 { return f }
	for _, c := range []struct {
		runs []float64
		want float64
	}{{[]float64{5}, 5}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.runs, self); got != c.want {
			t.Errorf("median of %v is %v", c.runs, got)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var times []time.Duration
	for i := range 101 {
		times = append(times, time.Duration(100-i)*time.Millisecond)
	}
	if q := quantiles(times); q != (Quantiles{P50: 50, P99: 99, Max: 100}) {
		t.Errorf("%+v", q)
	}
	if q := quantiles(nil); q != (Quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
}

// A line counts from its write to the first answer whose offset covers it.
func TestFeed(t *testing.T) {
	f := newFeed(t.TempDir(), 0)
	at := time.Now()
	f.note(2, 100, at)
	f.note(3, 200, at.Add(10*time.Millisecond))
	times := f.passed(nil, 99, at.Add(time.Second))
	if len(times) != 0 {
		t.Errorf("nothing is covered, got %v", times)
	}
	times = f.passed(times, 100, at.Add(20*time.Millisecond))
	times = f.passed(times, 300, at.Add(30*time.Millisecond))
	times = f.passed(times, 300, at.Add(40*time.Millisecond))
	if len(times) != 5 || times[0] != 20*time.Millisecond || times[4] != 20*time.Millisecond {
		t.Errorf("got %v", times)
	}
	for n, want := range map[int64]time.Time{1: at, 2: at, 3: at.Add(10 * time.Millisecond), 5: at.Add(10 * time.Millisecond)} {
		if got := f.appended(n); !got.Equal(want) {
			t.Errorf("line %d was written at %v", n, got)
		}
	}
}

func TestFeedKeepsItsRate(t *testing.T) {
	f := newFeed(t.TempDir(), 3)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := f.run(ctx, 5000); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	if n := int64(len(lines) - 1); n != f.lines || n < 500 || n > 1600 {
		t.Errorf("%d lines on disk, %d counted, want about 1500", n, f.lines)
	}
	got, n, err := lineOf(lines[41], []*feed{f})
	if err != nil || got != f || n != 42 {
		t.Errorf("line 42 is taken for %d, %v", n, err)
	}
	if _, _, err := lineOf([]byte(`{"stream":"nobody","seq":1,`), []*feed{f}); err == nil {
		t.Error("a line of nobody was taken")
	}
}

// The data and every limit, on a small file.
func TestLimits(t *testing.T) {
	var out bytes.Buffer
	b := &bench{o: Options{Size: 8 << 20, Out: &out}, dir: t.TempDir(), files: map[string]string{}}
	b.report.Data = map[string]Data{}
	if err := b.generate(); err != nil {
		t.Fatal(err)
	}
	for format, d := range b.report.Data {
		info, err := os.Stat(filepath.Join(b.dir, format+".log"))
		if err != nil || info.Size() < b.o.Size || info.Size() > b.o.Size+1000 {
			t.Errorf("%s: %v, %v", format, info.Size(), err)
		}
		if mean := float64(info.Size()) / float64(d.Lines); math.Abs(mean-d.LineBytes) > 0.01 {
			t.Errorf("%s: %d lines of %f bytes in %d", format, d.Lines, d.LineBytes, info.Size())
		}
	}
	b.files["records"] = b.files["text"] // no agent here that makes records
	for _, l := range limitsOf(b.files) {
		m, err := l.measure(context.Background())
		if err != nil || m.Speed <= 0 || m.CPU <= 0 {
			t.Errorf("%s: %+v, %v", l.name, m, err)
		}
	}
}

// reportOf has figures for every goal.
func reportOf() Report {
	r := Report{Runs: 1, Load: map[string]string{"backfill": "1.50 1 1"}, Limits: map[string]Measure{gzipName: {Speed: 80, CPU: 12}}}
	for _, row := range rows {
		r.Limits[limitName(row)] = Measure{Speed: 500, CPU: 4}
		r.Backfill = append(r.Backfill, Backfill{Name: row.name, Limit: limitName(row), Speed: 300, Records: 400, CPU: 5, Anon: 60, RSS: 500, Device: 1.1, Process: 1.6, Share: 80, CPUTimes: 1.25, Gzips: 4})
	}
	r.Latency = &Latency{Rate: 20000, MaxAge: 1000, CPU: 0.1, Durable: Quantiles{P99: 300}, Visible: Quantiles{P99: 1500}}
	r.Idle = &Idle{Files: 10000, Fresh: 1, Inotify: IdleMode{CPU: 0.001, RSS: 30, Descriptors: 99}, Polling: &IdleMode{Append: Quantiles{Max: 900}}}
	r.Hot = &Hot{Durable: Quantiles{Max: 600}}
	r.Outage = &Outage{
		Input: 1 << 30, AppendFirst: 300, AppendLast: 290, DrainFirst: 600, DrainLast: 610, AnonFirst: 40, AnonLast: 40,
		Anon: 50, Shipped: 100 << 20, Disk: 105 << 20, DiskAfter: 1 << 20,
	}
	r.Open = &Open{Disk: 1 << 30, Cold: 0.3}
	return r
}

// Every goal is reached by good figures, and missed by a figure on its wrong
// side.
func TestGoals(t *testing.T) {
	r := reportOf()
	for _, g := range r.goals() {
		if !g.Reached {
			t.Errorf("not reached: %+v", g)
		}
	}
	for name, spoil := range map[string]func(*Report){
		"share":       func(r *Report) { r.Backfill[3].Share = 49 },
		"cpu":         func(r *Report) { r.Backfill[1].CPUTimes = 1.46 },
		"anon":        func(r *Report) { r.Backfill[2].Anon = 65 },
		"written":     func(r *Report) { r.Backfill[0].Device = 1.4 },
		"durable":     func(r *Report) { r.Latency.Durable.P99 = 401 },
		"idle":        func(r *Report) { r.Idle.Inotify.CPU = 0.0031 },
		"descriptors": func(r *Report) { r.Idle.Inotify.Descriptors = 100 },
		"first start": func(r *Report) { r.Idle.Fresh = 2.1 },
		"polling":     func(r *Report) { r.Idle.Polling.Append.Max = 1001 },
		"hot":         func(r *Report) { r.Hot.Durable.Max = 1001 },
		"append":      func(r *Report) { r.Outage.AppendLast = 260 },
		"drain":       func(r *Report) { r.Outage.DrainFirst = 500 },
		"open":        func(r *Report) { r.Open.Killed = 1.1 },
	} {
		r := reportOf()
		spoil(&r)
		missed := 0
		for _, g := range r.goals() {
			if !g.Reached {
				missed++
			}
		}
		if missed != 1 {
			t.Errorf("%s: %d goals missed, want 1", name, missed)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	r := reportOf()
	r.Hot.Durable.Max = 1001
	b := &bench{o: Options{Out: &out}, report: r}
	b.report.Goals = b.report.goals()
	b.table()
	for _, want := range []string{"80.0 %", "≥ 50 %", "1.50", "by block device; device 1.10, write_bytes 1.60"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "MISSED"); n != 1 {
		t.Errorf("%d goals marked, want 1:\n%s", n, out.String())
	}
}

func TestWritten(t *testing.T) {
	for _, c := range []struct {
		m    Backfill
		want float64
		by   string
	}{
		{Backfill{Device: 1.1, Process: 1.5}, 1.1, "block device"},
		{Backfill{Device: 2, Process: 1.5}, 1.5, "write_bytes"},
		{Backfill{Process: 1.5}, 1.5, "write_bytes"}, // no counters
	} {
		if got, by := c.m.Written(); got != c.want || by != c.by {
			t.Errorf("%+v: %v by %s", c.m, got, by)
		}
	}
}

func TestMarkdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	page := "before\n<!-- bench:goals -->\nSTALE\n<!-- /bench:goals -->\nafter\n"
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	r := reportOf()
	r.Goals = r.goals()
	all := r.sections()
	if err := updateMarkdown(path, map[string]string{"goals": all["goals"]}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(got), "STALE") || !strings.Contains(string(got), "| reached |") {
		t.Errorf("%v:\n%s", err, got)
	}
	if !strings.HasPrefix(string(got), "before\n") || !strings.HasSuffix(string(got), "after\n") {
		t.Errorf("the text around is gone:\n%s", got)
	}
	if err := updateMarkdown(path, all); err == nil {
		t.Error("figures without a place were thrown away")
	}
}

// The drawing is well-formed, and a flat curve is flat.
func TestDraw(t *testing.T) {
	c := Curve{Name: "x", Axis: "files", Points: []Point{{"1", 400, 4}, {"10", 400, 4}, {"100", 200, 8}}}
	dir := t.TempDir()
	if err := writeCurves(dir, []Curve{c}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "growth-x.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, circles := xml.NewDecoder(f), 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 6 {
		t.Errorf("%d points, want 6", circles)
	}
	p := c.panel("", "", func(p Point) float64 { return p.Speed })
	if m := p.Marks; m[0].Y != m[1].Y || m[2].Y <= m[0].Y || m[0].X >= m[1].X {
		t.Errorf("%+v", m)
	}
}

func TestCeiling(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.3: 0.4, 1: 1, 5: 6, 9: 10, 410: 600, 810: 1000} {
		if got := ceiling(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("ceiling(%v) is %v, want %v", v, got, want)
		}
	}
}

// The backlog grows at 100 MB/s, then at 50, but for one window at each end: the
// medians show both.
func TestGrew(t *testing.T) {
	m := Outage{Input: 800 << 20, Window: 100 << 20}
	var samples []sample
	at := time.Now()
	for n := range 81 {
		samples = append(samples, sample{at: at, cpu: time.Duration(n) * 40 * time.Millisecond, bytes: int64(n) * 10 << 20, anon: 40 << 20})
		step := 100 * time.Millisecond
		if n >= 40 {
			step *= 2
		}
		if n < 10 || n >= 70 {
			step *= 2
		}
		at = at.Add(step)
	}
	m.grew(samples)
	if len(m.Growing) != windows || m.AnonFirst != 40 || m.AnonLast != 40 {
		t.Fatalf("%+v", m)
	}
	if r := m.AppendFirst / m.AppendLast; math.Abs(r-2) > 0.01 || math.Abs(m.AppendFirst-104.86) > 0.1 {
		t.Errorf("%v, then %v MB/s", m.AppendFirst, m.AppendLast)
	}
	if cpu := m.Growing[3].CPU; math.Abs(cpu-4.096) > 0.01 {
		t.Errorf("%v CPU-s/GiB", cpu)
	}
}

func TestHalves(t *testing.T) {
	var puts []put
	at := time.Now()
	for n := range starters + 12 {
		puts = append(puts, put{at, 10e6})
		if at = at.Add(100 * time.Millisecond); n < starters || n >= starters+5 {
			at = at.Add(100 * time.Millisecond)
		}
	}
	if first, last := halves(puts); math.Abs(first-100) > 1 || math.Abs(last-50) > 1 {
		t.Errorf("%v, then %v MB/s", first, last)
	}
	if first, last := halves(puts[:starters+5]); first != 0 || last != 0 {
		t.Error("a speed of too few puts")
	}
}

// Lines are JSON, of the length that is asked for.
func TestSized(t *testing.T) {
	for _, n := range growthLines {
		line := newSized(n).Append([]byte("x"))[1:]
		if len(line) != n || !json.Valid(line) || line[n-1] != '\n' {
			t.Errorf("%d bytes: %.100q", len(line), line)
		}
	}
}

func TestTallyKeepsTheFirstBytes(t *testing.T) {
	var kept bytes.Buffer
	s := &tally{keep: &kept, limit: 7}
	for range 2 {
		r := httptest.NewRequest(http.MethodPut, "/events/x", strings.NewReader("12345"))
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	if n, size := s.Totals(); n != 2 || size != 10 || kept.String() != "1234512" {
		t.Errorf("%d objects, %d bytes, kept %q", n, size, kept.String())
	}
	if puts := s.list(); len(puts) != 2 || puts[1].size != 5 {
		t.Errorf("%+v", puts)
	}
}

// What is written and synced arrives at the device, if that can be seen.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	n, ok, err := diskOf(dir).measure(func() error {
		return os.WriteFile(filepath.Join(dir, "f"), bytes.Repeat([]byte("x"), 4<<20), 0o644)
	})
	if err != nil || ok && n < 4<<20 {
		t.Errorf("%d bytes, %v, %v", n, ok, err)
	}
	if size := onDisk(dir); size < 4<<20 || size > 5<<20 {
		t.Errorf("%d bytes on disk", size)
	}
}

func TestDescriptors(t *testing.T) {
	if n := descriptors(os.Getpid()); n < 3 {
		t.Errorf("%d descriptors", n)
	}
}

func TestWholeLines(t *testing.T) {
	data := []byte("one\ntwo\nthree\n")
	for _, c := range []struct {
		at, n int64
		want  string
	}{{0, 5, "one\n"}, {0, 8, "one\ntwo\n"}, {4, 9, "two\n"}, {8, 100, "three\n"}} {
		if got := wholeLines(data, c.at, c.n); string(got) != c.want {
			t.Errorf("%d bytes at %d: %q", c.n, c.at, got)
		}
	}
}
