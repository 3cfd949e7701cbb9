package tailer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/tailer"
)

// Reach sees what was written just before, whatever the intervals and without
// events. What can't be read it names, and does not wait for.
func TestReach(t *testing.T) {
	const none = 0
	for name, c := range map[string]struct {
		write  func(h *harness)
		text   string
		reason string
		bytes  int64
		within time.Duration
	}{
		"grown":      {func(h *harness) { h.append("a.log", "two\n") }, "one\ntwo\n", "", none, poll},
		"nothing":    {func(*harness) {}, "one\n", "", none, poll},
		"a new file": {func(h *harness) { h.append("b.log", "two\n") }, "one\ntwo\n", "", none, poll},
		"rotated": {func(h *harness) {
			h.append("a.log", "two\n")
			h.rename("a.log", "a.log.1")
			h.append("a.log", "three\n")
		}, "one\ntwo\nthree\n", "", none, poll},
		"deleted":       {func(h *harness) { h.append("a.log", "two\n"); h.remove("a.log") }, "one\ntwo\n", "", none, poll},
		"larger":        {func(h *harness) { h.append("a.log", strings.Repeat("two\n", 1<<20)) }, "one\n" + strings.Repeat("two\n", 1<<20), "", none, poll},
		"truncated":     {func(h *harness) { h.truncate("a.log"); h.append("a.log", "2\n") }, "one\n2\n", "", none, 30 * time.Second},
		"a partial end": {func(h *harness) { h.append("a.log", "two\npart") }, "one\ntwo\n", tailer.ReasonPartial, 4, poll},
		"only a part":   {func(h *harness) { h.append("b.log", "part") }, "one\n", tailer.ReasonPartial, 4, poll},
		"space ahead": {func(h *harness) {
			h.append("a.log", "two\npart")
			h.must(os.Truncate(h.path("a.log"), 1<<20))
		}, "one\ntwo\n", tailer.ReasonPartial, 4, poll},
		"damaged": {func(h *harness) {
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
			h.must(w.Close())
			h.must(os.WriteFile(h.path("b.log.gz"), z.Bytes()[:12], 0o644))
		}, "one\n", tailer.ReasonUnreadable, -1, 30 * time.Second},
		"a swapped link": {func(h *harness) {
			h.append("a.log", "two\n")
			h.must(os.Symlink(h.path("a.log"), h.path("loop.log")))
		}, "one\ntwo\n", "", none, poll},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *harness) {
				h.o.PollInterval, h.o.ScanInterval = 24*time.Hour, 24*time.Hour
				h.append("a.log", "one\n")
				h.start()
				h.pass(time.Second)
				c.write(h)
				began := time.Now()
				left, err := h.tailer.Reach(h.t.Context())
				h.must(err)
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %v", took)
				}
				if got := h.store.text(); got != c.text {
					t.Errorf("handed on %d bytes %.60q, want %d", len(got), got, len(c.text))
				}
				switch {
				case c.bytes == none && len(left) > 0:
					t.Errorf("left %+v", left)
				case c.bytes != none && (len(left) != 1 || left[0].Reason != c.reason || c.bytes > 0 && left[0].Bytes != c.bytes):
					t.Errorf("left %+v, want %d bytes: %s", left, c.bytes, c.reason)
				}
			}, "*.log*")
		})
	}
}

// A paused input is not waited for, another is read.
func TestReachPaused(t *testing.T) {
	inBubble(t, func(h *harness) {
		other := h.o.Inputs[0]
		other.Name, other.Include, other.Paused = "other", []string{h.path("*.txt")}, true
		h.o.Inputs = append(h.o.Inputs, other)
		h.start()
		h.append("a.log", "one\n")
		h.append("b.txt", "two\n")
		left, err := h.tailer.Reach(h.t.Context())
		h.must(err)
		h.want("one\n")
		if len(left) != 1 || left[0] != (tailer.Unread{Input: "other", Path: h.path("b.txt"), Bytes: 4, Reason: tailer.ReasonPaused}) {
			t.Errorf("left %+v", left)
		}
	}, "*.log")
}

// Whole lines that wait for the rest of their event are waited for.
func TestReachEvent(t *testing.T) {
	inBubble(t, func(h *harness) {
		h.o.PollInterval = time.Hour
		h.o.Inputs[0].Events = func(lines []byte) int { return bytes.LastIndex(lines, []byte("\n{")) + 1 }
		h.start()
		h.append("a.log", "{one\n more\n{two\n more\n")
		left, err := h.tailer.Reach(h.t.Context())
		h.must(err)
		h.want("{one\n more\n{two\n more\n")
		if len(left) > 0 {
			t.Errorf("left %+v", left)
		}
	}, "*.log")
}

// While a writer never rests, what stood in the file when it was asked is enough.
func TestReachBusy(t *testing.T) {
	inBubble(t, func(h *harness) {
		h.append("a.log", "one\n")
		asked, more := false, 0
		h.store.onSpan = func(s *tailer.Span) error {
			if asked && len(s.Data) > 0 && more < 1000 {
				more++
				h.append("a.log", "more\n")
			}
			return nil
		}
		h.start()
		asked = true
		h.append("a.log", "two\n")
		if _, err := h.tailer.Reach(h.t.Context()); err != nil || more >= 1000 {
			t.Errorf("%v, after %d more lines", err, more)
		}
		if !strings.HasPrefix(h.store.text(), "one\ntwo\n") {
			t.Errorf("handed on %.60q", h.store.text())
		}
	}, "*.log")
}

// It ends with the tailer, and with its context.
func TestReachEnds(t *testing.T) {
	inBubble(t, func(h *harness) {
		h.start()
		tl := h.tailer
		h.kill()
		if _, err := tl.Reach(h.t.Context()); !errors.Is(err, tailer.ErrOver) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(h.t.Context())
		cancel()
		tl, err := tailer.New(h.o, h.store)
		h.must(err)
		if _, err := tl.Reach(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}, "*.log")
}

// A run with Once says which last lines it left, and how long they are.
func TestOnceLeaves(t *testing.T) {
	inBubble(t, func(h *harness) {
		h.append("a.log", "one\npart")
		h.append("b.log", "two\n")
		h.append("c.log", "longer part")
		left := h.once().Left()
		h.want("one\ntwo\n")
		want := []tailer.Unread{
			{Input: "app", Path: h.path("a.log"), Bytes: 4, Reason: tailer.ReasonPartial},
			{Input: "app", Path: h.path("c.log"), Bytes: 11, Reason: tailer.ReasonPartial},
		}
		if len(left) != 2 || left[0] != want[0] || left[1] != want[1] {
			t.Errorf("left %+v", left)
		}
		h.o.FlushPartial = true
		if left := h.once().Left(); len(left) != 0 {
			t.Errorf("left %+v although last lines were wanted", left)
		}
		if got := h.store.text(); len(got) != len("one\ntwo\npartlonger part") {
			t.Errorf("handed on %q", got)
		}
	}, "*.log")
}
