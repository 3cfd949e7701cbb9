//go:build e2e

package hostile

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// Whoever can reach the telemetry port, or the socket, takes no descriptors that
// files need, and keeps nobody out who asks.
func TestIdleConnections(t *testing.T) {
	const (
		connections = 3000
		descriptors = 1024 // of the agent; the unit gives it 16,384
		mostHeld    = 100
	)
	for _, network := range []string{"tcp", "unix"} {
		for _, begin := range []string{"", "GET /sta", "GET /status HTTP/1.1\r\nHost: x\r\n\r\n"} {
			input := fmt.Sprintf("%d connections over %s that say %d bytes", connections, network, len(begin))
			t.Run(input, func(t *testing.T) {
				w := newWorld(t, bucket.JSON)
				w.cfg.Listen = freeAddress(t)
				w.configure()
				p := w.followWith(fmt.Sprintf("ulimit -n %d", descriptors))
				address := w.cfg.Listen
				if network == "unix" {
					address = w.cfg.Socket
				}
				before := openFiles(t, p.cmd.Process.Pid)
				for range connections {
					c, err := net.DialTimeout(network, address, 10*time.Second)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					if _, err := io.WriteString(c, begin); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
						t.Fatal(err)
					}
				}
				began := time.Now()
				for i := range 20 {
					w.log(fmt.Sprintf("%d.log", i), events(3))
				}
				eventually(t, "new files are read", func() bool {
					s, err := w.ask(t.Context())
					return err == nil && len(s.Inputs) == 1 && s.Inputs[0].Records == 60
				})
				took, held := time.Since(began), openFiles(t, p.cmd.Process.Pid)-before
				p.stop()
				row(t, held <= mostHeld+20, input, fmt.Sprintf("%d descriptors more, 20 new files after %.1f s", held, took.Seconds()), fmt.Sprintf("%d descriptors", mostHeld+20))
			})
		}
	}
}

// followWith is follow after a shell command that limits the agent.
func (w *world) followWith(limits string) *proc {
	w.t.Helper()
	program := binary
	defer func() { binary = program }()
	binary = filepath.Join(w.Dir, "limited")
	if err := os.WriteFile(binary, fmt.Appendf(nil, "#!/bin/sh\n%s\nexec %s \"$@\"\n", limits, program), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return w.follow()
}

// openFiles counts the descriptors of a process.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Many who ask at once, and take nothing of what they asked for, cost a bounded
// share of memory, and lines none of their time.
func TestManyQuestions(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	w.cfg.PollInterval = time.Second
	done := make(chan struct{})
	defer close(done)
	w.cfg.Listen = freeAddress(t)
	for range 200 {
		go func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := http.Get("http://" + w.cfg.Listen + "/metrics")
				if err != nil {
					time.Sleep(time.Millisecond) // it has not started, or has closed this connection
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
	}
	w.log("app.log", events(100_000))
	seen := w.besideOther("", func(s *memStatus) bool { return s.Inputs[1].Records == 100_000 })
	row(t, seen.ok(t), "200 clients that ask for /metrics without end", seen.String(), seen.bound(t))
}
