//go:build e2e

package service

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
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
