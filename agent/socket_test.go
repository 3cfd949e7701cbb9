package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// What is at the socket's path and is no socket, or one that somebody listens on,
// stays as it is.
func TestSocketLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(dir, "live.sock")
	l, err := net.Listen("unix", live)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dead := filepath.Join(dir, "dead.sock")
	d, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	d.SetUnlinkOnClose(false)
	d.Close()
	for name, put := range map[string]func(path string) error{
		"a file":                  func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"an empty file":           func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link to a file":        func(path string) error { return os.Symlink(target, path) },
		"a hard link":             func(path string) error { return os.Link(target, path) },
		"a dangling link":         func(path string) error { return os.Symlink(dir+"/none", path) },
		"a link to a dead socket": func(path string) error { return os.Symlink(dead, path) },
		"a directory":             func(path string) error { return os.Mkdir(path, 0o700) },
		"a named pipe":            func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a live socket":           func(path string) error { return os.Link(live, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.sock")
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			l, err := listen(path, -1)
			if err == nil {
				l.Close()
				t.Error("it is taken")
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || after.Mode() != before.Mode() {
				t.Errorf("it is not what it was: %v", err)
			}
		})
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
	fresh, err := listen(dead, -1)
	if err != nil {
		t.Fatalf("a dead socket is in the way: %v", err)
	}
	fresh.Close()
	if _, err := os.Lstat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A stop removes the agent's own socket, not what came in its place.
func TestSocketIsRemovedIfItIsOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := listen(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("precious"), 0o600)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// The status group may ask, and change nothing.
func TestStatusSocket(t *testing.T) {
	s := newSite(t)
	s.cfg.Telemetry.Socket, s.cfg.Telemetry.StatusGroup = filepath.Join(s.dir, "s.sock"), strconv.Itoa(os.Getgid())
	a := s.agent(t, Options{Sink: newMemSink()})
	stop := start(t, a)
	path := s.cfg.Telemetry.StatusSocket()
	// Its mode is the last thing that is set: before, nobody listens yet.
	eventually(t, "the socket", func() bool { info, err := os.Stat(path); return err == nil && info.Mode().Perm() == 0o660 })
	info, err := os.Stat(path)
	if err != nil || int(info.Sys().(*syscall.Stat_t).Gid) != os.Getgid() {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }, DisableKeepAlives: true}}
	for _, c := range []struct {
		method, path string
		allowed      bool
	}{
		{"GET", "/status", true}, {"GET", "/metrics", true}, {"GET", "/healthz", true}, {"GET", "/livez", true}, {"GET", "/readyz", true},
		{"POST", "/reload", false}, {"POST", "/flush", false}, {"POST", "/pause", false}, {"POST", "/resume", false}, {"POST", "/status", false},
		{"GET", "/chunks", false}, {"GET", "/objects/1", false}, {"GET", "/positions", false}, {"GET", "/debug/pprof/heap", false},
	} {
		req, err := http.NewRequest(c.method, "http://agent"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if refused := resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed; refused == c.allowed {
			t.Errorf("%s %s: %s", c.method, c.path, resp.Status)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
