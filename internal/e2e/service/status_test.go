//go:build e2e

package service

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "put the screens of status that the test saw into README.md")

// screen waits until status begins with first and says says, and returns it.
func (s *site) screen(first, says string, code int) string {
	s.t.Helper()
	var got int
	var out string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got, out, _ = s.command("status"); got == code && strings.HasPrefix(out, first) && strings.Contains(out, says) {
			return out
		}
	}
	s.t.Fatalf("status never began with %q and said %q with exit code %d, the last was %d:\n%s", first, says, code, got, out)
	return ""
}

// capture puts a screen into the README, under its marker.
func capture(t *testing.T, name, screen string) {
	t.Helper()
	const path = "../../../README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	place := regexp.MustCompile("(?s)(<!-- status: " + name + " -->\n```text\n).*?(```\n)")
	if !place.Match(text) {
		t.Fatalf("%s has no place for the screen %q", path, name)
	}
	if !*update {
		return
	}
	var b strings.Builder
	for line := range strings.Lines(screen) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	changed := place.ReplaceAllFunc(text, func(match []byte) []byte {
		parts := place.FindSubmatch(match)
		return []byte(string(parts[1]) + b.String() + string(parts[2]))
	})
	if err := os.WriteFile(path, changed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the screen of status says in health, in an outage and once the spool is
// full. The README shows what this test saw.
func TestStatusScreens(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	s.cfg.SpoolSize, s.cfg.ChunkSize, s.cfg.Compression = "8MiB", "1MiB", "none"
	s.configure()
	p := s.run(nil)
	s.write("a.log", 1000)
	s.shipped(1000)
	capture(t, "health", s.screen("ok\n", "\nlast upload  0 s ago: s3://events/app/", 0))

	s.Server.Down()
	for written := 0; ; written++ { // the rate is known after some seconds
		s.write("a.log", 10)
		if _, out, _ := s.command("status"); strings.Contains(out, " at this rate (") {
			break
		}
		if written > 3000 {
			t.Fatal("status never says when the spool is full")
		}
		time.Sleep(100 * time.Millisecond) // the pace of writing, not a wait
	}
	capture(t, "outage", s.screen("degraded: upload of app: ", "; full in ", 1))

	s.write("a.log", 300_000) // more than fits
	full := s.screen("stalled: spool full: ", "; full\n", 1)
	if !strings.Contains(full, "\n  also: upload of app: ") {
		t.Errorf("the cause of the cause is not there:\n%s", full)
	}
	capture(t, "full spool", full)
	var st struct{ State string }
	if _, out, _ := s.command("status", "--json"); json.Unmarshal([]byte(out), &st) != nil || st.State != "stalled" {
		t.Errorf("status --json does not say that it is stalled:\n%s", out)
	}

	if err := s.Server.Up(); err != nil {
		t.Fatal(err)
	}
	s.shipped(int64(s.lines()))
	s.screen("ok\n", "", 0)
	if err := p.Stop(limit); err != nil {
		t.Error(err)
	}
	s.arrived()
}

// lines is how many lines were written.
func (s *site) lines() (n int) {
	for _, st := range s.streams {
		n += len(st.Lines)
	}
	return n
}

// status --watch goes on while no agent answers, shows one that has come, and
// ends well at SIGINT.
func TestStatusWatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	if code, _, errs := s.command("status", "--watch", "--json"); code != 2 {
		t.Errorf("--watch with --json: exit code %d: %s", code, errs)
	}
	cmd := exec.CommandContext(t.Context(), s.Agent.Binary, "status", "--watch", "--config", s.Agent.Config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	until := func(prefix string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return
			}
		}
		t.Fatalf("it ended before it said %q", prefix)
	}
	until("no agent answers on ")
	s.run(nil)
	until("ok")
	until("ok")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // to its end
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
