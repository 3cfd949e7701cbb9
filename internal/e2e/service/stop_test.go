//go:build e2e

package service

import (
	"net"
	"strings"
	"testing"
	"time"
)

// A store that takes connections and never answers does not hold up a stop, and
// a flush gives up in time; nothing is lost.
func TestStopInAnOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	endpoint := s.cfg.Endpoint
	s.cfg.Endpoint, s.cfg.Timeout = "http://"+deaf.Addr().String(), time.Minute
	s.configure()
	s.write("a.log", 10)
	p := s.run(m.env(watchdog))
	m.await("READY=1")
	conn, err := deaf.Accept() // an upload runs
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if code, _, text := s.command("flush", "--timeout", "500ms"); code != 75 || !strings.Contains(text, "1 object not in the bucket yet") {
		t.Errorf("flush: exit code %d: %s", code, text)
	}
	began := time.Now()
	if err := p.Stop(limit); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %s", took)
	}
	s.cfg.Endpoint = endpoint
	s.configure()
	if _, err := s.Agent.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.arrived()
}

// What the commands do to a running agent.
func TestFlushPauseResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	s.cfg.MaxAge = time.Hour
	s.configure()
	if code, _, text := s.command("flush"); code != 75 || !strings.Contains(text, "no agent answers") {
		t.Errorf("flush without an agent: exit code %d: %s", code, text)
	}
	p := s.run(m.env(watchdog))
	m.await("READY=1")
	must := func(args ...string) {
		t.Helper()
		if code, _, text := s.command(args...); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, text)
		}
	}
	s.write("a.log", 10)
	must("flush")
	s.arrived()
	if code, _, text := s.command("pause", "nobody"); code != 2 || !strings.Contains(text, "no such input: nobody") {
		t.Errorf("pause nobody: exit code %d: %s", code, text)
	}
	must("pause", "app")
	if _, out, _ := s.command("status"); !strings.Contains(out, "paused") {
		t.Errorf("status does not say what is paused:\n%s", out)
	}
	s.write("a.log", 10)
	must("resume")
	must("flush")
	if err := p.Stop(limit); err != nil {
		t.Fatal(err)
	}
	s.arrived()
}
