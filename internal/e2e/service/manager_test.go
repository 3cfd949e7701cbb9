//go:build e2e

package service

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	t        *testing.T
	path     string
	conn     *net.UnixConn
	received []string // lines of all messages so far
}

func newManager(t *testing.T, dir string) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(dir, "notify.sock")}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// env is what the agent's environment says of the manager.
func (m *manager) env(watchdog time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds())}
}

// next returns the next message's lines; none came before the deadline: nil.
func (m *manager) next(deadline time.Time) []string {
	m.t.Helper()
	m.conn.SetReadDeadline(deadline)
	b := make([]byte, 4096)
	n, err := m.conn.Read(b)
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(b[:n])), "\n")
	m.received = append(m.received, lines...)
	return lines
}

// await waits for a line that begins with want.
func (m *manager) await(want string) string {
	m.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		lines := m.next(deadline)
		if lines == nil {
			m.t.Fatalf("never received %q; received %q", want, m.received)
		}
		for _, line := range lines {
			if strings.HasPrefix(line, want) {
				return line
			}
		}
	}
}

// has says whether a line that begins with want was received.
func (m *manager) has(want string) bool {
	for _, line := range m.received {
		if strings.HasPrefix(line, want) {
			return true
		}
	}
	return false
}

// silent fails if a line that begins with unwanted comes within d.
func (m *manager) silent(unwanted string, d time.Duration) {
	m.t.Helper()
	for deadline := time.Now().Add(d); ; {
		lines := m.next(deadline)
		if lines == nil {
			return
		}
		for _, l := range lines {
			if strings.HasPrefix(l, unwanted) {
				m.t.Errorf("received %q", l)
			}
		}
	}
}

const watchdog = 2 * time.Second

// The agent is ready once its files are followed, says what it does, and says
// that it stops.
func TestReadyThenStopping(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	s.write("a.log", 10)
	p := s.run(m.env(watchdog))
	m.await("READY=1")
	c := s.Agent.Client()
	defer c.Close()
	if st, err := c.Status(t.Context()); err != nil || !st.Following {
		t.Errorf("ready, but status says following %v, %v", st.Following, err)
	}
	m.await("WATCHDOG=1")
	m.await("STATUS=Following 1 files of 1 inputs; 0 B unread, ")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.await("STOPPING=1")
	<-p.Done()
	if p.Err() != nil {
		t.Error(p.Err())
	}
}

// A tailer that does not come to look for files is no readiness, and once it
// is known to be stuck it is not waited for.
func TestNotReadyBeforeFilesAreFollowed(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	m := newManager(t, s.Dir)
	s.run(append(m.env(watchdog), "SPOOLSHIP_FAILPOINT=tailer.start:1:hang"))
	m.await("EXTEND_TIMEOUT_USEC=")
	m.await("STATUS=NOT OK: the tailer is stuck")
	m.silent("EXTEND_TIMEOUT_USEC=", watchdog/2)
	if m.has("READY=1") {
		t.Error("it said that it is ready")
	}
}

// A commit that never ends, as on a disk that does not answer, misses the
// watchdog.
func TestStuckIntakeMissesTheWatchdog(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	m := newManager(t, s.Dir)
	s.run(append(m.env(watchdog), "SPOOLSHIP_FAILPOINT=append.commit:3:hang"))
	m.await("READY=1")
	for range 4 { // beats while it is well
		m.await("WATCHDOG=1")
	}
	if m.has("STATUS=NOT OK") {
		t.Fatalf("it was not well: %q", m.received)
	}
	for i := range 3 { // each is one append at least
		s.write(fmt.Sprintf("%d.log", i), 1)
		m.await("WATCHDOG=1")
	}
	m.await("STATUS=NOT OK: the intake is stuck")
	m.silent("WATCHDOG=1", watchdog)
}

// The watchdog's SIGABRT ends the agent as a signal does, and not with the exit
// code of a wrong configuration, after which the unit does not start it again.
func TestWatchdogIsNoWrongConfiguration(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../../packaging/spoolship.service")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	env := m.env(watchdog)
	for line := range strings.Lines(string(unit)) {
		if set, ok := strings.CutPrefix(line, "Environment="); ok {
			env = append(env, strings.TrimSpace(set))
		}
	}
	p := s.run(env)
	m.await("READY=1")
	if err := p.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	var exit *exec.ExitError
	if !errors.As(p.Err(), &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("it ended with %v", p.Err())
	}
}

// That the store is away is no reason to be killed, however long.
func TestOutageFeedsTheWatchdog(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	m := newManager(t, s.Dir)
	s.Server.Down()
	s.write("a.log", 10)
	s.run(m.env(watchdog))
	m.await("READY=1")
	m.await("STATUS=NOT OK: upload of app: ")
	for range 6 { // half of the watchdog's time is a quarter each
		m.await("WATCHDOG=1")
	}
	if err := s.Server.Up(); err != nil {
		t.Fatal(err)
	}
	m.await("STATUS=Following 1 files of 1 inputs; 0 B unread, 0 B to ship, last upload at ")
	s.arrived()
}
