package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Case: a commit fails, and the spool can't be opened again for long. /livez
// tells it with the reason; once the disk is well again, the agent goes on by
// itself.
func TestReopeningForLongIsTold(t *testing.T) {
	s := newSite(t)
	dest := newMemSink()
	head := filepath.Join(s.dir, "state", "queue", "00000000000000000001.seg")
	var sound []byte
	var failed atomic.Bool
	a := s.agent(t, Options{Sink: dest, Hook: func(step string) error {
		if step != "append.commit" || !failed.CompareAndSwap(false, true) {
			return nil
		}
		var err error
		if sound, err = os.ReadFile(head); err == nil {
			err = writeAt(head, make([]byte, 8192))
		}
		return errors.Join(errors.New("the disk failed"), err)
	}})
	a.hearts.limit = 300 * time.Millisecond
	life := func() (code int, text string) {
		w := httptest.NewRecorder()
		a.serveLife(w, nil)
		return w.Code, w.Body.String()
	}
	start(t, a)
	want := s.write(t, "a.log", 0, 10)
	eventually(t, "livez is bad", func() bool {
		code, text := life()
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the spool could not be opened for") && strings.Contains(text, "damaged")
	})
	if err := writeAt(head, sound); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lines", func() bool { return len(dest.lines(t)) == len(want) })
	if code, text := life(); code != http.StatusOK {
		t.Errorf("afterwards: %d %s", code, text)
	}
	sameLines(t, dest.lines(t), want)
}

func writeAt(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// backlogged is an agent with n sealed chunks that nobody takes, and its handler
// behind a socket.
func backlogged(t *testing.T, n int) (a *Agent, srv *httptest.Server) {
	t.Helper()
	s := newSite(t)
	a = s.agent(t, Options{Sink: hangingSink{make(chan struct{}, 16)}})
	start(t, a)
	for i := range n {
		s.write(t, "a.log", i*10, 10)
		eventually(t, "a sealed chunk", func() bool { return a.Status().SealedChunks > i })
	}
	srv = httptest.NewServer(a.handler())
	t.Cleanup(srv.Close)
	return a, srv
}

// Case: verify answers line by line, says how much it has checked, and is done
// once for all.
func TestVerifyAnswers(t *testing.T) {
	a, srv := backlogged(t, 3)
	answer := func() (events []VerifyEvent) {
		t.Helper()
		resp, err := http.Get(srv.URL + "/verify")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			var e VerifyEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
		return events
	}
	events := answer()
	if last := events[len(events)-1]; !last.Done || last.Bytes != a.current.Load().spool.Stats().Unacked || last.Bytes == 0 {
		t.Errorf("%+v", events)
	}
	a.verifying.Store(true)
	resp, err := http.Get(srv.URL + "/verify")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a second one: %s", resp.Status)
	}
}

// deaf is the connection of a client that is gone: its writes fail.
type deaf struct {
	http.ResponseWriter
	writes atomic.Int64
}

func (d *deaf) Write([]byte) (int, error) { d.writes.Add(1); return 0, net.ErrClosed }
func (d *deaf) Flush()                    {}

// Case: verify ends with its client.
func TestVerifyEndsWithItsClient(t *testing.T) {
	a, _ := backlogged(t, 3)
	d := &deaf{ResponseWriter: httptest.NewRecorder()}
	a.serveVerify(d, httptest.NewRequest(http.MethodGet, "/verify", nil), a.current.Load().spool)
	if n := d.writes.Load(); n != 2 { // the first line, and the reason that nobody reads
		t.Errorf("%d lines were written", n)
	}
	if a.verifying.Load() {
		t.Error("it still goes on")
	}
}

// Case: an object is what Put gets, and a chunk that is not there is 404.
func TestObjectAnswers(t *testing.T) {
	a, srv := backlogged(t, 1)
	seq := a.current.Load().spool.Chunks()[0].Seq
	get := func(path string) (code int, body []byte) {
		t.Helper()
		resp, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b.Bytes()
	}
	want, err := OpenObject(t.Context(), a.current.Load().spool, seq)
	if err != nil {
		t.Fatal(err)
	}
	if code, got := get("/objects/1"); code != http.StatusOK || int64(len(got)) != want.Size() || seq != 1 {
		t.Errorf("%d, %d bytes of %d", code, len(got), want.Size())
	}
	if code, got := get("/objects/99"); code != http.StatusNotFound {
		t.Errorf("%d %s", code, got)
	}
}
