package agent

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// scrape asks a over HTTP, as Prometheus does.
func scrape(t *testing.T, a *Agent) string {
	t.Helper()
	srv := httptest.NewServer(a.handler())
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v\n%s", resp.StatusCode, err, text)
	}
	return string(text)
}

func wantMetrics(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %s in:\n%s", line, text)
		}
	}
}

// A real agent says over HTTP what it read, lost, shipped and was refused, and
// the exposition is as Prometheus wants it.
func TestMetrics(t *testing.T) {
	s := newSite(t)
	m := newMemSink()
	m.script = func(n int, _ *sink.Object) (bool, error) {
		if n == 0 {
			return false, &sink.Error{Class: sink.Throttled, Code: "SlowDown", Err: io.ErrUnexpectedEOF}
		}
		return true, nil
	}
	a := s.agent(t, Options{Sink: m, Version: "1.2.3"})
	wantMetrics(t, scrape(t, a), "spoolship_ready 0", "spoolship_uploads_total 0") // no session yet

	lines := s.write(t, "a.log", 0, 10)
	if err := os.WriteFile(filepath.Join(s.dir, "log", "b.log"), []byte("no JSON\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, a)
	eventually(t, "all is shipped", func() bool {
		st := a.Status()
		return st.Uploads.Records == int64(len(lines)+1) && st.BacklogBytes == 0
	})
	a.losses.add(1, []spool.FileLoss{{Input: "app", File: 9, Records: 3, Bytes: 70}}, nil)
	a.health.fail(problem{cause: causeDrop}, "", io.ErrUnexpectedEOF, "")

	text := scrape(t, a)
	size := 8 + 1
	for _, l := range lines {
		size += len(l) + 1
	}
	wantMetrics(t, text,
		"spoolship_ready 1", "spoolship_healthy 0",
		fmt.Sprintf(`spoolship_input_bytes_total{input="app"} %d`, size),
		`spoolship_input_records_total{input="app"} 11`,
		`spoolship_input_invalid_lines_total{input="app"} 1`,
		`spoolship_input_empty_lines_total{input="app"} 1`,
		`spoolship_input_followed_files{input="app"} 2`,
		`spoolship_input_lag_bytes{input="app"} 0`,
		`spoolship_lost_bytes_total{input="app",reason="destroyed"} 0`,
		`spoolship_lost_bytes_total{input="app",reason="dropped"} 70`,
		`spoolship_lost_records_total{input="app",reason="dropped"} 3`,
		`spoolship_upload_records_total 11`,
		`spoolship_upload_failures_total{class="throttled"} 1`,
		`spoolship_upload_failures_total{class="config"} 0`,
		`spoolship_spool_backlog_bytes 0`,
		`spoolship_input_lag_seconds{input="app"} 0`,
		`spoolship_input_backlog_bytes{input="app"} 0`,
		`spoolship_input_backlog_seconds{input="app"} 0`,
		fmt.Sprintf(`spoolship_upload_duration_seconds_count %d`, m.stored()),
		fmt.Sprintf(`spoolship_upload_duration_seconds_bucket{le="+Inf"} %d`, m.stored()),
	)
	for _, start := range []string{
		`spoolship_build_info{goversion="go`, `spoolship_problem_start_time_seconds{cause="dropped",input=""}`,
		"spoolship_upload_last_success_time_seconds ", "spoolship_spool_disk_bytes ", "go_goroutines ",
	} {
		if !strings.Contains(text, "\n"+start) {
			t.Errorf("no %s in:\n%s", start, text)
		}
	}
	if strings.Contains(text, "a.log") {
		t.Errorf("a file's name is in:\n%s", text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if err != nil {
		t.Error(err)
	}
}

// While the sink does not answer and the input is paused, lag and backlog have
// ages and sizes, by input.
func TestMetricsBehind(t *testing.T) {
	s := newSite(t)
	s.cfg.Spool.MaxSize = 64 << 20
	m := newMemSink()
	m.script = func(int, *sink.Object) (bool, error) {
		return false, &sink.Error{Class: sink.Temporary, Code: "away", Err: io.ErrUnexpectedEOF}
	}
	a := s.agent(t, Options{Sink: m})
	start(t, a)
	s.write(t, "a.log", 0, 10)
	eventually(t, "the lines are spooled", func() bool { return a.Status().BacklogBytes > 0 })
	if err := a.Pause(t.Context(), "app", true); err != nil {
		t.Fatal(err)
	}
	line := s.write(t, "a.log", 10, 1)[0]
	eventually(t, "the input is behind", func() bool { return !a.Status().Inputs[0].LagSince.IsZero() })

	st, values := a.Status(), values(t, scrape(t, a))
	for name, want := range map[string]float64{
		`spoolship_input_lag_bytes{input="app"}`:     float64(len(line) + 1),
		`spoolship_input_backlog_bytes{input="app"}`: float64(st.BacklogBytes),
		"spoolship_spool_backlog_bytes":              float64(st.BacklogBytes),
		"spoolship_spool_limit_bytes":                64 << 20,
		"spoolship_spool_min_free_bytes":             0,
		"spoolship_spool_taken_bytes":                float64(st.TakenBytes),
		"spoolship_spool_room_bytes":                 float64(64<<20 - st.TakenBytes),
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, most := range map[string]float64{
		`spoolship_input_lag_seconds{input="app"}`:     time.Since(a.started).Seconds(),
		`spoolship_input_backlog_seconds{input="app"}`: time.Since(a.started).Seconds(),
		"spoolship_spool_free_bytes":                   1 << 60,
	} {
		if got := values[name]; got <= 0 || got > most {
			t.Errorf("%s is %v, want above 0 and at most %v", name, got, most)
		}
	}
}

// A line that was read while the spool is full is not durable: it has an age,
// though nothing is unread.
func TestMetricsFullSpool(t *testing.T) {
	s := newSite(t)
	s.cfg.Spool.MaxSize = 1 // an empty spool takes any batch
	m := newMemSink()
	m.script = func(int, *sink.Object) (bool, error) {
		return false, &sink.Error{Class: sink.Temporary, Code: "away", Err: io.ErrUnexpectedEOF}
	}
	a := s.agent(t, Options{Sink: m})
	start(t, a)
	s.write(t, "a.log", 0, 1)
	eventually(t, "the first line is spooled", func() bool { st := a.Status(); return st.BacklogBytes > 0 && st.Inputs[0].LagSince.IsZero() })
	s.write(t, "a.log", 1, 1)
	eventually(t, "the second line waits", func() bool {
		st := a.Status()
		return len(st.Problems) > 0 && st.Inputs[0].LagBytes == 0 && !st.Inputs[0].LagSince.IsZero()
	})
	values := values(t, scrape(t, a))
	if n := values[`spoolship_input_lag_seconds{input="app"}`]; n <= 0 {
		t.Errorf("lag of %v s", n)
	}
	if n, ok := values["spoolship_spool_room_bytes"]; !ok || n != 0 {
		t.Errorf("room of %v bytes", n)
	}
	if n := values[`spoolship_problem_start_time_seconds{cause="spool full",input=""}`]; n == 0 {
		t.Error("the spool is not said to be full")
	}
}

// values reads an exposition, a value a line.
func values(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		at := strings.LastIndex(line, " ") // values of labels have some too
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[line[:at]] = v
	}
	return all
}

func TestDurations(t *testing.T) {
	var d Durations
	for _, ms := range []int{1, 25, 26, 700, 400_000} {
		d.add(time.Duration(ms) * time.Millisecond)
	}
	if d.Count != 5 || math.Abs(d.Sum-400.752) > 1e-9 || d.AtMost != [...]uint64{2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4} {
		t.Errorf("%+v", d)
	}
}

// What alerts, dashboard and page ask for, the agent has.
func TestMetricsInUse(t *testing.T) {
	has := map[string]bool{"up": true}
	for _, m := range agentMetrics {
		has[m.name] = true
	}
	for _, h := range agentHistograms {
		for _, end := range []string{"_bucket", "_sum", "_count"} {
			has[h.name+end] = true
		}
	}
	for line := range strings.Lines(scrape(t, newSite(t).agent(t, Options{}))) {
		if name, found := strings.CutPrefix(line, "# TYPE "); found { // go_ and process_
			has[strings.Fields(name)[0]] = true
		}
	}
	for _, path := range []string{"../packaging/prometheus/spoolship.rules.yml", "../packaging/prometheus/spoolship.rules.test.yml", "../packaging/grafana/spoolship.json", "../docs/metrics.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(text), -1)
		if len(names) < 10 {
			t.Errorf("%s: only %d metrics", path, len(names))
		}
		for _, name := range names {
			if !has[name] {
				t.Errorf("%s: there is no metric %s", path, name)
			}
		}
	}
}

var metricName = regexp.MustCompile(`\b(?:spoolship|process|go)_[a-z0-9_]+[a-z0-9]\b`)

// docs/metrics.md has every metric, as the code says it.
func TestMetricsPage(t *testing.T) {
	const path = "../docs/metrics.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := bytes.Cut(page, []byte("| metric |"))
	if !found {
		t.Fatal("no table in " + path)
	}
	want := bytes.NewBuffer(bytes.Clone(head))
	want.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, m := range agentMetrics {
		kind := "gauge"
		if m.kind == prometheus.CounterValue {
			kind = "counter"
		}
		fmt.Fprintf(want, "| `%s` | %s | %s | %s |\n", m.name, kind, strings.Join(m.labels, ", "), m.help)
	}
	for _, h := range agentHistograms {
		fmt.Fprintf(want, "| `%s` | histogram |  | %s |\n", h.name, h.help)
	}
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(page, want.Bytes()) {
		t.Error("docs/metrics.md is not what the code says; run go test ./agent -run TestMetricsPage -update")
	}
}
