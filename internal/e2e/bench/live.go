package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// live is an agent in a directory of its own, with a store that discards.
// Everything that matters for speed is at the agent's defaults.
type live struct {
	dir, logs, state string

	store  *tally
	server *s3dev.Server
	agent  agentproc.Agent
	config agentproc.Config
	max    string // of the spool; "" for the default
	proc   *agentproc.Proc
	peak   int64 // resident bytes of the last once
}

// newLive makes the directory and the store; the agent is started by start.
func (b *bench) newLive(name string) (*live, error) {
	dir := filepath.Join(b.dir, name)
	l := &live{dir: dir, logs: filepath.Join(dir, "logs"), state: filepath.Join(dir, "state"), store: &tally{}}
	if err := os.MkdirAll(l.logs, 0o755); err != nil {
		return nil, err
	}
	var err error
	if l.server, err = s3dev.Listen(l.store); err != nil {
		return nil, err
	}
	l.agent = agentproc.Agent{
		Binary: b.o.Binary, Config: filepath.Join(dir, "spoolship.toml"),
		Socket: filepath.Join(dir, "agent.sock"), Log: filepath.Join(dir, "agent.log"),
	}
	l.config = b.config(l.server.URL(), l.state)
	l.config.Socket = l.agent.Socket
	return l, nil
}

// close ends everything and removes the directory.
func (l *live) close() {
	if l.proc != nil {
		l.proc.Kill()
	}
	l.server.Close()
	os.RemoveAll(l.dir)
}

// input has the agent read what matches include.
func (l *live) input(format string, include ...string) {
	l.config.Inputs = []agentproc.Input{{Name: "bench", Format: format, Include: include}}
}

// write writes the configuration.
func (l *live) write() error {
	text := l.config.TOML()
	if l.max != "" {
		text = strings.Replace(text, "[spool]\n", "[spool]\nmax_size = \""+l.max+"\"\n", 1)
	}
	return os.WriteFile(l.agent.Config, []byte(text), 0o600)
}

// start runs the agent until it is stopped.
func (l *live) start(env ...string) error {
	err := l.write()
	if err == nil {
		l.proc, err = l.agent.Run(env)
	}
	return err
}

// once runs the agent until everything is shipped and returns how long that
// took, start and stop included.
func (l *live) once(ctx context.Context, env ...string) (time.Duration, error) {
	if err := l.write(); err != nil {
		return 0, err
	}
	began := time.Now()
	p, err := l.agent.Run(env, "--once")
	if err != nil {
		return 0, err
	}
	l.proc = p
	peak := watchPeak(ctx, l.agent.Socket, p.Done())
	defer func() { l.peak = <-peak }()
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		return 0, ctx.Err()
	}
	if p.Err() != nil {
		said, _ := os.ReadFile(l.agent.Log)
		return 0, errors.Join(p.Err(), errors.New(string(said)))
	}
	return time.Since(began), nil
}

// tally is a discarding store that notes when it had each object. If keep is
// set, the first bytes of the bodies are kept there.
type tally struct {
	s3dev.Discard

	mu    sync.Mutex
	puts  []put
	keep  io.Writer
	limit int64 // bytes still to keep
}

// put is one stored object.
type put struct {
	at   time.Time
	size int64
}

func (t *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.keep != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // cut off: it does not count
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		t.save(body)
	}
	t.Discard.ServeHTTP(w, r)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.puts = append(t.puts, put{time.Now(), r.ContentLength})
}

func (t *tally) save(body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	body = body[:min(int64(len(body)), t.limit)]
	t.limit -= int64(len(body))
	t.keep.Write(body) // a short file only makes its limit's run shorter
}

func (t *tally) list() []put {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]put(nil), t.puts...)
}
