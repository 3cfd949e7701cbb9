//go:build unix

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/tailer"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// healthy is the status of an agent that has shipped something.
func healthy() agent.Status {
	return agent.Status{
		Version: "1.2.3", PID: 42, Started: noon.Add(-26 * time.Hour), Host: "web1", Bucket: "my-events", Healthy: true, State: agent.StateOK, Following: true,
		Queue: "3f9c2a7be01d4458", BacklogBytes: 1 << 20, TakenBytes: 1258291, OldestChunk: noon.Add(-20 * time.Second), OpenChunks: 1,
		Segments: 1, DiskBytes: 3 << 20, MaxSize: 4 << 30, FreeBytes: 50 << 30, RoomBytes: 4<<30 - 1<<20,
		Inputs:  []agent.InputStatus{{Name: "app", Files: 12, Open: 3, Bytes: 5 << 30, Records: 11223344, Rotations: 2}},
		Uploads: agent.UploadStats{Objects: 640, Bytes: 1 << 30, RawBytes: 5 << 30, Records: 11200000, LastKey: "events/app/x.ndjson.gz", LastTime: noon.Add(-12 * time.Second)},
	}
}

func TestScreen(t *testing.T) {
	t.Parallel()
	st := healthy()
	var b strings.Builder
	if err := printStatus(&b, &st, noon); err != nil {
		t.Fatal(err)
	}
	const want = `ok

agent        1.2.3, pid 42, up 1 d 2 h, host web1, queue 3f9c2a7be01d4458
files        12 followed, 0 B in them not spooled yet
backlog      1.0 MiB not in the bucket yet, 1.2 MiB of 4.0 GiB on disk: 0 sealed and 1 open chunks, the oldest 20 s old
disk         3.0 MiB in 1 segments, 50 GiB free
uploads      640 objects, 11,200,000 records, 5.0 GiB as 1.0 GiB, 0 failed attempts
last upload  12 s ago: s3://my-events/events/app/x.ndjson.gz
losses       none

input  files  open  ignored  behind  for  spooled  records     invalid  rotations  truncations  lost
app    12     3     0        0 B     -    5.0 GiB  11,223,344  0        2          0            0 B
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

// What the screen says of each state: the first line, and lines that are there
// too.
func TestScreenLines(t *testing.T) {
	t.Parallel()
	upload := agent.Problem{Cause: "upload", Error: "AccessDenied:\nno", Hint: "allow s3:PutObject", Since: noon.Add(-2 * time.Minute), Count: 31}
	full := agent.Problem{Cause: "spool full", Error: "4 GiB are not acked", Hint: "see why uploads fail", Since: noon, Count: 1}
	for name, c := range map[string]struct {
		change func(st *agent.Status)
		first  string
		also   []string
	}{
		"starting": {func(st *agent.Status) { st.State, st.Following = agent.StateStarting, false }, "starting: files are being looked for", nil},
		"outage": {func(st *agent.Status) {
			st.State, st.Healthy, st.Problems = agent.StateDegraded, false, []agent.Problem{upload}
			st.BacklogGrowth, st.FullAt = 340<<10, noon.Add(200*time.Minute)
		}, "degraded: upload: AccessDenied: no (31 times in 2 min) — fix: allow s3:PutObject", []string{"; full in 3 h 20 min at this rate (340 KiB/s)\n"}},
		"full": {func(st *agent.Status) {
			st.State, st.Healthy, st.Problems, st.RoomBytes = agent.StateStalled, false, []agent.Problem{full, upload}, 0
			st.LagBytes, st.Inputs[0].LagSince = 5<<20, noon.Add(-65*time.Second)
		}, "stalled: spool full: 4 GiB are not acked — fix: see why uploads fail", []string{
			"\n  also: upload: AccessDenied: no (31 times in 2 min) — fix: allow s3:PutObject\n", " old; full\n", "5.0 MiB in them not spooled yet, for 1 min 5 s\n",
		}},
		"no room for a batch": {func(st *agent.Status) {
			st.State, st.Healthy, st.Problems, st.FullAt = agent.StateStalled, false, []agent.Problem{full}, noon
		}, "stalled: spool full: 4 GiB are not acked — fix: see why uploads fail", []string{" old; full\n"}},
		"paused": {func(st *agent.Status) { st.Inputs[0].Paused = noon.Add(-time.Hour) }, "ok, but input app is paused for 1 h — fix: spoolship resume app", nil},
		"unreadable, and a restart is due": {func(st *agent.Status) {
			st.Inputs[0].Errors = []tailer.FileError{{Path: "/var/log/x", Problem: "permission denied", Hint: "chmod it"}}
			st.NeedsRestart = []string{"telemetry.listen"}
		}, "ok, but input app, /var/log/x: permission denied — fix: chmod it", []string{"\n  also: changed, and waiting for a restart: telemetry.listen — fix: systemctl restart"}},
		"losses": {func(st *agent.Status) {
			st.Inputs[0].LostBytes, st.Quarantined = 2048, 1
			st.DroppedChunks, st.DroppedRecords, st.DroppedBytes = 2, 1000, 1<<20
			st.Losses = []agent.FileLoss{{Input: "app", Path: "/var/log/x", Records: 1000, Bytes: 1 << 20}}
		}, "ok", []string{
			"\nlosses       destroyed before they could be read: 2.0 KiB of input app\n             dropped to make room, since the spool was made: 2 chunks of 1,000 records (1.0 MiB)\n",
			"             dropped since the start: 1,000 records (1.0 MiB) of /var/log/x, input app\n             damaged, set aside in quarantine: 1 chunks\n",
		}},
		"no upload yet": {func(st *agent.Status) { st.Uploads = agent.UploadStats{} }, "ok", []string{"\nlast upload  none since the start\n"}},
	} {
		st := healthy()
		c.change(&st)
		var b strings.Builder
		if err := printStatus(&b, &st, noon); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if first, _, _ := strings.Cut(text, "\n"); first != c.first {
			t.Errorf("%s: the first line is %q, want %q", name, first, c.first)
		}
		for _, want := range c.also {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in:\n%s", name, want, text)
			}
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 60 * time.Second: "1 min", 65 * time.Second: "1 min 5 s", 601 * time.Second: "10 min",
		3 * time.Hour: "3 h", 200 * time.Minute: "3 h 20 min", 20*time.Hour + 10*time.Minute: "20 h 10 min", 48 * time.Hour: "2 d", 50 * time.Hour: "2 d 2 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// A screen that is longer than the terminal keeps its first lines.
func TestFrame(t *testing.T) {
	t.Parallel()
	const want = "\x1b[Hone\x1b[K\n0123456789ab\x1b[K\n\x1b[J"
	if got := frame("one\n0123456789ab\nthree\n", 10, 4); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
