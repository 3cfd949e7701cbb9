package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir, os.Getenv(childStep))
		return
	}
	goleak.VerifyTestMain(m)
}

// memSink keeps objects in memory. Its script decides, per attempt, what goes
// wrong, before or after the object is stored.
type memSink struct {
	mu      sync.Mutex
	objects map[string][]byte
	meta    map[string]map[string]string
	tries   []try
	script  func(n int, o *sink.Object) (store bool, err error) // n from 0
}

type try struct {
	key      string
	ifAbsent bool
}

func newMemSink() *memSink {
	return &memSink{objects: make(map[string][]byte), meta: make(map[string]map[string]string)}
}

func (m *memSink) Put(_ context.Context, o *sink.Object) error {
	body, err := io.ReadAll(o.Body)
	if err != nil {
		return &sink.Error{Code: "body", Err: errors.New("the body broke")} // as HTTP clients hide the cause
	}
	if int64(len(body)) != o.Size || sha256.Sum256(body) != o.SHA256 {
		return &sink.Error{Class: sink.Config, Code: "BadDigest", Err: errors.New("body is not as announced")}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.tries)
	m.tries = append(m.tries, try{o.Key, o.IfAbsent})
	store, err := true, error(nil)
	if m.script != nil {
		store, err = m.script(n, o)
	}
	if _, there := m.objects[o.Key]; there && o.IfAbsent && err == nil {
		return sink.ErrExists
	}
	if store {
		if old, there := m.objects[o.Key]; there && !bytes.Equal(old, body) {
			return &sink.Error{Class: sink.Config, Err: fmt.Errorf("object %s changed", o.Key)}
		}
		m.objects[o.Key] = body
		m.meta[o.Key] = o.Metadata
	}
	return err
}

// lines returns the records of all objects in the order of their keys.
func (m *memSink) lines(t *testing.T) []string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for k := range m.objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var all []string
	for _, k := range keys {
		zr, err := gzip.NewReader(bytes.NewReader(m.objects[k]))
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		text, err := io.ReadAll(zr)
		if err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		if len(text) > 0 {
			all = append(all, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
		}
	}
	return all
}

func (m *memSink) stored() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.objects)
}

func (m *memSink) attempts() []try {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tries)
}

// site is a machine in small: a log folder and a configuration.
type site struct {
	dir string
	cfg *config.Config
}

func newSite(t testing.TB) *site {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &site{dir: dir, cfg: siteConfig(dir)}
}

func siteConfig(dir string) *config.Config {
	c := config.Default()
	c.Agent.StateDir = filepath.Join(dir, "state")
	c.Agent.Host = "h"
	c.Agent.ScanInterval = config.Duration(100 * time.Millisecond)
	c.Agent.PollInterval = config.Duration(20 * time.Millisecond)
	c.Spool.MinFree = 0
	c.Spool.CommitInterval = config.Duration(5 * time.Millisecond)
	c.Chunk.MaxAge = config.Duration(50 * time.Millisecond)
	c.S3.Bucket = "b"
	c.Telemetry.Socket = ""
	c.Inputs = []config.Input{{
		Name: "app", Include: []string{filepath.Join(dir, "log", "*.log")}, Format: "json", Validate: "full", Encoding: "utf-8", Identity: "inode",
		StartAt: "beginning", MaxLineSize: 1 << 20, Chunk: c.Chunk, Key: c.S3.Key,
	}}
	return c
}

// write appends numbered JSON lines to a log file and returns them.
func (s *site) write(t *testing.T, name string, from, n int) []string {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, "log", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"file":%q,"n":%d}`, name, from+i))
	}
	if n == 0 {
		return nil
	}
	if _, err := f.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (s *site) agent(t *testing.T, o Options) *Agent {
	t.Helper()
	for i := range s.cfg.Inputs {
		s.cfg.Inputs[i].Chunk = s.cfg.Chunk
	}
	o.Config = s.cfg
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// start runs an agent until the returned function is called, which returns
// what Run did.
func start(t *testing.T, a *Agent) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// eventually polls what has no event to wait for: the outside view.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

func sameLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %d lines, want %d\ngot  %.300q\nwant %.300q", len(got), len(want), got, want)
	}
}
