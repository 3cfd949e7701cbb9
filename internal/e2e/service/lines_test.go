//go:build e2e

package service

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

type stream = bucket.Stream

var serial atomic.Int64

// write appends n JSON lines, each unlike all others, to a file in logs.
func (s *site) write(name string, n int) { s.t.Helper(); s.writeAs("app", name, n) }

// writeAs is write for a file that another input follows.
func (s *site) writeAs(input, name string, n int) {
	s.t.Helper()
	path := filepath.Join(s.Logs(), name)
	var text strings.Builder
	st := stream{Input: input, Format: bucket.JSON, Name: path}
	for range n {
		line := fmt.Sprintf(`{"event":%d,"text":"nothing special"}`, serial.Add(1))
		st.Lines = append(st.Lines, []byte(line))
		text.WriteString(line + "\n")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text.String()); err != nil {
		s.t.Fatal(err)
	}
	s.streams = append(s.streams, st)
}

// shipped waits until n records were shipped since the agent's start.
func (s *site) shipped(n int64) {
	s.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var st struct{ Uploads struct{ Records int64 } }
		if _, out, _ := s.command("status", "--json"); json.Unmarshal([]byte(out), &st) == nil && st.Uploads.Records >= n {
			return
		}
	}
	s.t.Fatalf("%d records were never shipped", n)
}

// arrived compares the bucket with what was written.
func (s *site) arrived() {
	s.t.Helper()
	r, err := s.Compare(s.t.Context(), s.streams)
	if err != nil {
		s.t.Fatal(err)
	}
	if !r.OK() {
		var b strings.Builder
		r.Print(&b)
		s.t.Errorf("%d lines written, %d delivered, %d lost, %d duplicated, %d foreign:\n%s", r.Written, r.Delivered, r.Lost, r.Duplicated, r.Foreign, b.String())
	}
}
