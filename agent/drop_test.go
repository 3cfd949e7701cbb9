package agent

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/spool"
)

var childScenarios = map[string]childWork{"drop": dropWork, "parts": partsWork, "stream": streamWork}

// dropConfig is a spool that holds a few chunks.
func dropConfig(s *site) {
	c := s.cfg
	c.Spool.WhenFull, c.Spool.MaxSize, c.Spool.SegmentSize = "drop_oldest", 64<<10, 32<<10
	c.Chunk.Compression, c.Chunk.MaxSize, c.Chunk.MaxAge = "none", 8<<10, config.Duration(time.Hour)
	c.S3.MaxUploads = 2
}

// dropWork has the store down until all is read.
func dropWork(dir string) (*config.Config, func(*Agent) bool) {
	s := &site{dir: dir, cfg: siteConfig(dir)}
	dropConfig(s)
	s.cfg.Inputs[0].Chunk = s.cfg.Chunk
	s.cfg.Agent.ReadRate = 384 << 10 // batches smaller than the spool
	return s.cfg, func(a *Agent) bool {
		st := a.Status()
		return st.Following && st.LagBytes == 0
	}
}

// Case: the process is killed when a drop is about to be recorded or was, when
// the disk space goes back, when a tombstone was shipped and when it was acked,
// three times in one directory. Every line is in the bucket or counted by a
// tombstone, and no number is missing.
func TestDropSurvivesKills(t *testing.T) {
	for _, step := range []string{"drop.commit", "drop.committed", "unlink.before", "unlink.after",
		"put.before", "put.after", "ack.commit", "ack.committed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := childDirFor(t, "drop")
			s := &site{dir: dir}
			var lines []string
			for i := range 30 {
				lines = append(lines, s.write(t, fmt.Sprintf("%02d.log", i), 0, 200)...)
			}
			for i := range 3 {
				if !crash(t, dir, fmt.Sprintf("%s:%d", step, 3*i)) && i == 0 {
					t.Fatal("never came to this step")
				}
			}
			crash(t, dir, "never:0")
			dest := &dirSink{dir: filepath.Join(dir, "bucket")}
			if accounted(t, dest.read(t), lines) == 0 {
				t.Error("nothing was dropped")
			}
		})
	}
}

func TestDropIsCountedAndSaid(t *testing.T) {
	s := newSite(t)
	dropConfig(s)
	var log bytes.Buffer
	dest := newMemSink()
	var up atomic.Bool
	dest.script = func(int, *sink.Object) (bool, error) {
		if up.Load() {
			return true, nil
		}
		return false, &sink.Error{Code: "down", Err: errors.New("the store is down")}
	}
	a := s.agent(t, Options{Sink: dest, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	stop := start(t, a)
	for i := range 20 {
		s.write(t, "a.log", 400*i, 400)
		eventually(t, "all is read", func() bool {
			st := a.Status()
			return st.Following && st.LagBytes == 0 && st.Inputs[0].Records == int64(400*i+400)
		})
	}
	st := a.Status()
	if st.DroppedChunks == 0 || len(st.Losses) != 1 || st.Losses[0].Path != filepath.Join(s.dir, "log", "a.log") ||
		st.Losses[0].Records != st.DroppedRecords || st.Losses[0].Bytes != st.DroppedBytes {
		t.Errorf("dropped %d chunks, %d records, %d bytes: %+v", st.DroppedChunks, st.DroppedRecords, st.DroppedBytes, st.Losses)
	}
	if st.Healthy || st.BacklogBytes > int64(s.cfg.Spool.MaxSize) {
		t.Errorf("healthy %v, backlog %d", st.Healthy, st.BacklogBytes)
	}
	up.Store(true)
	eventually(t, "tombstones are shipped", func() bool { return a.Status().Uploads.Tombstones == st.DroppedChunks })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "LINES WERE DROPPED"); n != 2 { // at once, and the rest at the end
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}

// Case: giving up all that may be given up would not be enough.
func TestDropsNothingInVain(t *testing.T) {
	dir := t.TempDir()
	sp, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	for range 3 {
		b := spool.Block{Input: "app", Name: "{queue}-{chunk}-{records}-{id}", Codec: "none", Limit: 1, Data: make([]byte, 1000), RawSize: 1000, Records: 1}
		if err := sp.Append(&spool.Batch{Blocks: []spool.Block{b}}); err != nil {
			t.Fatal(err)
		}
	}
	h := newHealth(slog.New(slog.DiscardHandler))
	s := &shipper{spool: sp, health: h, log: h.log, losses: newLossLog(h.log), uploads: 1}
	s.begin(nil)
	s.queue.take(time.Now())
	each := sp.Chunks()[0].DiskSize
	for _, c := range []struct {
		size int64
		want bool
		left int64
	}{
		{2*each + 1, false, 3000}, // chunk 1 is on its way
		{each + 1, true, 1000},
		{1, false, 1000},
	} {
		if got, err := s.dropOldest(spool.ErrFull, c.size); err != nil || got != c.want {
			t.Errorf("%d bytes: %v, %v", c.size, got, err)
		}
		if left := sp.Stats().Unacked; left != c.left {
			t.Errorf("%d bytes: %d are left", c.size, left)
		}
	}
}

// What the destination refuses is dropped first, and what has arrived is not.
func TestDropsWhatIsRefusedFirst(t *testing.T) {
	sp, err := spool.Open(spool.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	for _, input := range []string{"fine", "fine", "refused", "refused", "refused"} {
		b := spool.Block{Input: input, Name: input + "/{queue}-{chunk}-{records}-{id}", Codec: "none", Limit: 1, Data: make([]byte, 1000), RawSize: 1000, Records: 1}
		if err := sp.Append(&spool.Batch{Blocks: []spool.Block{b}}); err != nil {
			t.Fatal(err)
		}
	}
	h := newHealth(slog.New(slog.DiscardHandler))
	s := &shipper{spool: sp, health: h, log: h.log, losses: newLossLog(h.log), uploads: 8}
	s.begin(nil)
	var taken []*attempt
	for range 5 {
		a, _, _ := s.queue.take(time.Now())
		taken = append(taken, a)
	}
	for _, a := range taken {
		if a.seq >= 3 {
			s.queue.done(a, refused, &sink.Error{Class: sink.Config, Err: errors.New("denied")}, time.Now())
		} else {
			a.delivered = a.seq == 1
			s.queue.done(a, held, nil, time.Now())
		}
	}
	for _, want := range []string{"1 2 4 5", "1 2 5", "1 2", "1"} {
		if done, err := s.dropOldest(spool.ErrFull, 1000); err != nil || !done {
			t.Fatal(done, err)
		}
		var left []string
		for _, c := range sp.Chunks() {
			if c.State == spool.StateSealed {
				left = append(left, fmt.Sprint(c.Seq))
			}
		}
		if got := strings.Join(left, " "); got != want {
			t.Errorf("left %q, want %q", got, want)
		}
	}
	if done, err := s.dropOldest(spool.ErrFull, 1000); done || err != nil {
		t.Errorf("dropped what has arrived: %v, %v", done, err)
	}
}

func TestLossesAreSaidOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := newLossLog(slog.New(slog.NewTextHandler(&log, nil)))
		said := func(want int) {
			t.Helper()
			if n := strings.Count(log.String(), "LINES WERE DROPPED"); n != want {
				t.Fatalf("said %d times, want %d:\n%s", n, want, log.String())
			}
		}
		l.report(true)
		said(0)
		for range 5 {
			l.add(1, []spool.FileLoss{{Input: "app", File: 1, Records: 2, Bytes: 3}}, map[uint64]string{1: "/log/a"})
		}
		said(1)
		if l.over() {
			t.Error("over while it goes on")
		}
		time.Sleep(lossInterval)
		if !l.over() {
			t.Error("not over after a while")
		}
		said(2)
		if !strings.Contains(log.String(), "chunks=4 records=8 bytes=12") {
			t.Errorf("the rest is not right:\n%s", log.String())
		}
		for i := range uint64(2 * maxLossFiles) {
			l.add(1, []spool.FileLoss{{Input: "app", File: i + 2, Records: 1, Bytes: 1}}, nil)
		}
		list := l.list()
		if len(list) != maxLossFiles+1 || list[len(list)-2].Path != otherFiles {
			t.Errorf("%d files are counted", len(list))
		}
		var sum int64
		for _, f := range list {
			sum += f.Records
		}
		if sum != 10+2*maxLossFiles {
			t.Errorf("%d records in all", sum)
		}
	})
}
