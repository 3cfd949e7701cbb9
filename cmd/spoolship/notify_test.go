//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent"
)

func TestStatusLine(t *testing.T) {
	at := time.Date(2026, 11, 26, 9, 8, 7, 0, time.Local)
	for _, c := range []struct {
		want string
		st   agent.Status
	}{
		{"Opening the spool", agent.Status{}},
		{"Looking for files", agent.Status{Queue: "q"}},
		{"Following 7 files of 2 inputs; 1.0 KiB unread, 2.0 MiB to ship, no upload yet", agent.Status{
			Queue: "q", Following: true, LagBytes: 1 << 10, BacklogBytes: 2 << 20, Inputs: []agent.InputStatus{{Files: 3}, {Files: 4}},
		}},
		{"Following 0 files of 0 inputs; 0 B unread, 0 B to ship, last upload at 09:08:07", agent.Status{
			Queue: "q", Following: true, Uploads: agent.UploadStats{LastTime: at},
		}},
		{"NOT OK: upload: two lines; fix: look", agent.Status{
			Queue: "q", Following: true, Problems: []agent.Problem{{Cause: "upload", Error: "two\nlines", Hint: "look"}, {Cause: "spool"}},
		}},
	} {
		if got := statusLine(&c.st); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}
