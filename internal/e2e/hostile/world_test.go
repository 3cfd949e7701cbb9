//go:build e2e

package hostile

import (
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
	"github.com/spoolship/spoolship/internal/e2e/rig"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// world is what one case happens in: a rig, the way to its store, and the
// agent's configuration.
type world struct {
	*rig.Rig
	t       *testing.T
	way     *s3dev.Server // what the agent takes for S3
	answer  atomic.Value  // http.HandlerFunc: answers in the store's place, unless nil
	cfg     agentproc.Config
	replace []string // pairs for the text of the configuration
	streams []bucket.Stream
}

// newWorld follows logs/*.log as input "app" of that format.
func newWorld(t *testing.T, format bucket.Format) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	own(t, dir)
	w := &world{t: t}
	if w.Rig, err = rig.New(t.Context(), dir, rig.Embedded, binary, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.answers(nil)
	if w.way, err = s3dev.Listen(http.HandlerFunc(w.serve)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.way.Close)
	w.cfg = w.Config()
	w.cfg.Endpoint, w.cfg.MaxAge, w.cfg.RotateWait = w.way.URL(), 100*time.Millisecond, 100*time.Millisecond
	w.cfg.Inputs = []agentproc.Input{{Name: "app", Format: string(format), Include: []string{w.Logs() + "/*.log"}}}
	w.replace = []string{"[spool]\n", "[spool]\nmin_free = \"0B\"\n"}
	return w
}

// answers has f answer all requests in the store's place until it is nil.
func (w *world) answers(f http.HandlerFunc) {
	if f == nil {
		w.judges(nil)
		return
	}
	w.judges(func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		f(rw, r)
	})
}

// judges has f decide which requests the store sees, until it is nil.
func (w *world) judges(f http.HandlerFunc) { w.answer.Store(f) }

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	if f := w.answer.Load().(http.HandlerFunc); f != nil {
		f(rw, r)
		return
	}
	w.Front.ServeHTTP(rw, r)
}

// log appends content to a file of the input, and expects its lines.
func (w *world) log(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.Logs(), name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		w.t.Fatal(err)
	}
	w.expect(path, content)
}

// expect adds the lines of content to what has to arrive. Lines of nothing but
// white space are no records of a JSON input.
func (w *world) expect(path, content string) {
	in := w.cfg.Inputs[0]
	s := bucket.Stream{Input: in.Name, Format: bucket.Format(in.Format), Name: path}
	for line := range strings.Lines(content) {
		line = strings.TrimSuffix(line, "\n")
		if s.Format == bucket.Text || strings.TrimSpace(line) != "" {
			s.Lines = append(s.Lines, []byte(line))
		}
	}
	w.streams = append(w.streams, s)
}

// events is n JSON lines that no other call returns.
func events(n int) string {
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "{\"event\":%d,\"text\":\"nothing special\"}\n", serial.Add(1))
	}
	return b.String()
}

var serial atomic.Int64

// configure writes the configuration; more are pairs to replace in its text.
func (w *world) configure(more ...string) {
	w.t.Helper()
	text := strings.NewReplacer(append(more, w.replace...)...).Replace(w.cfg.TOML())
	if err := os.WriteFile(w.Agent.Config, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	own(w.t, w.Agent.Config)
}

// own gives path to the agent's user.
func own(t *testing.T, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
}

// command starts the binary with the configuration.
func (w *world) command(args ...string) *proc {
	w.t.Helper()
	return start(w.t, append(args, "--config", w.Agent.Config)...)
}

// follow starts the agent and waits until it follows its files.
func (w *world) follow() *proc {
	w.t.Helper()
	p := w.command("run")
	p.prints("following files")
	return p
}

// ships says that all is well again: run --once ends with 0, and then every
// line is in the bucket exactly once.
func (w *world) ships() {
	w.t.Helper()
	w.command("run", "--once").exits(0)
	w.arrived()
}

// arrived compares the bucket with what was written.
func (w *world) arrived() {
	w.t.Helper()
	r, err := w.Compare(w.t.Context(), w.streams)
	if err != nil {
		w.t.Fatal(err)
	}
	if !r.OK() {
		var b strings.Builder
		r.Print(&b)
		w.t.Errorf("%d lines written, %d delivered, %d lost, %d duplicated, %d foreign:\n%s", r.Written, r.Delivered, r.Lost, r.Duplicated, r.Foreign, b.String())
	}
}

// status is the part of the agent's status that the cases ask for.
type status struct {
	Problems []struct{ Cause, Error, Hint string }
	Inputs   []struct{ Records int64 }
	Uploads  struct{ Failures, Records int64 }
	Sealed   int `json:"sealed_chunks"`
	Open     int `json:"open_chunks"`
}

// status asks the running agent; its exit code is 1 where health is bad.
func (w *world) status() (s status, code int) {
	w.t.Helper()
	p := w.command("status", "--json")
	code = p.code()
	if err := json.Unmarshal([]byte(p.out.String()), &s); err != nil {
		w.t.Fatalf("status --json: %v:\n%s%s", err, p.out.String(), p.err.String())
	}
	return s, code
}

// sealed waits until n chunks are sealed and none is open.
func (w *world) sealed(n int) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d sealed chunks", n), func() bool {
		s, _ := w.status()
		return s.Sealed >= n && s.Open == 0
	})
}

// shipped waits until n records were shipped since the agent's start.
func (w *world) shipped(n int64) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d records shipped", n), func() bool {
		s, _ := w.status()
		return s.Uploads.Records >= n
	})
}
