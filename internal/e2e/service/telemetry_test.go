//go:build e2e

package service

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddress returns an address of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get asks over TCP; nobody answering is code 0.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return 0, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// The service answers over TCP what it does. Another address wants a restart,
// says the reload, and until then the old one answers.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	s.cfg.Listen = freeAddress(t)
	s.configure()
	url := "http://" + s.cfg.Listen
	m := newManager(t, s.Dir)
	p := s.run(m.env(watchdog))
	m.await("READY=1")
	s.write("a.log", 20)
	s.shipped(20)
	want := func(path string, code int, parts ...string) {
		t.Helper()
		got, body := get(t, url+path)
		for _, part := range parts {
			if !strings.Contains(body, part) {
				t.Errorf("%s does not say %q:\n%s", path, part, body)
			}
		}
		if got != code {
			t.Errorf("%s: %d, want %d\n%s", path, got, code, body)
		}
	}
	// The first attempt to listen may come after READY=1 on a busy machine.
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if code, _ := get(t, url+"/livez"); code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody answers on " + url)
		}
	}
	want("/readyz", 200, "ok\n")
	want("/healthz", 200, "ok\n")
	want("/metrics", 200, "\nspoolship_ready 1\n", "\nspoolship_input_records_total{input=\"app\"} 20\n",
		"\nspoolship_upload_records_total 20\n", "\nspoolship_lost_bytes_total{input=\"app\",reason=\"destroyed\"} 0\n", "\nprocess_cpu_seconds_total ")
	want("/status", 200, `"healthy":true`)
	want("/debug/pprof/", 404)
	want("/chunks", 404)

	s.cfg.Listen = freeAddress(t)
	s.configure()
	code, out, errs := s.command("reload")
	if code != 0 || !strings.Contains(out, "telemetry.listen: needs a restart\n") {
		t.Errorf("reload: exit code %d\n%s%s", code, out, errs)
	}
	want("/readyz", 200, "ok\n")
	want("/status", 200, `"needs_restart":["telemetry.listen"]`)
	if code, _ := get(t, "http://"+s.cfg.Listen+"/readyz"); code != 0 {
		t.Errorf("the new address answers %d before a restart", code)
	}
	if err := p.Stop(limit); err != nil {
		t.Error(err)
	}
	s.arrived()
}
