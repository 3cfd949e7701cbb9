package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

// A chunk's codec is frozen, the level is today's configuration's: it may not
// exist for the codec of chunks that are older.
func TestOldChunksOutliveAChangeOfCompression(t *testing.T) {
	s := newSite(t)
	want := s.write(t, "a.log", 0, 100)
	killed := errors.New("killed")
	err := s.agent(t, Options{Sink: newMemSink(), Once: true, Hook: func(step string) error {
		if step == "put.after" {
			return killed
		}
		return nil
	}}).Run(t.Context())
	if !errors.Is(err, killed) {
		t.Fatal(err)
	}
	s.cfg.Chunk.Compression, s.cfg.Chunk.Level = "zstd", 15
	dest := newMemSink()
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
}

func TestOnceThatIsStoppedBeforeItReadDoesNotClaimSuccess(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	a := s.agent(t, Options{Sink: newMemSink(), Once: true, Hook: func(step string) error {
		if step == "tailer.start" {
			cancel()
		}
		return nil
	}})
	if err := a.Run(ctx); !errors.Is(err, ErrIncomplete) {
		t.Errorf("got %v", err)
	}
}

// What ends a run is final, also after an earlier commit failed.
func TestAFailedCommitIsForgottenOnceTheSpoolIsOpenAgain(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 100)
	loop := filepath.Join(s.dir, "log", "loop.log")
	if err := os.Symlink(loop, loop); err != nil { // can't be read
		t.Fatal(err)
	}
	var commits, sessions atomic.Int64
	a := s.agent(t, Options{Sink: newMemSink(), Once: true, Hook: func(at string) error {
		if at == "tailer.start" {
			sessions.Add(1)
		}
		if at == "append.commit" && commits.Add(1) == 1 {
			return errors.New("injected")
		}
		return nil
	}})
	if err := a.Run(t.Context()); !errors.Is(err, ErrUnread) {
		t.Errorf("got %v", err)
	}
	if n := sessions.Load(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

// Chunks that are too small and too young to be sealed may fill the spool.
func TestASpoolFullOfOpenChunksIsShipped(t *testing.T) {
	s := newSite(t)
	s.cfg.Spool.MaxSize, s.cfg.Spool.SegmentSize = 8<<20, 1<<20
	s.cfg.Chunk.Compression, s.cfg.Chunk.MaxSize = "none", 2<<20
	s.cfg.Chunk.MaxAge = config.Duration(24 * time.Hour)
	input := s.cfg.Inputs[0]
	s.cfg.Inputs = nil
	const lines = 1800 // of 1 KB: below chunk.max_size, six of them above spool.max_size
	text := strings.Repeat(`{"x":"`+strings.Repeat("x", 1000)+"\"}\n", lines)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		path := filepath.Join(s.dir, "log", name+".log")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		input.Name, input.Include = name, []string{path}
		s.cfg.Inputs = append(s.cfg.Inputs, input)
	}
	a := s.agent(t, Options{Sink: newMemSink(), Once: true})
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := a.Status().Uploads.Records; n != 6*lines {
		t.Errorf("%d records", n)
	}
}

// What was stored wrongly must be overwritten, whatever else is in doubt.
func TestASpoiltObjectIsOverwritten(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 10)
	dest := newMemSink()
	dest.script = func(n int, _ *sink.Object) (bool, error) {
		switch n {
		case 0:
			return false, &sink.Error{InDoubt: true, Err: errors.New("connection lost")}
		case 1:
			return false, &sink.Error{Status: 200, InDoubt: true, Spoilt: true, Err: errors.New("wrong checksum")}
		}
		return true, nil
	}
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tries := dest.attempts()
	if len(tries) != 3 || tries[0].ifAbsent || !tries[1].ifAbsent || tries[2].ifAbsent {
		t.Errorf("attempts %+v", tries)
	}
}
