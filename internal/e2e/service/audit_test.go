//go:build e2e

package service

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// object does something to an object, past the agent.
func (s *site) object(method, name, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.Server.URL()+"/events/"+name, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s", method, name, resp.Status)
	}
}

// audit runs spoolship audit and looks for words in what it says.
func (s *site) audit(args []string, code int, words ...string) {
	s.t.Helper()
	got, out, errs := s.command(append([]string{"audit"}, args...)...)
	if got != code {
		s.t.Errorf("audit %v: exit code %d, want %d", args, got, code)
	}
	for _, w := range words {
		if !strings.Contains(out+errs, w) {
			s.t.Errorf("audit %v does not say %q", args, w)
		}
	}
	if s.t.Failed() {
		s.t.Fatalf("audit %v:\n%s%s", args, out, errs)
	}
}

// A bucket proves that all is there, and names what is not.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	p := s.run(nil)
	for i := range 4 { // a chunk each
		s.write("a.log", 10)
		s.shipped(int64(10 * (i + 1)))
	}
	s.audit([]string{"--state", "--deep"}, 0, "ok: every chunk", "40 records", "0 not confirmed yet")
	if err := p.Stop(limit); err != nil {
		t.Fatal(err)
	}
	// Of a stopped agent, by the files.
	s.audit([]string{"--state"}, 0, "ok: every chunk")
	s.audit([]string{"s3://events"}, 0, "ok: every chunk")
	s.audit([]string{"events"}, 2, "s3://")
	s.audit([]string{"s3://absent"}, 1, "absent")
	s.audit([]string{"s3://events/typo"}, 1, "s3://events/typo/ has no chunks")
	objects, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, last := objects[1], objects[len(objects)-1]
	s.object(http.MethodPut, "else/report.csv", "a,b\n")
	s.audit(nil, 0, "foreign key else/report.csv", "ok: every chunk")
	s.object(http.MethodPut, second.Name, "not what it was\n")
	s.audit(nil, 0, "ok: every chunk") // keys alone can't tell
	s.audit([]string{"--deep"}, 3, "DAMAGED "+second.Name, "has 1 records, its key says 10")
	s.object(http.MethodDelete, second.Name, "")
	s.audit(nil, 3, fmt.Sprintf("MISSING chunk %d\n", second.Key.Chunk), "after "+objects[0].Name, "before "+objects[2].Name)
	s.object(http.MethodDelete, last.Name, "")
	s.audit([]string{"--state"}, 3, fmt.Sprintf("MISSING chunk %d\n", last.Key.Chunk)) // which keys alone can't know
	code, out, _ := s.command("audit", "--json")
	var report struct {
		Complete bool
		Missing  int `json:"missing_chunks"`
		Records  int
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 3 || report.Complete || report.Missing != 1 || report.Records != 20 {
		t.Errorf("--json: exit code %d, %v\n%s", code, err, out)
	}
}

// Records come back in order, those that are wanted.
func TestCat(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	p := s.run(nil)
	for i := range 3 { // a chunk each
		s.write("a.log", 10)
		s.shipped(int64(10 * (i + 1)))
	}
	if err := p.Stop(limit); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(s.Logs(), "a.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(want)))
	for _, tt := range []struct {
		args []string
		out  string
	}{
		{nil, string(want)},
		{[]string{"s3://events/", "--since", "1h", "--until", "2999-01-01"}, string(want)},
		{[]string{"--grep", regexp.QuoteMeta(strings.TrimSpace(lines[17])) + "$"}, lines[17]},
		{[]string{"--grep", "no such"}, ""},
	} {
		code, out, errs := s.command(append([]string{"cat"}, tt.args...)...)
		if code != 0 || out != tt.out || errs != "" {
			t.Errorf("cat %v: exit code %d\n%s%s", tt.args, code, out, errs)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--input", "typo"}, 1, `none of the 3 objects in s3://events/ is selected`},
		{[]string{"--host", "typo"}, 1, "by their keys they are of the inputs"},
		{[]string{"--until", "48h"}, 1, "is selected"},
		{[]string{"--since", "yesterday"}, 2, `--since: "yesterday" is no time`},
		{[]string{"--grep", "("}, 2, "--grep: missing closing )"},
		{[]string{"s3://events/typo"}, 1, "has no chunks"},
	} {
		code, out, errs := s.command(append([]string{"cat"}, tt.args...)...)
		if code != tt.code || out != "" || !strings.Contains(errs, tt.says) {
			t.Errorf("cat %v: exit code %d\n%s%s", tt.args, code, out, errs)
		}
	}
	objects, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.object(http.MethodPut, objects[1].Name, "\x1f\x8bnot gzip")
	if code, out, errs := s.command("cat"); code != 1 || out != strings.Join(lines[:10], "") || !strings.Contains(errs, objects[1].Name+": gzip header") {
		t.Errorf("a damaged object: exit code %d\n%s%s", code, out, errs)
	}
}
