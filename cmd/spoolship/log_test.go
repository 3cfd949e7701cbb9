//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestJournalPriorities(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	for _, c := range []struct {
		stream string
		want   bool
	}{{fmt.Sprintf("%d:%d", st.Dev, st.Ino), true}, {fmt.Sprintf("%d:%d", st.Dev, st.Ino+1), false}, {"", false}} {
		t.Setenv("JOURNAL_STREAM", c.stream)
		if got := inJournal(w); got != c.want {
			t.Errorf("JOURNAL_STREAM=%q: %v", c.stream, got)
		}
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	log := newLog(w, slog.LevelDebug)
	log.Debug("one")
	log.Info("two", "input", "app")
	log.With("queue", "q").Warn("three\nlines", "path", "/a b")
	log.WithGroup("g").Error("four", "n", 4)
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `<7>msg=one
<6>msg=two input=app
<4>msg="three\nlines" queue=q path="/a b"
<3>msg=four g.n=4
`
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestLogOutsideTheJournal(t *testing.T) {
	var out bytes.Buffer
	newLog(&out, slog.LevelInfo).Warn("text", "key", "value")
	if got := out.String(); !strings.HasPrefix(got, "time=") || !strings.HasSuffix(got, " level=WARN msg=text key=value\n") {
		t.Errorf("got %q", got)
	}
}

// A warning comes once a minute at most, with the number of those between; what
// says something else comes at once.
func TestRepeatedWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newLog(&out, slog.LevelInfo)
		lines := func(want int) {
			t.Helper()
			if got := strings.Count(out.String(), "\n"); got != want {
				t.Errorf("%d lines, want %d:\n%s", got, want, out.String())
			}
		}
		for range 10 {
			log.Warn("disk", "path", "/a")
		}
		lines(1)
		log.Warn("disk", "path", "/b")
		log.Error("disk", "path", "/a")
		lines(3)
		time.Sleep(repeatAfter)
		log.Warn("disk", "path", "/a")
		lines(4)
		if !strings.HasSuffix(out.String(), "path=/a repeated=9\n") {
			t.Errorf("got %s", out.String())
		}
		for range 3 {
			log.Info("news")
		}
		lines(7)
		for i := range 3 * seenMost {
			log.Warn("many", "n", i)
		}
		lines(7 + 3*seenMost)
		time.Sleep(repeatAfter)
		log.Warn("again")
		log.Warn("again")
		lines(8 + 3*seenMost)
	})
}
