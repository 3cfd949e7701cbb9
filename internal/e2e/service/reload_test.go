//go:build e2e

package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// command runs another command of the binary to its end.
func (s *site) command(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), s.Agent.Binary, append(args, "--config", s.Agent.Config)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// reload sends SIGHUP and waits for the answers that systemd waits for.
func (m *manager) reload(p *agentproc.Proc) {
	m.t.Helper()
	if err := p.Signal(syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
	m.reloaded()
}

// reloaded waits for the messages of one reload.
func (m *manager) reloaded() {
	m.t.Helper()
	m.await("RELOADING=1")
	if !m.has("MONOTONIC_USEC=") {
		m.t.Errorf("no time of the reload in %q", m.received)
	}
	m.await("READY=1")
}

// Lines are written while the agent reloads all the time, by signal and by
// command, with other settings and with inputs that come and go: every line
// arrives exactly once.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	app := s.cfg.Inputs[0]
	extra := agentproc.Input{Name: "extra", Format: "json", Include: []string{filepath.Join(s.Logs(), "extra", "*.log")}}
	if err := os.Mkdir(filepath.Join(s.Logs(), "extra"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := s.run(m.env(watchdog))
	m.await("READY=1")
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			name := fmt.Sprintf("%d.log", i%5)
			s.write(name, 20)
			s.writeAs("extra", "extra/"+name, 20)
			if i%50 == 49 {
				path := filepath.Join(s.Logs(), name)
				os.Rename(path, fmt.Sprintf("%s.%d", path, 10_000-i))
			}
			time.Sleep(2 * time.Millisecond) // a pace, not a wait
		}
	}()
	const reloads = 24
	for i := range reloads {
		s.cfg.Compression = []string{"gzip", "zstd", "none"}[i%3]
		s.cfg.MaxAge = time.Duration(50+10*i) * time.Millisecond
		s.cfg.MaxUploads = 1 + i%4
		s.cfg.Inputs = []agentproc.Input{app}
		if i%2 == 1 { // the last one has it, so that all arrives
			s.cfg.Inputs = []agentproc.Input{extra, app}
		}
		s.configure()
		if i%4 < 3 {
			m.reload(p)
			continue
		}
		code, out, text := s.command("reload")
		if code != 0 || !strings.Contains(out, "s3.max_uploads") || !strings.Contains(out, "chunk.max_age") {
			t.Fatalf("reload: exit code %d\n%s%s", code, out, text)
		}
		m.reloaded()
	}
	close(quit)
	<-done
	if err := p.Stop(limit); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Agent.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.arrived()
	if m.has("STATUS=NOT OK") {
		t.Errorf("it was not well: %q", m.received)
	}
}

// problems asks for the status; its exit code is 1 where health is bad.
func (s *site) problems() (text string, code int) {
	s.t.Helper()
	code, out, errs := s.command("status", "--json")
	var st struct {
		Problems []struct{ Cause, Error, Hint string }
		Restart  []string `json:"needs_restart"`
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatalf("status --json: %v\n%s%s", err, out, errs)
	}
	return fmt.Sprint(st.Problems, st.Restart), code
}

// A configuration with a mistake is refused, and the old one stays.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	p := s.run(m.env(watchdog))
	m.await("READY=1")
	good, err := os.ReadFile(s.Agent.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := func(text []byte) {
		if err := os.WriteFile(s.Agent.Config, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := bytes.Replace(good, []byte("max_age"), []byte("max_aeg"), 1)
	config(bad)
	const mistake, fix = "chunk.max_aeg", `did you mean "max_age"`
	if code, _, text := s.command("reload"); code != 2 || strings.Count(text, mistake) != 1 {
		t.Errorf("reload: exit code %d, %s", code, text)
	}
	m.reloaded()
	if text, code := s.problems(); code != 1 || !strings.Contains(text, mistake) || !strings.Contains(text, fix) {
		t.Errorf("status: exit code %d, %s", code, text)
	}
	if log, err := os.ReadFile(s.Agent.Log); err != nil || !strings.Contains(string(log), mistake) {
		t.Errorf("the log does not say why (%v):\n%s", err, log)
	}
	m.reload(p) // it is refused as often as it is asked for, also by signal
	config(good)
	s.write("a.log", 10) // by the old configuration
	s.shipped(10)
	elsewhere := bytes.Replace(good, []byte("[agent]\n"), []byte("[agent]\nmax_procs = 3\nlog_level = \"debug\"\n"), 1)
	config(elsewhere)
	if code, out, text := s.command("reload"); code != 0 || !strings.Contains(out, "agent.max_procs: needs a restart\n") || !strings.Contains(out, "agent.log_level\n") {
		t.Errorf("reload: exit code %d\n%s%s", code, out, text)
	}
	if text, code := s.problems(); code != 0 || !strings.Contains(text, "agent.max_procs") {
		t.Errorf("status: exit code %d, %s", code, text)
	}
	if err := p.Stop(limit); err != nil {
		t.Fatal(err)
	}
	s.arrived()
}
