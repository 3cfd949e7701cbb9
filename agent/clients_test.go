package agent

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// listening serves h as newServer does, with a shorter wait for clients if wait
// is not 0, and returns the address.
func listening(t *testing.T, h http.Handler, wait time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newServer(h)
	if wait > 0 {
		srv.Handler = (&clients{waiting: make(map[net.Conn]uint64), wait: wait}).bound(h)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// closedByPeer reports whether the server has closed c.
func closedByPeer(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return err != nil && (!ok || !timeout.Timeout())
}

// Idle connections, and those that never end their request, are closed when
// there are more than maxClients; who asks is answered meanwhile and stays.
func TestIdleClientsKeepNobodyOut(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	address := listening(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			close(begun)
			<-release
		}
		fmt.Fprint(w, "ok")
	}), 0)
	long := dial(t, address)
	fmt.Fprint(long, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	var idle []net.Conn
	for i := range 3 * maxClients {
		c := dial(t, address)
		if i%2 == 0 {
			fmt.Fprint(c, "GET / HT")
		}
		idle = append(idle, c)
	}
	eventually(t, "all but maxClients are closed", func() bool {
		open := 0
		for _, c := range idle {
			if !closedByPeer(c) {
				open++
			}
		}
		return open < maxClients
	})
	for range 5 {
		resp, err := http.Get("http://" + address)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	close(release)
	_ = long.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 4096)
	if n, err := long.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200") {
		t.Errorf("the request that was under way: %q, %v", b[:n], err)
	}
}

// A client that does not take its answer is left, and so is one whose body does
// not come; large headers and bodies are refused.
func TestSlowAndLargeClients(t *testing.T) {
	var left atomic.Bool
	address := listening(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(make([]byte, 64<<20)); err != nil {
			left.Store(true)
		}
	}), 100*time.Millisecond)
	fmt.Fprint(dial(t, address), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the slow reader is left", left.Load)

	for _, tt := range []struct{ name, request, want string }{
		{"a large header", "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"a large body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 100_000), "HTTP/1.1 413"},
		{"a body that does not come", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 408"},
	} {
		c := dial(t, address)
		go func() { _, _ = io.WriteString(c, tt.request) }()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 64)
		if n, _ := io.ReadFull(c, b); !bytes.HasPrefix(b[:n], []byte(tt.want)) {
			t.Errorf("%s: %q, want %s", tt.name, b[:n], tt.want)
		}
	}
}

// However many ask at once, only maxAnswers answers are made at a time.
func TestAnswersAtATime(t *testing.T) {
	var now, most atomic.Int64
	gate := make(chan struct{})
	d := newDesk(0)
	h := d.prepared(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-gate
		now.Add(-1)
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "tea")
	}))
	const asking = 50
	answers := make(chan *httptest.ResponseRecorder, asking)
	for range asking {
		go func() {
			w := httptest.NewRecorder()
			h(w, httptest.NewRequest(http.MethodGet, "/", nil))
			answers <- w
		}()
	}
	eventually(t, "all places are taken", func() bool { return now.Load() == maxAnswers })
	close(gate)
	for range asking {
		if w := <-answers; w.Code != http.StatusTeapot || w.Body.String() != "tea" {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	}
	if most.Load() != maxAnswers {
		t.Errorf("%d answers were made at a time, want %d", most.Load(), maxAnswers)
	}
}
