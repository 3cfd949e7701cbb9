//go:build e2e

package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// Odd bytes arrive as they are, in both formats.
func TestOddLines(t *testing.T) {
	for name, content := range map[string]string{
		"NUL":            "a\x00b\n\x00\n{\"a\":\"\x00\"}\n\x00\x00\x00{\"a\":1}\n",
		"invalid UTF-8":  "caf\xe9\n{\"name\":\"caf\xe9\"}\n\xff\xfe\n\xc0\x80\n{\"cut\":\"\xe6\x97\"}\n",
		"CRLF":           "{\"a\":1}\r\n{\"a\":2}\r\n{\"b\": [1,\t2] }\r\n",
		"CRLF, not JSON": "one\r\ntwo\r\n",
		"CR inside":      "one\rtwo\n{\"a\":\"\r\"}\n",
		"empty file":     "",
		"only newlines":  "\n\n\n\n\n",
		"only CRLF":      "\r\n\r\n\r\n",
		"blanks":         " \n\t\n  \t \n",
		"empty lines":    "\n{\"a\":1}\n\n\n{\"a\":2}\n\n",
		"not an object":  "1\n\"s\"\n[]\nnull\n{}\n{}{}\n{\"a\":1}x\n",
		"controls":       "\x1b[31mred\x1b[0m\x7f\b\f\v\t\"\\/\u2028\n",
		"64-bit ids":     "{\"id\":18446744073709551615,\"x\":1e400,\"y\":0.1000}\n",
	} {
		for _, format := range []bucket.Format{bucket.JSON, bucket.Text} {
			t.Run(name+", "+string(format), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, format)
				w.configure()
				w.log("odd.log", content)
				w.ships()
				w.log("odd.log", "{\"the\":\"last\"}\n") // the file is followed whatever it began with
				w.ships()
			})
		}
	}
}

// A last line without newline waits for it, unless the operator says so.
func TestPartialLastLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.Text)
	w.configure()
	path := filepath.Join(w.Logs(), "a.log")
	if err := os.WriteFile(path, []byte("one\ntwo"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.expect(path, "one\n")
	w.ships()
	w.expect(path, "two")
	w.command("run", "--once", "--flush-partial").exits(0)
	w.arrived()
}

// An object whose end is missing waits for it, and the operator is told.
func TestTornObject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure("[[input]]\n", "[[input]]\nframing = \"json\"\n")
	w.log("a.log", "{\"a\":1}\n")
	if err := os.WriteFile(filepath.Join(w.Logs(), "b.log"), []byte("{\"torn\":\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.command("run", "--once").exits(0)
	p.complaint("left the last object", "b.log", "bytes=9", "--flush-partial")
	w.arrived()
}

// A line of 100 MiB becomes parts, none of it is lost, and it does not have to
// fit into memory.
func TestLongLine(t *testing.T) {
	const size, part = 100 << 20, 1 << 20
	for _, format := range []bucket.Format{bucket.JSON, bucket.Text} {
		t.Run(string(format), func(t *testing.T) {
			w := newWorld(t, format)
			w.configure()
			long := bytes.Repeat([]byte(`{"text":"0123456789 \" \\ abcdef"} `), size/35+1)[:size]
			path := filepath.Join(w.Logs(), "long.log")
			before, after := events(1), events(1)
			if err := os.WriteFile(path, append([]byte(before), long...), 0o644); err != nil {
				t.Fatal(err)
			}
			w.runBounded() // the line has no end yet
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("\n" + after); err != nil {
				t.Fatal(err)
			}
			w.runBounded()
			records := w.records()
			if len(records) != size/part+2 {
				t.Fatalf("%d records, want %d", len(records), size/part+2)
			}
			if got := joined(t, records[1:len(records)-1]); !bytes.Equal(got, long) {
				t.Errorf("the parts are %d bytes that differ from the line", len(got))
			}
			for i, line := range map[int]string{0: before, len(records) - 1: after} {
				if format == bucket.JSON && string(records[i])+"\n" != line {
					t.Errorf("record %d is %q, want %q", i, records[i], line)
				}
			}
		})
	}
}

// runBounded is run --once with a look at its memory, mapped files included.
// Rusage would not do: its peak counts this process up to the exec.
func (w *world) runBounded() {
	w.t.Helper()
	const most = 128 << 10 // KiB
	p := w.command("run", "--once")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	peak := 0
	for running := true; running; {
		select {
		case <-tick.C:
			peak = max(peak, peakRSS(p.cmd.Process.Pid))
		case <-p.done:
			running = false
		}
	}
	if p.exits(0); peak == 0 || peak > most {
		w.t.Errorf("peak RSS %d KiB, want at most %d", peak, most)
	}
}

// peakRSS is in KiB; 0 once the process is gone.
func peakRSS(pid int) (kib int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fmt.Sscan(rest, &kib)
	return kib
}

// records is the whole bucket in the order of chunks.
func (w *world) records() (all [][]byte) {
	w.t.Helper()
	objects, err := w.Objects(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if problems := bucket.Audit(objects); len(problems) > 0 {
		w.t.Errorf("the bucket:\n%s", strings.Join(problems, "\n"))
	}
	for _, o := range objects {
		all = append(all, o.Records...)
	}
	return all
}

// joined puts the parts of a line together, and checks that they say so.
func joined(t *testing.T, parts [][]byte) (line []byte) {
	t.Helper()
	for i, p := range parts {
		var r struct {
			Raw, Message string
			Part         int
			Last         bool
		}
		r.Part = -1
		if err := json.Unmarshal(p, &r); err != nil {
			t.Fatal(err)
		}
		if r.Part != i || r.Last != (i == len(parts)-1) {
			t.Errorf("record %d says part %d, last %v: %.80q … %q", i, r.Part, r.Last, p, p[max(0, len(p)-80):])
		}
		line = append(line, r.Raw+r.Message...)
	}
	return line
}
