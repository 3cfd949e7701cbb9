//go:build e2e

package hostile

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// backlogSize is how much the spool of TestVerifyBesideWrites holds; a full
// trial has VERIFY_MIB=1024.
func backlogSize() int64 {
	n, err := strconv.ParseInt(os.Getenv("VERIFY_MIB"), 10, 64)
	if err != nil {
		n = 64
	}
	return n << 20
}

// agentHTTP asks the running agent over its socket.
func (w *world) agentHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.cfg.Socket)
	}}}
}

// A spool with a large backlog is verified while lines come in: each is durable
// about as soon as without, and the answer never pauses for long. Clients that
// go away, or never read their answer, are let go.
func TestVerifyBesideWrites(t *testing.T) {
	w := newWorld(t, bucket.Text)
	w.cfg.CommitInterval = 20 * time.Millisecond
	w.cfg.ChunkSize, w.cfg.Compression = "8MiB", "none"
	w.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
	bulk := filepath.Join(w.Logs(), "bulk.log")
	f, err := os.Create(bulk)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1000)
	b := bufio.NewWriter(f)
	for written := int64(0); written < backlogSize(); {
		n, _ := fmt.Fprintf(b, "%d %s\n", written, line)
		written += int64(n)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.configure()
	w.follow()
	client := w.agentHTTP()
	ask := func(path string, v any) {
		t.Helper()
		resp, err := client.Get("http://agent" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	var st struct {
		Lag     int64 `json:"lag_bytes"`
		Backlog int64 `json:"backlog_bytes"`
	}
	for st.Lag > 0 || st.Backlog < backlogSize() { // as long as the test's own time lasts
		time.Sleep(50 * time.Millisecond)
		ask("/status", &st)
	}
	// durable is how long a new line takes into the spool.
	type position struct {
		Path   string
		Offset int64
	}
	live, err := os.Create(filepath.Join(w.Logs(), "live.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	durable := func() time.Duration {
		began := time.Now()
		fmt.Fprintf(live, "line at %d\n", began.UnixNano())
		size, _ := live.Seek(0, 1)
		for {
			var positions []position
			ask("/positions", &positions)
			if slices.Contains(positions, position{live.Name(), size}) {
				return time.Since(began)
			}
		}
	}
	sample := func(n int, while func() bool) (all []time.Duration) {
		for len(all) < n || while() {
			all = append(all, durable())
		}
		slices.Sort(all)
		return all
	}
	durable() // the file is found
	alone := sample(50, func() bool { return false })

	type answer struct {
		bytes int64
		done  bool
		pause time.Duration
		err   error
	}
	verify := func() (a answer) {
		resp, err := client.Get("http://agent/verify")
		if err != nil {
			return answer{err: err}
		}
		defer resp.Body.Close()
		last := time.Now()
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			var e struct {
				Bytes  int64
				Done   bool
				Damage string
			}
			a.err = json.Unmarshal(lines.Bytes(), &e)
			if a.err != nil || e.Damage != "" {
				a.err = fmt.Errorf("%w %s", a.err, e.Damage)
				return a
			}
			a.bytes, a.done, a.pause = e.Bytes, e.Done, max(a.pause, time.Since(last))
			last = time.Now()
		}
		return a
	}
	answered := make(chan answer, 1)
	began := time.Now()
	go func() { answered <- verify() }()
	var a answer
	got := false
	beside := sample(50, func() bool {
		select {
		case a = <-answered:
			got = true
		default:
		}
		return !got
	})
	took := time.Since(began)
	if !got {
		a = <-answered
	}
	p99 := func(d []time.Duration) time.Duration { return d[len(d)*99/100] }
	row(t, a.err == nil && a.done && a.bytes >= backlogSize() && beside[len(beside)-1] < 2*time.Second && a.pause < 5*time.Second,
		fmt.Sprintf("spool verify of %d MiB while lines are written", backlogSize()>>20),
		fmt.Sprintf("durable p99 %d ms, max %d ms (alone %d, %d); %s", p99(beside).Milliseconds(), beside[len(beside)-1].Milliseconds(),
			p99(alone).Milliseconds(), alone[len(alone)-1].Milliseconds(), took.Round(100*time.Millisecond)), "max < 2 s, a line of the answer every 5 s")
	if a.err != nil {
		t.Error(a.err)
	}

	// One that connects and goes away, then one more.
	for range 3 {
		c, err := net.Dial("unix", w.cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET /verify HTTP/1.1\r\nHost: agent\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	began = time.Now()
	eventually(t, "verify is to be had again", func() bool {
		p := w.command("spool", "verify")
		return p.code() == 0
	})
	row(t, time.Since(began) < 30*time.Second, "clients of verify that go away", fmt.Sprintf("the next is served after %s", time.Since(began).Round(10*time.Millisecond)), "< 30 s")
}
