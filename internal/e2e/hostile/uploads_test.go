//go:build e2e

package hostile

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// sickPart answers for keys that hold a text in the store's place while it is sick,
// and counts the requests for them.
type sickPart struct {
	part     string
	answer   http.HandlerFunc // nil: none, ever
	requests atomic.Int64
	well     atomic.Bool
}

func (s *sickPart) judge(w *world) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if s.well.Load() || !strings.Contains(r.URL.Path, s.part) {
			w.Front.ServeHTTP(rw, r)
			return
		}
		s.requests.Add(1)
		io.Copy(io.Discard, r.Body)
		if s.answer == nil {
			<-r.Context().Done()
			return
		}
		s.answer(rw, r)
	}
}

// twoInputs adds the input "sick" to "app".
func twoInputs(t *testing.T, w *world) {
	t.Helper()
	dir := filepath.Join(w.Logs(), "sick")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.cfg.Inputs = append(w.cfg.Inputs, agentproc.Input{Name: "sick", Format: string(bucket.JSON), Include: []string{dir + "/*.log"}})
}

// sickly appends content to a file of the input "sick", and expects its lines.
func (w *world) sickly(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.Logs(), "sick", name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		w.t.Fatal(err)
	}
	s := bucket.Stream{Input: "sick", Format: bucket.JSON, Name: path}
	for line := range strings.Lines(content) {
		s.Lines = append(s.Lines, []byte(strings.TrimSuffix(line, "\n")))
	}
	w.streams = append(w.streams, s)
}

// looks is what status said of the agent while a test went on.
type looks struct {
	State    string
	Problems []struct {
		Cause, Input, Part, Error, Hint string
		Others                          int
		Count                           int64
	}
	Inputs []struct {
		Name    string
		Records int64
		Blocked time.Time
		Backlog int64 `json:"backlog_bytes"`
	}
	Uploads  struct{ Records int64 }
	Backlog  int64 `json:"backlog_bytes"`
	Disk     int64 `json:"disk_bytes"`
	MaxSize  int64 `json:"max_size"`
	exitCode int
}

func (w *world) look() (l looks) {
	w.t.Helper()
	p := w.command("status", "--json")
	l.exitCode = p.code()
	if err := json.Unmarshal([]byte(p.out.String()), &l); err != nil {
		w.t.Fatalf("status --json: %v:\n%s%s", err, p.out.String(), p.err.String())
	}
	return l
}

// What one part of a store does to some keys, and what becomes of the others: of
// another input, or of another value of a field.
func TestUploadsOfOthersGoOn(t *testing.T) {
	const lines, seconds = 150, 12
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		field  bool          // the sick part is a field's value; else an input
		within time.Duration // from the last line to the arrival of all of the others
		most   int64         // requests for what is sick
		says   string
	}{
		{"403 on one input's keys", refusal(403, "AccessDenied", ""), false, 3 * time.Second, 40, "AccessDenied"},
		{"400 for one field value", refusal(400, "InvalidArgument", ""), true, 3 * time.Second, 40, "InvalidArgument"},
		{"500 for one prefix only", refusal(500, "InternalError", ""), false, 3 * time.Second, 40, "InternalError"},
		{"503 for one field value", refusal(503, "SlowDown", ""), true, 3 * time.Second, 40, "SlowDown"},
		{"endless redirects for one input", refusal(301, "PermanentRedirect", "", "X-Amz-Bucket-Region", "eu-north-1"), false, 6 * time.Second, 60, "PermanentRedirect"},
		{"no answer for one input", nil, false, 15 * time.Second, 20, ""},
		{"no answer for one field value", nil, true, 15 * time.Second, 20, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			twoInputs(t, w)
			sick := &sickPart{part: "/sick/", answer: c.answer}
			if c.field {
				sick.part = "user=sick/"
				w.replace = append(w.replace, "[s3]\n", "[s3]\nkey = \"{input}/user={field:user}/{queue}-{chunk}-{records}-{id}.ndjson{ext}\"\n")
			}
			w.judges(sick.judge(w))
			w.configure()
			p := w.follow()
			began, waited, ok := time.Now(), false, 0
			for i := range lines {
				w.log("a.log", fmt.Sprintf("{\"event\":%d,\"user\":\"well%d\"}\n", serial.Add(1), i%3))
				if i%5 == 0 && c.field {
					w.log("b.log", fmt.Sprintf("{\"event\":%d,\"user\":\"sick\"}\n", serial.Add(1)))
				} else if i%5 == 0 {
					w.sickly("a.log", events(1))
				}
				time.Sleep(seconds * time.Second / lines)
				if i%25 == 24 && time.Since(began) > 4*time.Second {
					if l := w.look(); c.answer != nil && (l.exitCode != 1 || l.State == "ok") {
						ok++
					}
				}
			}
			last := time.Now()
			eventually(t, "all lines of the others arrived", func() bool { return w.look().Uploads.Records >= lines })
			took := time.Since(last)
			waited = took <= c.within
			requests := sick.requests.Load()
			if c.answer != nil {
				l := w.look()
				if len(l.Problems) != 1 || l.Problems[0].Input == "" || !strings.Contains(l.Problems[0].Error, c.says) {
					t.Errorf("problems: %+v", l.Problems)
				}
			}
			row(t, waited && requests <= c.most, c.name, fmt.Sprintf("others after %.1f s, %d requests in %d s", took.Seconds(), requests, seconds),
				fmt.Sprintf("others within %s, at most %d requests", c.within, c.most))
			sick.well.Store(true)
			p.stop()
			if c.field { // the keys are not those that w.ships knows
				w.command("run", "--once").exits(0)
				return
			}
			w.ships()
		})
	}
}

// An input that is refused fills its part of the spool, and is blocked alone.
func TestRefusedInputIsBlockedAlone(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	twoInputs(t, w)
	sick := &sickPart{part: "/sick/", answer: refusal(403, "AccessDenied", "")}
	w.judges(sick.judge(w))
	w.cfg.SpoolSize, w.cfg.ChunkSize, w.cfg.SegmentSize, w.cfg.ReadRate = "8MiB", "1MiB", "1MiB", "2MiB/s"
	w.configure()
	p := w.follow()
	noise := make([]byte, 3000)
	var b strings.Builder
	for range 5000 {
		rand.Read(noise)
		fmt.Fprintf(&b, "{\"event\":%d,\"noise\":%q}\n", serial.Add(1), base64.StdEncoding.EncodeToString(noise))
	}
	w.sickly("a.log", b.String())
	eventually(t, "it is blocked", func() bool {
		w.log("a.log", events(1))
		l := w.look()
		return len(l.Inputs) == 2 && !l.Inputs[1].Blocked.IsZero()
	})
	before := w.look()
	w.log("a.log", events(100))
	began := time.Now()
	eventually(t, "lines of the other arrived", func() bool { return w.look().Uploads.Records >= before.Uploads.Records+100 })
	took := time.Since(began)
	l := w.look()
	eventually(t, "status names both problems of the input", func() bool {
		causes := map[string]bool{}
		for _, p := range w.look().Problems {
			causes[p.Cause+" "+p.Input] = true
		}
		return causes["upload sick"] && causes["blocked sick"] && len(causes) == 2
	})
	if l.State != "degraded" {
		t.Errorf("the state is %s", l.State)
	}
	row(t, took < 5*time.Second && l.Backlog <= l.MaxSize, "the spool is filled by a refused input",
		fmt.Sprintf("others after %.1f s, backlog %.1f of 8 MiB", took.Seconds(), float64(l.Backlog)/(1<<20)), "others within 5 s, backlog at most max_size")
	sick.well.Store(true)
	eventually(t, "all is read and shipped", func() bool {
		l := w.look()
		return l.State == "ok" && l.Backlog == 0 && l.Inputs[1].Records == 5000
	})
	p.stop()
	w.ships()
}

// A run that can't finish says so again, and ends when it was told to.
func TestOnceOfARefusedPrefix(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	twoInputs(t, w)
	sick := &sickPart{part: "/sick/", answer: refusal(403, "AccessDenied", "")}
	w.judges(sick.judge(w))
	w.configure()
	w.log("a.log", events(100))
	w.sickly("a.log", events(50))
	began := time.Now()
	p := w.command("run", "--once", "--timeout", "16s").exits(75)
	took, said := time.Since(began), matching(p.err.String(), []string{"level=ERROR", "upload of sick"})
	p.prints("spoolship: error: input sick: 1 chunk of 50 records", "AccessDenied", "fix: ", "s3:PutObject")
	row(t, said >= 2 && said <= 5 && took < 20*time.Second && sick.requests.Load() < 40, "run --once --timeout 16s with a refused prefix",
		fmt.Sprintf("exit 75 after %.1f s, said %d times", took.Seconds(), said), "75 within 20 s, said 2 to 5 times")
	sick.well.Store(true)
	w.ships()
}

// So does a stop with --drain; a plain one says what is left and exits 0.
func TestDrainOfARefusedPrefix(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	twoInputs(t, w)
	sick := &sickPart{part: "/sick/", answer: refusal(403, "AccessDenied", "")}
	w.judges(sick.judge(w))
	w.configure()
	w.sickly("a.log", events(50))
	p := w.follow()
	w.sealed(1)
	w.command("flush", "--timeout", "2s").exits(75).prints("input sick: 1 chunk of 50 records", "AccessDenied")
	p.stop()
	p.prints("not uploaded yet", "input sick: 1 chunk of 50 records")
	p = w.command("run", "--drain", "--timeout", "2s")
	p.prints("following files")
	began := time.Now()
	p.cmd.Process.Signal(os.Interrupt)
	p.exits(75).prints("spoolship: error: input sick: 1 chunk of 50 records", "AccessDenied")
	took := time.Since(began)
	row(t, took < 6*time.Second, "a stop with --drain --timeout 2s with a refused prefix", fmt.Sprintf("exit 75 after %.1f s", took.Seconds()), "75 within 6 s")
	sick.well.Store(true)
	w.ships()
}

// Thousands of refused prefixes are a problem with a count, and few requests.
func TestManyRefusedPrefixes(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	w.replace = append(w.replace, "[s3]\n", "[s3]\nkey = \"{input}/user={field:user}/{queue}-{chunk}-{records}-{id}.ndjson{ext}\"\n")
	sick := &sickPart{part: "/user=x", answer: refusal(403, "AccessDenied", "")}
	w.judges(sick.judge(w))
	w.configure()
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "{\"event\":%d,\"user\":\"x%d\"}\n", serial.Add(1), i)
	}
	w.log("a.log", b.String())
	p := w.follow()
	for last := int64(-1000); sick.requests.Load()-last > 20; { // each that has a key of its own is tried once, soon
		last = sick.requests.Load()
		time.Sleep(2 * time.Second)
	}
	from := sick.requests.Load()
	time.Sleep(10 * time.Second)
	requests := sick.requests.Load() - from
	l := w.look()
	w.log("b.log", fmt.Sprintf("{\"event\":%d,\"user\":\"well\"}\n", serial.Add(1)))
	began := time.Now()
	others := l.Uploads.Records // those without a key of their own
	eventually(t, "another value arrives", func() bool { return w.look().Uploads.Records > others })
	took := time.Since(began)
	logged := matching(p.err.String(), []string{"level=ERROR"})
	row(t, len(l.Problems) == 1 && requests <= 100 && logged <= 3, "2,000 refused values of a field",
		fmt.Sprintf("%d problem, %d log lines, %d requests in 10 s, another after %.0f s", len(l.Problems), logged, requests, took.Seconds()),
		"1 problem, 3 log lines, 100 requests")
	sick.well.Store(true)
	p.stop()
	w.command("run", "--once").exits(0)
}
