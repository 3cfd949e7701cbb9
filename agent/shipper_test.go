package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

func TestIfAbsent(t *testing.T) {
	for _, c := range []struct {
		mode  string
		a     tries
		plain bool
		want  bool
	}{
		{"auto", tries{}, false, false},
		{"auto", tries{inDoubt: true}, false, true},
		{"auto", tries{inDoubt: true, cutShort: true}, false, false},
		{"auto", tries{inDoubt: true}, true, false},
		{"auto", tries{inDoubt: true, spoilt: true}, false, false},
		{"always", tries{spoilt: true}, false, false},
		{"always", tries{}, false, true},
		{"always", tries{cutShort: true}, false, false},
		{"always", tries{}, true, false},
		{"never", tries{inDoubt: true}, false, false},
	} {
		if got := c.a.ifAbsent(c.mode, c.plain); got != c.want {
			t.Errorf("%s %+v plain=%v: got %v", c.mode, c.a, c.plain, got)
		}
	}
}

func TestBackoffStaysInItsWindow(t *testing.T) {
	for n := 1; n < 100; n++ {
		for range 100 {
			if d := backoff(n, backoffMax, time.Second); d < time.Second || d > time.Second+backoffMax {
				t.Fatalf("attempt %d: %s", n, d)
			}
		}
	}
	if d := backoff(1, backoffMax, 0); d > backoffBase {
		t.Errorf("first wait %s", d)
	}
}

// Each case scripts the first attempts; after them everything works. The
// lines must be there once, and the attempts conditional as listed.
func TestEveryAnswerLeadsToDelivery(t *testing.T) {
	fail := func(class sink.Class, status int, inDoubt bool) error {
		return &sink.Error{Class: class, Status: status, InDoubt: inDoubt, Code: "X", Hint: "do something", Err: errors.New("injected")}
	}
	type answer struct {
		store bool
		err   error
	}
	for _, c := range []struct {
		name    string
		answers []answer
		want    []bool // IfAbsent of each attempt
	}{
		{"refused", []answer{{false, fail(sink.Temporary, 0, false)}}, []bool{false, false}},
		{"server error", []answer{{false, fail(sink.Temporary, 500, true)}}, []bool{false, true}},
		{"lost answer", []answer{{true, fail(sink.Temporary, 0, true)}}, []bool{false, true}},
		{"no permission", []answer{{false, fail(sink.Config, 403, false)}}, []bool{false, false}},
		{"conditional try breaks", []answer{{true, fail(sink.Temporary, 0, true)}, {false, fail(sink.Temporary, 0, true)}}, []bool{false, true, false}},
		{"condition unknown", []answer{{false, fail(sink.Temporary, 503, true)}, {false, fail(sink.NotConditional, 501, false)}}, []bool{false, true, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			want := s.write(t, "a.log", 0, 100)
			dest := newMemSink()
			dest.script = func(n int, _ *sink.Object) (bool, error) {
				if n < len(c.answers) {
					return c.answers[n].store, c.answers[n].err
				}
				return true, nil
			}
			if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameLines(t, dest.lines(t), want)
			var got []bool
			for _, a := range dest.attempts() {
				got = append(got, a.ifAbsent)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("conditional %v, want %v", got, c.want)
			}
		})
	}
}

// A chunk that was sealed before the start may have been put by the process
// before: its first attempt is conditional.
func TestRestartPutsInDoubt(t *testing.T) {
	s := newSite(t)
	want := s.write(t, "a.log", 0, 100)
	dest := newMemSink()
	dead := errors.New("killed between put and ack")
	err := s.agent(t, Options{Sink: dest, Once: true, Hook: func(step string) error {
		if step == "put.after" {
			return dead
		}
		return nil
	}}).Run(t.Context())
	if !errors.Is(err, dead) {
		t.Fatal(err)
	}
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
	if tries := dest.attempts(); len(tries) != 2 || tries[0].ifAbsent || !tries[1].ifAbsent {
		t.Errorf("attempts %+v", tries)
	}
}

func TestHealthTellsTheFixAndTheRecovery(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 1)
	dest := newMemSink()
	broken := true
	dest.script = func(int, *sink.Object) (bool, error) {
		if broken {
			return false, &sink.Error{Class: sink.Config, Code: "AccessDenied", Status: 403, Hint: "allow s3:PutObject", Err: errors.New("access denied")}
		}
		return true, nil
	}
	s.cfg.Chunk.MaxAge = config.Duration(time.Millisecond)
	a := s.agent(t, Options{Sink: dest})
	start(t, a)
	eventually(t, "bad health with the fix", func() bool {
		p := a.Status().Problems
		return len(p) == 1 && p[0].Cause == causeUpload && p[0].Hint == "allow s3:PutObject"
	})
	dest.mu.Lock()
	broken = false
	dest.mu.Unlock()
	eventually(t, "good health", func() bool { st := a.Status(); return st.Healthy && st.Uploads.Objects == 1 })
}

// heldLog calls held with the first message of a kind, in the goroutine that logs it.
type heldLog struct {
	slog.Handler
	message string
	held    func()
}

func (h *heldLog) Enabled(context.Context, slog.Level) bool { return true }

func (h *heldLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.message {
		h.held()
	}
	return nil
}

func (h *heldLog) WithAttrs([]slog.Attr) slog.Handler { return h }

// What is logged of a failed upload, however slowly, keeps no other one from its slot.
func TestFailureHoldsNoSlot(t *testing.T) {
	s := newSite(t)
	s.cfg.S3.MaxUploads = 1
	other := s.cfg.Inputs[0]
	other.Name, other.Include = "other", []string{filepath.Join(s.dir, "log", "*.txt")}
	s.cfg.Inputs = append(s.cfg.Inputs, other)
	s.write(t, "a.log", 0, 1)

	dest, shipped := newMemSink(), make(chan struct{})
	dest.script = func(_ int, o *sink.Object) (bool, error) {
		if o.Metadata["spoolship-input"] == "app" {
			return false, &sink.Error{Class: sink.Config, Status: 403, Code: "AccessDenied", Hint: "h", Err: errors.New("no")}
		}
		close(shipped)
		return true, nil
	}
	done := make(chan struct{})
	start(t, s.agent(t, Options{Sink: dest, Logger: slog.New(&heldLog{Handler: slog.DiscardHandler, message: "upload failed", held: sync.OnceFunc(func() {
		defer close(done)
		s.write(t, "b.txt", 0, 1)
		select {
		case <-shipped:
		case <-time.After(20 * time.Second):
			t.Error("the other input is not uploaded")
		}
	})})}))
	<-done
}
