//go:build e2e

package hostile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// Whoever may make files beside a log does not stop the reading of others, whatever
// the files are. They cost him nothing: most of their bytes are holes.
func TestNeighbours(t *testing.T) {
	const late = 4 * time.Second // on a busy machine
	name := func(dir, what string, i int) string { return filepath.Join(dir, fmt.Sprintf("%s%05d.log", what, i)) }
	for _, tt := range []struct {
		input string
		act   func(t *testing.T, dir string)
	}{
		{"a file and a copy of it, with a hole of 8 TiB", func(t *testing.T, dir string) {
			evil := filepath.Join(dir, "evil.log")
			sparse(t, evil, 8<<40)
			time.Sleep(time.Second) // there is no copy yet when it is found
			sparse(t, evil+".1", 8<<40)
		}},
		{"2,000 files with holes of 100 MiB", func(t *testing.T, dir string) {
			for i := range 2000 {
				sparse(t, name(dir, "a", i), 100<<20)
			}
		}},
		{"4,000 files moved away, and as many new ones", func(t *testing.T, dir string) {
			const n = 4000
			for i := range n {
				appendTo(t, name(dir, "a", i), "x\n")
			}
			time.Sleep(15 * time.Second) // files without news are closed
			away := dir + "-away"
			if err := os.Mkdir(away, 0o755); err != nil {
				t.Error(err)
			}
			for i := range n {
				if err := os.Rename(name(dir, "a", i), name(away, "a", i)); err != nil {
					t.Error(err)
				}
				appendTo(t, name(dir, "b", i), "x\n")
			}
		}},
	} {
		t.Run(tt.input, func(t *testing.T) {
			t.Parallel()
			lag := newWorld(t, bucket.JSON).besideAttack(tt.act, 6*time.Second)
			row(t, lag <= late, tt.input, fmt.Sprintf("another input's line waits %.1f s", lag.Seconds()), late.String())
		})
	}
}

// sparse makes a file of some lines, a hole and a line.
func sparse(t *testing.T, path string, size int64) {
	lines := bytes.Repeat([]byte("0123456\n"), 256)
	err := os.WriteFile(path, lines, 0o644)
	if err == nil {
		err = os.Truncate(path, size)
	}
	if err != nil {
		t.Error(err)
		return
	}
	appendTo(t, path, "end\n")
}

// besideAttack returns the longest that a line of another input has waited to be
// read from the beginning of act until so long after it. Files are counted, not what
// the agent says of its lag: it knows of none while it does not look. Then the agent
// has to hear a signal.
func (w *world) besideAttack(act func(t *testing.T, dir string), after time.Duration) (lag time.Duration) {
	w.t.Helper()
	dir, other := filepath.Join(w.Logs(), "hostile"), filepath.Join(w.Logs(), "other.txt")
	if err := os.Mkdir(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.cfg.Inputs = []agentproc.Input{
		{Name: "other", Format: "json", Include: []string{other}},
		{Name: "hostile", Format: "text", Include: []string{dir + "/*"}},
	}
	w.cfg.Listen = freeAddress(w.t)
	w.configure()
	p := w.follow()
	acted := make(chan struct{})
	go func() {
		defer close(acted)
		act(w.t, dir)
	}()
	var lines []time.Time
	end := time.Now().Add(time.Minute)
	for tick := time.Tick(100 * time.Millisecond); time.Now().Before(end); <-tick {
		appendTo(w.t, other, events(1))
		lines = append(lines, time.Now())
		if s, err := w.ask(w.t.Context()); err == nil && len(s.Inputs) == 2 && s.Inputs[0].Records < int64(len(lines)) {
			lag = max(lag, time.Since(lines[s.Inputs[0].Records]))
		}
		select {
		case <-acted:
			acted, end = nil, time.Now().Add(after)
		default:
		}
	}
	if acted != nil {
		<-acted
	}
	p.stop()
	return lag
}
