//go:build e2e

package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// mostLag is how long a line of another input may wait to be durable while a
// hostile one is read.
const mostLag = 2 * time.Second

// Lines that become many times as many bytes cost neither the memory that the
// unit allows, nor the time of other inputs.
func TestLinesThatGrow(t *testing.T) {
	static := "[input.static_fields]\n"
	for i := range 32 {
		static += fmt.Sprintf("f%d = %q\n", i, strings.Repeat("x", 250))
	}
	const none = "[input.chunk]\ncompression = \"none\"\n"
	for _, tt := range []struct {
		input    string
		settings string // of the hostile input
		piece    string // of its file, which has size bytes
		size     int
		records  int
	}{
		{"8 MB of empty lines, text", `format = "text"`, "\n", 8e6, 8e6},
		{"8 MB of empty lines, text, not compressed", "format = \"text\"\n" + none, "\n", 8e6, 8e6},
		{"8 MB of control characters, not compressed", "format = \"text\"\n" + none, strings.Repeat("\x01\xff", 499) + "\x02\n", 8e6, 8e3},
		{"8 MB of quotes and backslashes, json", "", strings.Repeat(`"\`, 50) + "\n", 101 * 8e4, 8e4},
		{"300 kB of {}, 8 kB of static_fields", static, "{}\n", 300e3, 100e3},
		{"200 kB of {}{}{}, 8 kB of static_fields", "framing = \"json\"\n" + static, "{}", 200e3, 100e3},
		{"2 MB of lines of one byte, withheld", `mask_fields = ["a"]`, "x\n", 2e6, 1e6},
		{"2 MB of events of one byte", "format = \"text\"\nmultiline_start = '^'", "\n", 2e6, 2e6 - 1},
		{"2 MB of empty lines in UTF-16", "format = \"text\"\nencoding = \"utf-16le\"", "\n\x00", 2e6, 1e6},
		{"4 MB of windows-1252, not compressed", "format = \"text\"\nencoding = \"windows-1252\"\n" + none, strings.Repeat("\x80\x81\x01", 30) + "\n", 91 * 4e4, 4e4},
		{"20 kB of empty lines, 25 kB of path each", "format = \"text\"\npath_fields = \"/**/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/*.log\"", "\n", 20e3, 20e3},
		{"4 MB of objects that take turns under two keys", `key = "{input}/{field:u}/{queue}-{chunk}-{records}-{id}"`, "{\"u\":1}\n{\"u\":2}\n", 4e6, 500e3},
		{"2 MB of tiny container lines", `format = "cri"`, "2026-01-02T03:04:05Z stderr F \n", 31 * 64e3, 64e3},
	} {
		t.Run(tt.input, func(t *testing.T) {
			w := newWorld(t, bucket.JSON)
			dir := w.Logs()
			if strings.Contains(tt.input, "of path") {
				dir += strings.Repeat("/"+strings.Repeat("\x01", 250), 14)
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "app.log"), bytes.Repeat([]byte(tt.piece), tt.size/len(tt.piece)), 0o644); err != nil {
				t.Fatal(err)
			}
			seen := w.besideOther(tt.settings, func(s *memStatus) bool { return s.Inputs[1].Records >= int64(tt.records) })
			row(t, seen.ok(t), tt.input, seen.String(), seen.bound(t))
		})
	}
}

// effect is what a hostile input had.
type effect struct {
	lag  time.Duration // of the other input, the longest
	late time.Duration // the same, until a line is in the bucket
	disk int64         // bytes of the spool, the most
	open int           // unacked chunks, the most
	peak int           // KiB
	memStatus
}

// besideOther runs the agent with the unit's memory and four processors on a hostile
// input of these settings, logs/**/*.log, and another one that gets a line each 100
// ms, until done.
func (w *world) besideOther(settings string, done func(*memStatus) bool) (e effect) {
	w.t.Helper()
	other := filepath.Join(w.Logs(), "other.txt")
	w.cfg.Inputs = []agentproc.Input{{Name: "other", Format: "json", Include: []string{other}}}
	if w.cfg.Listen == "" {
		w.cfg.Listen = freeAddress(w.t)
	}
	w.configure("[agent]\n", "[agent]\nmax_procs = 4\n")
	f, err := os.OpenFile(w.Agent.Config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintf(f, "\n[[input]]\nname = \"hostile\"\ninclude = [%q]\n%s\n", w.Logs()+"/**/*.log", settings)
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
	p := w.command("run")
	confine(w.t, p.cmd.Process.Pid)
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-p.done:
			w.t.Fatalf("the agent ended: %v, after %s\n%s", p.cmd.ProcessState, e, p.err.String())
		case <-ctx.Done():
			w.t.Fatalf("not done after %s:\n%s", e, p.err.String())
		case <-tick.C:
		}
		if i%2 == 0 {
			appendTo(w.t, other, events(1))
		}
		s, err := w.ask(ctx)
		if err != nil || len(s.Inputs) < 2 {
			continue // not started yet
		}
		if since := s.Inputs[0].LagSince; !since.IsZero() {
			e.lag = max(e.lag, time.Since(since))
		}
		if since := s.Inputs[0].BacklogSince; !since.IsZero() {
			e.late = max(e.late, time.Since(since))
		}
		e.disk, e.open = max(e.disk, s.DiskBytes), max(e.open, s.OpenChunks+s.SealedChunks)
		e.memStatus = s
		e.peak = max(e.peak, peakRSS(p.cmd.Process.Pid))
		if done(&s) {
			break
		}
	}
	p.stop()
	return e
}

func (e effect) String() string {
	return fmt.Sprintf("%d MiB, another input lags %.1f s", e.peak>>10, e.lag.Seconds())
}

func (e effect) ok(t *testing.T) bool { return e.lag <= mostLag && e.peak<<10 < unitMemory(t) }

func (e effect) bound(t *testing.T) string {
	return fmt.Sprintf("%d MiB, %.0f s", unitMemory(t)>>20, mostLag.Seconds())
}

// memStatus is the part of the status that tells of lag.
type memStatus struct {
	Problems []struct{ Cause, Input string }
	Inputs   []struct {
		Records      int64
		Overflow     int64
		LagSince     time.Time `json:"lag_since"`
		BacklogSince time.Time `json:"backlog_since"`
	}
	DiskBytes    int64 `json:"disk_bytes"`
	OpenChunks   int   `json:"open_chunks"`
	SealedChunks int   `json:"sealed_chunks"`
}

// ask asks the running agent for its status.
func (w *world) ask(ctx context.Context) (s memStatus, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.cfg.Listen+"/status", nil)
	if err != nil {
		return s, err
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// unitMemory is MemoryMax of the unit, in bytes.
func unitMemory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("../../../packaging/spoolship.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nMemoryMax=")
	mib, _, _ := strings.Cut(rest, "M\n")
	n, err := strconv.Atoi(mib)
	if err != nil {
		t.Fatalf("MemoryMax of the unit: %v", err)
	}
	return n << 20
}

// confine gives a process the unit's memory, where this user may make a control
// group. Elsewhere its peak is all that is looked at.
func confine(t *testing.T, pid int) {
	t.Helper()
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		dir, limit := filepath.Join("/sys/fs/cgroup/memory", path), "memory.limit_in_bytes"
		switch {
		case number == "0":
			dir, limit = filepath.Join("/sys/fs/cgroup", path), "memory.max"
		case controllers != "memory":
			continue
		}
		dir = filepath.Join(dir, fmt.Sprintf("hostile-%d", pid))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) }) // runs after the process has ended
		if os.WriteFile(filepath.Join(dir, limit), fmt.Append(nil, unitMemory(t)), 0o644) != nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, pid), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Log("no control group can be made here")
}
