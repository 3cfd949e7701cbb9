//go:build e2e

package service

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long anything may take that is waited for.
const limit = 30 * time.Second

// binary returns a binary that make harness has built, or that the environment
// names.
func binary(t *testing.T, name, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path = filepath.Join("../../../bin", name)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: build it with make harness, or set %s", err, variable)
	}
	return path
}

// site is one agent's surroundings.
type site struct {
	*rig.Rig
	t       *testing.T
	cfg     agentproc.Config
	streams []stream
}

// newSite follows logs/*.log as input "app". failing takes the binary that has
// failpoints.
func newSite(t *testing.T, failing bool) *site {
	t.Helper()
	program := binary(t, "spoolship", "SPOOLSHIP_BIN")
	if failing {
		program = binary(t, "spoolship-failpoint", "SPOOLSHIP_FAILPOINT_BIN")
	}
	dir, err := os.MkdirTemp("", "service")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t}
	if s.Rig, err = rig.New(t.Context(), dir, rig.Embedded, program, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.cfg = s.Config()
	s.cfg.MinFree, s.cfg.MaxAge = "0B", 100*time.Millisecond
	s.cfg.Inputs = []agentproc.Input{{Name: "app", Format: "json", Include: []string{s.Logs() + "/*.log"}}}
	s.configure()
	return s
}

func (s *site) configure() {
	s.t.Helper()
	if err := s.cfg.Write(s.Agent.Config); err != nil {
		s.t.Fatal(err)
	}
}

// run starts the agent.
func (s *site) run(env []string, args ...string) *agentproc.Proc {
	s.t.Helper()
	p, err := s.Agent.Run(env, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Kill)
	return p
}
