package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/tailer"
)

func TestFlushShipsWhatIsInTheFiles(t *testing.T) {
	s := newSite(t)
	s.cfg.Chunk.MaxAge = config.Duration(time.Hour)
	s.cfg.Agent.PollInterval, s.cfg.Agent.ScanInterval = config.Duration(time.Hour), config.Duration(time.Hour)
	ready := make(chan struct{})
	dest := newMemSink()
	a := s.agent(t, Options{Sink: dest, Ready: func() { close(ready) }})
	start(t, a)
	<-ready
	for i := range 3 {
		want := s.write(t, "a.log", 10*i, 10)
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := dest.lines(t); len(got) != 10*i+len(want) {
			t.Errorf("%d lines after flush %d", len(got), i)
		}
	}
}

// What can't be read for now is named, and everything else is in the bucket.
func TestFlushNamesWhatCantBeRead(t *testing.T) {
	s := newSite(t)
	dest := newMemSink()
	s.write(t, "a.log", 0, 10)
	if err := os.WriteFile(filepath.Join(s.dir, "log", "b.log"), []byte("half a line"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := s.agent(t, Options{Sink: dest})
	start(t, a)
	eventually(t, "a session", func() bool { return a.Status().Following })
	var left *LeftError
	if err := a.Flush(t.Context()); !errors.As(err, &left) || len(left.Left) != 1 || left.Left[0].Bytes != 11 || left.Left[0].Reason != tailer.ReasonPartial {
		t.Errorf("got %v", err)
	}
	if n := len(dest.lines(t)); n != 10 {
		t.Errorf("%d lines are in the bucket", n)
	}
}

func TestFlushSaysWhatIsLeft(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 10)
	a := s.agent(t, Options{Sink: hangingSink{make(chan struct{}, 16)}})
	start(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := a.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || err.Error() != "1 object not in the bucket yet: context deadline exceeded\ninput app: 1 chunk of 10 records, 230 B, not in the bucket" {
		t.Errorf("got %v", err)
	}
}

// A paused input is not read but kept track of, through a rotation and a
// deletion; another one is read on.
func TestPauseAndResume(t *testing.T) {
	s := newSite(t)
	dest := newMemSink()
	other := s.cfg.Inputs[0]
	other.Name, other.Include = "other", []string{filepath.Join(s.dir, "log", "*.txt")}
	s.cfg.Inputs = append(s.cfg.Inputs, other)
	a := s.agent(t, Options{Sink: dest})
	stop := start(t, a)
	shipped := func(n int) {
		t.Helper()
		eventually(t, "the lines", func() bool { return a.Status().Uploads.Records == int64(n) })
	}
	s.write(t, "a.log", 0, 10)
	s.write(t, "b.log", 0, 10)
	shipped(20)
	if err := a.Pause(t.Context(), "nobody", true); !errors.Is(err, ErrNoInput) {
		t.Errorf("got %v", err)
	}
	if err := a.Pause(t.Context(), "app", true); err != nil {
		t.Fatal(err)
	}
	s.write(t, "a.log", 10, 10)
	s.write(t, "b.log", 10, 10)
	s.write(t, "c.txt", 0, 10)
	shipped(30)
	eventually(t, "what waits is seen", func() bool {
		in := a.Status().Inputs
		return !in[0].Paused.IsZero() && in[1].Paused.IsZero() && in[0].LagBytes > 0 && in[0].Open == 2
	})
	path := filepath.Join(s.dir, "log", "a.log")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, "log", "b.log")); err != nil {
		t.Fatal(err)
	}
	s.write(t, "a.log", 20, 10)
	eventually(t, "the rotation is seen", func() bool { return a.Status().Inputs[0].Rotations == 2 })
	var left *LeftError
	if err := a.Flush(t.Context()); !errors.As(err, &left) || left.Left[0].Reason != tailer.ReasonPaused { // it is not waited for
		t.Fatal(err)
	}
	if n := a.Status().Uploads.Records; n != 30 {
		t.Errorf("%d records are shipped, 10 of them of a paused input", n)
	}
	if err := a.Pause(t.Context(), "", false); err != nil {
		t.Fatal(err)
	}
	shipped(60)
	if in := a.Status().Inputs[0]; !in.Paused.IsZero() || in.LostBytes > 0 {
		t.Errorf("status %+v", in)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(dest.lines(t)); n != 60 {
		t.Errorf("%d lines", n)
	}
}

// With Drain, a stop waits until all that was spooled is in the bucket.
func TestDrainShipsEverythingFirst(t *testing.T) {
	s := newSite(t)
	s.cfg.Chunk.MaxAge = config.Duration(time.Hour)
	s.cfg.Agent.ShutdownTimeout = 0
	gate := &gatedSink{memSink: newMemSink(), open: make(chan struct{})}
	a := s.agent(t, Options{Sink: gate, Drain: true})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	want := s.write(t, "a.log", 0, 10)
	eventually(t, "the lines are spooled", func() bool { in := a.Status().Inputs; return len(in) == 1 && in[0].Records == 10 })
	if err := a.Pause(t.Context(), "app", true); err != nil { // ends a shift, which is no stop
		t.Fatal(err)
	}
	if n := a.Status().OpenChunks; n != 1 {
		t.Errorf("%d open chunks after the pause", n)
	}
	cancel()
	eventually(t, "the object is closed", func() bool { return a.Status().SealedChunks == 1 })
	select {
	case err := <-done:
		t.Fatalf("Run ended: %v", err)
	default:
	}
	close(gate.open)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	sameLines(t, gate.lines(t), want)
}
