package agent

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A problem that comes and goes is in the log once a minute, each kind of it,
// and the log does not end with a problem that is over.
func TestFlappingHealthIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := newHealth(slog.New(slog.NewTextHandler(&out, nil)))
		count := func(word string, want int) {
			t.Helper()
			if got := strings.Count(out.String(), word); got != want {
				t.Errorf("%d times %q, want %d:\n%s", got, word, want, out.String())
			}
		}
		for range 50 {
			h.fail(problem{cause: causeUpload}, "SlowDown", errors.New("slow down, request 123"), "wait")
			h.ok(problem{cause: causeUpload})
			time.Sleep(time.Second)
		}
		count("slow down", 1)
		count("fine again", 1)
		h.fail(problem{cause: causeUpload}, "AccessDenied", errors.New("denied"), "")
		count("denied", 1)
		h.ok(problem{cause: causeUpload})
		count("fine again", 2)
		h.fail(problem{cause: causeUpload}, "SlowDown", errors.New("slow down, request 124"), "wait")
		count("slow down", 1)
		time.Sleep(logAgain)
		if len(h.problems()) != 1 {
			t.Error("it is not known any more")
		}
		h.fail(problem{cause: causeUpload}, "SlowDown", errors.New("slow down, request 125"), "wait") // it is still so
		count("slow down", 2)
		h.ok(problem{cause: causeUpload})
		count("fine again", 3)
	})
}
