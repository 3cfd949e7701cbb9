package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

func TestOnceShipsEverythingThenReturns(t *testing.T) {
	s := newSite(t)
	want := s.write(t, "a.log", 0, 1000)
	dest := newMemSink()
	a := s.agent(t, Options{Sink: dest, Once: true})
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
	if st := a.Status(); st.Uploads.Records != 1000 {
		t.Errorf("status says %d records", st.Uploads.Records)
	}

	want = append(want, s.write(t, "a.log", 1000, 10)...)
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
}

func TestFollowsWhileRunning(t *testing.T) {
	s := newSite(t)
	dest := newMemSink()
	ready := make(chan struct{})
	stop := start(t, s.agent(t, Options{Sink: dest, Ready: func() { close(ready) }}))
	<-ready
	var want []string
	for i := range 20 {
		want = append(want, s.write(t, "a.log", 10*i, 10)...)
		eventually(t, "lines in the bucket", func() bool { return len(dest.lines(t)) == len(want) })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
}

// Every durable step of a run is made to fail once. The agent opens the spool
// again and goes on; nothing is lost or shipped twice.
func TestGoesOnAfterAFailureAtEveryStep(t *testing.T) {
	for _, step := range []string{"append.commit", "append.committed", "seal.commit", "seal.committed",
		"ack.commit", "ack.committed", "put.before"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			want := s.write(t, "a.log", 0, 500)
			dest := newMemSink()
			var hits atomic.Int64
			a := s.agent(t, Options{Sink: dest, Once: true, Hook: func(at string) error {
				if at == step && hits.Add(1) == 1 {
					return errors.New("injected")
				}
				return nil
			}})
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameLines(t, dest.lines(t), want)
			if hits.Load() == 0 {
				t.Error("the step was never reached")
			}
		})
	}
}

func TestStopsInTimeWhileTheSinkHangs(t *testing.T) {
	s := newSite(t)
	s.cfg.Agent.ShutdownTimeout = config.Duration(100 * time.Millisecond)
	want := s.write(t, "a.log", 0, 10)
	hung := make(chan struct{}, 16)
	stop := start(t, s.agent(t, Options{Sink: hangingSink{hung}}))
	<-hung
	began := time.Now()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %s", took)
	}
	dest := newMemSink()
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
}

type hangingSink struct{ hung chan struct{} }

func (h hangingSink) Put(ctx context.Context, _ *sink.Object) error {
	h.hung <- struct{}{}
	<-ctx.Done()
	return &sink.Error{InDoubt: true, Err: ctx.Err()}
}

func TestOnceThatIsStoppedSaysSo(t *testing.T) {
	s := newSite(t)
	s.cfg.Agent.ShutdownTimeout = config.Duration(10 * time.Millisecond)
	s.write(t, "a.log", 0, 10)
	hung := make(chan struct{}, 16)
	stop := start(t, s.agent(t, Options{Sink: hangingSink{hung}, Once: true}))
	<-hung
	if err := stop(); !errors.Is(err, ErrIncomplete) {
		t.Fatalf("got %v", err)
	}
}

func TestAFullSpoolHoldsTheFilesBack(t *testing.T) {
	s := newSite(t)
	s.cfg.Spool.MaxSize = 64 << 10
	s.cfg.Spool.SegmentSize = 16 << 10
	s.cfg.Chunk.Compression = "none"
	s.cfg.Chunk.MaxSize = 8 << 10
	s.cfg.Inputs[0].Key = strings.ReplaceAll(s.cfg.Inputs[0].Key, "{ext}", ".txt")
	open := make(chan struct{})
	gate := &gatedSink{memSink: newMemSink(), open: open}
	a := s.agent(t, Options{Sink: gate})
	stop := start(t, a)
	want := s.write(t, "a.log", 0, 5000)
	eventually(t, "the first lines are spooled", func() bool { return a.Status().BacklogBytes > 0 })
	want = append(want, s.write(t, "b.log", 0, 5000)...)
	eventually(t, "the spool is full", func() bool {
		return slices.ContainsFunc(a.Status().Problems, func(p Problem) bool { return p.Cause == causeFull })
	})
	close(open)
	eventually(t, "everything is shipped and health is fine", func() bool {
		st := a.Status()
		return st.Uploads.Records == int64(len(want)) && st.Healthy
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// gatedSink lets nothing through before open is closed.
type gatedSink struct {
	*memSink
	open chan struct{}
}

func (g *gatedSink) Put(ctx context.Context, o *sink.Object) error {
	select {
	case <-g.open:
		return g.memSink.Put(ctx, o)
	case <-ctx.Done():
		return &sink.Error{Err: ctx.Err()}
	}
}

func TestASecondAgentIsTurnedAway(t *testing.T) {
	s := newSite(t)
	ready := make(chan struct{})
	start(t, s.agent(t, Options{Sink: newMemSink(), Ready: func() { close(ready) }}))
	<-ready
	err := s.agent(t, Options{Sink: newMemSink()}).Run(t.Context())
	var locked *spool.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("got %v", err)
	}
}

func TestARemovedStateDirectoryIsNoticed(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 1)
	dest := newMemSink()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	a := s.agent(t, Options{Sink: dest})
	go func() { done <- a.Run(ctx) }()
	eventually(t, "the first line", func() bool { return len(dest.lines(t)) == 1 })
	// The agent may be making files while they are removed.
	eventually(t, "the directory is gone", func() bool { return os.RemoveAll(s.cfg.Agent.StateDir) == nil })
	s.write(t, "a.log", 1, 1)
	if err := <-done; !errors.Is(err, spool.ErrVanished) {
		t.Fatalf("got %v", err)
	}
}

func TestKeyTemplatesAreCheckedAtTheirPlace(t *testing.T) {
	s := newSite(t)
	s.cfg.Inputs[0].Key = "{input}/{chunk}-{records}-{id}"
	_, err := New(Options{Config: s.cfg, Sink: newMemSink()})
	var problems config.Problems
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "{queue}") || !strings.Contains(err.Error(), "input[0].key") {
		t.Fatalf("got %v", err)
	}
}

func TestTheSocketAnswers(t *testing.T) {
	s := newSite(t)
	s.cfg.Telemetry.Socket = filepath.Join(s.dir, "s.sock")
	s.cfg.Chunk.MaxAge = config.Duration(time.Hour)
	s.write(t, "a.log", 0, 3)
	a := s.agent(t, Options{Sink: newMemSink(), Version: "v"})
	stop := start(t, a)
	eventually(t, "three records spooled", func() bool {
		st := a.Status()
		return len(st.Inputs) == 1 && st.Inputs[0].Records == 3
	})
	client := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", s.cfg.Telemetry.Socket)
	}, DisableKeepAlives: true}}
	get := func(path string, v any) {
		t.Helper()
		resp, err := client.Get("http://agent" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	var st Status
	get("/status", &st)
	if !st.Healthy || !st.Following || st.Version != "v" || st.OpenChunks != 1 || st.BacklogBytes == 0 {
		t.Errorf("status %+v", st)
	}
	resp, err := client.Get("http://agent/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), "agent.(*Agent).Run") {
		t.Errorf("profile: %s %v\n%s", resp.Status, err, text)
	}
	resp.Body.Close()
	var positions []FilePosition
	get("/positions", &positions)
	if len(positions) != 1 || positions[0].Input != "app" || positions[0].Offset == 0 {
		t.Errorf("positions %+v", positions)
	}
	var chunks []spool.Chunk
	get("/chunks", &chunks)
	if len(chunks) != 1 || chunks[0].Records != 3 {
		t.Errorf("chunks %+v", chunks)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.cfg.Telemetry.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
