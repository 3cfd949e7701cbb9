package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// spooled runs an agent that can't ship until everything is sealed, and
// returns the objects that are to be shipped, by key.
func (s *site) spooled(t *testing.T, a *Agent, stop func() error) map[string][]byte {
	t.Helper()
	eventually(t, "all is sealed", func() bool {
		st := a.Status()
		return st.Following && st.LagBytes == 0 && st.SealedChunks > 0 && st.OpenChunks == 0
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return s.objects(t)
}

// objects returns what is to be shipped of a stopped agent's spool.
func (s *site) objects(t *testing.T) map[string][]byte {
	t.Helper()
	sp, err := spool.Open(spool.Options{Dir: s.cfg.Agent.StateDir, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	want := make(map[string][]byte)
	for _, c := range sp.Chunks() {
		body, err := OpenObject(t.Context(), sp, c.Seq)
		if err != nil {
			t.Fatal(err)
		}
		if want[c.Name], err = io.ReadAll(body); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

// spoil overwrites the data of every block in the spool, wherever it lies, and
// returns how many that are.
func (s *site) spoil(t *testing.T) (n int) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(s.cfg.Agent.StateDir, "queue", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range segments {
		b, err := os.ReadFile(path) // at once: growing to a segment's size is slow under the race detector
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		magic := []byte("\x93spblk\r\n")
		for at := bytes.Index(b, magic); at >= 0; {
			data := at + int(binary.BigEndian.Uint32(b[at+10:]))
			if _, err := f.WriteAt([]byte("spoilt"), int64(data)); err != nil {
				t.Fatal(err)
			}
			n++
			next := bytes.Index(b[at+1:], magic)
			if next < 0 {
				break
			}
			at += 1 + next
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (s *site) path(name string) string { return filepath.Join(s.dir, "log", name) }

// writeMixed writes what the encoder treats in all its ways: valid lines,
// others, empty ones, and lines of many parts.
func (s *site) writeMixed(t *testing.T, name string) {
	t.Helper()
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "{\"n\":%d,\"text\":%q}\n", i, strings.Repeat(fmt.Sprint("words ", i*i), 5))
		if i%100 == 0 {
			fmt.Fprintf(&b, "not json %d\r\n\n\xff\xfe\n%s\n", i, strings.Repeat("long", 20*i))
		}
	}
	if err := os.WriteFile(s.path(name), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Case: the data of blocks is damaged while their files are still there, under
// their own or a rotated name. The very same objects are shipped, under the
// very same keys.
func TestDamagedBlocksAreRebuilt(t *testing.T) {
	type change func(t *testing.T, s *site)
	for _, c := range []struct {
		name          string
		codec, format string
		before, after change
		held          int // objects of what is held when the agent stops
	}{
		{name: "gzip", codec: "gzip", format: "json"},
		{name: "zstd", codec: "zstd", format: "text"},
		{name: "none", codec: "none", format: "json"},
		{name: "level was changed since", codec: "gzip", format: "json", after: func(_ *testing.T, s *site) { s.cfg.Chunk.Level = 6 }},
		{name: "gzip, large blocks", codec: "gzip", format: "json", before: func(t *testing.T, s *site) { s.write(t, "large.log", 0, 200_000) }},
		{name: "zstd, large blocks", codec: "zstd", format: "json", before: func(t *testing.T, s *site) { s.write(t, "large.log", 0, 200_000) }},
		{name: "long lines in parts", codec: "gzip", format: "text", before: func(_ *testing.T, s *site) { s.cfg.Inputs[0].MaxLineSize = 1000 }},
		{name: "edited records", codec: "gzip", format: "json", before: func(_ *testing.T, s *site) { s.editing() }},
		{name: "events of several lines", codec: "gzip", format: "text", before: func(_ *testing.T, s *site) {
			s.cfg.Inputs[0].MultilineStart = `^\{"n":\d*0,`
		}},
		{name: "events that are too long", codec: "gzip", format: "text", before: func(_ *testing.T, s *site) {
			s.cfg.Inputs[0].MultilineStart, s.cfg.Inputs[0].MaxLineSize = `^\{"n":\d*0,`, 1000
		}},
		{name: "logs of containers", codec: "gzip", format: "cri", before: func(t *testing.T, s *site) { s.writeContainer(t, "c.log", 0, 3000) }},
		{name: "events of containers", codec: "gzip", format: "cri", held: 1, before: func(t *testing.T, s *site) {
			s.cfg.Inputs[0].MultilineStart = `^(out|err)`
			s.writeContainer(t, "c.log", 0, 30_000)
		}},
		{name: "objects of several lines", codec: "gzip", format: "json", before: func(t *testing.T, s *site) {
			s.cfg.Inputs[0].Framing = "json"
			text, _ := prettyObjects(t, 0, 3000)
			s.append(t, "s.log", text)
			s.append(t, "t.log", strings.ReplaceAll(text, "\n", "")) // one line of more than a part
		}},
		{name: "UTF-16", codec: "gzip", format: "text", before: func(t *testing.T, s *site) {
			s.cfg.Inputs[0].Encoding, s.cfg.Inputs[0].Include = "utf-16be", []string{s.path("*.txt")}
			s.append(t, "w.txt", strings.Repeat("\x00a\x00b\x00\n", 20_000))
		}},
		{name: "several partitions", codec: "gzip", format: "json", before: func(_ *testing.T, s *site) {
			s.cfg.Inputs[0].Key, s.cfg.Inputs[0].TimeField = "{file}/{minute}/"+lateKey, "n" // as seconds
		}},
		{name: "renamed since", codec: "gzip", format: "text", after: func(t *testing.T, s *site) {
			if err := os.Rename(s.path("a.log"), s.path("a.log.1")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.cfg.Chunk.Compression, s.cfg.Inputs[0].Format = c.codec, c.format
			s.cfg.Chunk.MaxSize = 128 << 10
			s.cfg.Spool.SegmentSize = 256 << 10
			s.cfg.Agent.ShutdownTimeout = config.Duration(1)
			if c.before != nil {
				c.before(t, s)
			}
			s.writeMixed(t, "a.log")
			s.writeMixed(t, "b.log")
			dest := newMemSink()
			a := s.agent(t, Options{Sink: &gatedSink{memSink: dest, open: make(chan struct{})}})
			want := s.spooled(t, a, start(t, a))
			n := s.spoil(t)
			if c.after != nil {
				c.after(t, s)
			}
			var log logBuffer
			a = s.agent(t, Options{Sink: dest, Once: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantObjects(t, dest, want, c.held)
			st := a.Status()
			if st.Uploads.Rebuilt == 0 || st.Uploads.Rebuilt > int64(n) || st.Uploads.Tombstones != 0 || st.Quarantined != 0 {
				t.Errorf("%d of %d blocks rebuilt, %d tombstones", st.Uploads.Rebuilt, n, st.Uploads.Tombstones)
			}
			if !strings.Contains(log.String(), "nothing is lost") || len(st.Problems) > 0 {
				t.Errorf("problems after the restored objects were delivered: %+v; log:\n%s", st.Problems, log.String())
			}
		})
	}
}

func wantObjects(t *testing.T, dest *memSink, want map[string][]byte, more int) {
	t.Helper()
	for key, body := range want {
		if !bytes.Equal(dest.objects[key], body) {
			t.Errorf("%s: %d other bytes", key, len(dest.objects[key]))
		}
	}
	if len(dest.objects) != len(want)+more {
		t.Errorf("%d objects, want %d", len(dest.objects), len(want)+more)
	}
}

// Case: blocks of the head are damaged under the running agent.
func TestDamageWhileRunning(t *testing.T) {
	s := newSite(t)
	open := make(chan struct{})
	gate := &gatedSink{memSink: newMemSink(), open: open}
	a := s.agent(t, Options{Sink: gate})
	stop := start(t, a)
	want := s.write(t, "a.log", 0, 5000)
	eventually(t, "all is sealed", func() bool {
		st := a.Status()
		return len(st.Inputs) == 1 && st.Inputs[0].Records == 5000 && st.OpenChunks == 0
	})
	s.spoil(t)
	want = append(want, s.write(t, "b.log", 0, 10)...) // of them nothing is damaged
	close(open)
	eventually(t, "all is shipped", func() bool { return a.Status().Uploads.Records == int64(len(want)) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sameLines(t, gate.lines(t), want)
	if st := a.Status(); st.Uploads.Tombstones != 0 {
		t.Errorf("%d tombstones", st.Uploads.Tombstones)
	}
}

// Case: the disk damages blocks as fast as they are rebuilt, always between
// the first reading of the object and its upload. That comes to an end.
func TestADiskThatKeepsDamaging(t *testing.T) {
	s := newSite(t)
	s.cfg.Chunk.MaxAge = config.Duration(time.Hour) // one chunk of a few blocks
	s.write(t, "a.log", 0, 400_000)                 // a few blocks: the last one read is kept in memory
	dest := newMemSink()
	a := s.agent(t, Options{Sink: dest, Once: true, Hook: func(step string) error {
		if step == "put.before" {
			s.spoil(t)
		}
		return nil
	}})
	if err := a.Run(t.Context()); !errors.Is(err, ErrUnread) {
		t.Fatalf("got %v", err)
	}
	st := a.Status()
	if st.Uploads.Rebuilt < maxRestores || st.Uploads.Tombstones != st.Uploads.Objects || st.Uploads.Objects == 0 {
		t.Errorf("%d blocks rebuilt, %d tombstones of %d objects", st.Uploads.Rebuilt, st.Uploads.Tombstones, st.Uploads.Objects)
	}
}

// Case: damaged blocks whose files are gone, changed, or read otherwise now.
// Their chunk is set aside and a tombstone shipped; the rest is shipped.
func TestDamagedBlocksThatCannotBeRebuilt(t *testing.T) {
	for name, change := range map[string]func(s *site) error{
		"gone":       func(s *site) error { return os.Remove(s.path("a.log")) },
		"changed":    func(s *site) error { return os.WriteFile(s.path("a.log"), []byte("{}\n"), 0o644) },
		"edited":     func(s *site) error { return editMiddle(s.path("a.log")) },
		"other text": func(s *site) error { s.cfg.Inputs[0].Format = "text"; return nil },
		"other name": func(s *site) error { s.cfg.Inputs[0].Name = "renamed"; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.cfg.Agent.ShutdownTimeout = config.Duration(1)
			s.cfg.Agent.RotateWait = config.Duration(1)
			s.cfg.Chunk.MaxAge = config.Duration(time.Second) // one chunk, also on a slow machine
			s.writeMixed(t, "a.log")
			a := s.agent(t, Options{Sink: &gatedSink{memSink: newMemSink(), open: make(chan struct{})}})
			damaged := s.spooled(t, a, start(t, a))
			if s.spoil(t) == 0 {
				t.Fatal("nothing to damage")
			}
			if err := change(s); err != nil {
				t.Fatal(err)
			}
			s.write(t, "b.log", 0, 100)
			dest := newMemSink()
			a = s.agent(t, Options{Sink: dest, Once: true})
			if err := a.Run(t.Context()); !errors.Is(err, ErrUnread) {
				t.Fatalf("got %v", err)
			}
			st := a.Status()
			if int(st.Uploads.Tombstones) != len(damaged) {
				t.Errorf("%d tombstones for %d chunks", st.Uploads.Tombstones, len(damaged))
			}
			for key := range damaged {
				if dest.objects[key] != nil {
					t.Errorf("%s was shipped", key)
				}
			}
			if text := strings.Join(dest.lines(t), "\n"); strings.Count(text, "b.log") < 100 {
				t.Error("the next lines did not arrive")
			}
			blocks, _ := filepath.Glob(filepath.Join(s.cfg.Agent.StateDir, "quarantine", "*.blocks"))
			if len(blocks) != len(damaged) {
				t.Errorf("%d chunks in quarantine", len(blocks))
			}
		})
	}
}

// editMiddle changes bytes that neither the fingerprint nor the anchor cover.
func editMiddle(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for at := len(b) / 8; at < len(b)*7/8; at += len(b) / 16 {
		copy(b[at:], "edited in place")
	}
	return os.WriteFile(path, b, 0o644)
}

// Case: nothing leads to the lines of a block any more.
func TestRebuilderNamesWhatIsMissing(t *testing.T) {
	s := newSite(t)
	a := s.agent(t, Options{Sink: newMemSink()})
	r := rebuilder{plans: a.setup.Load().plans, positions: map[uint64]*tailer.Position{}, sources: map[uint64]*tailer.Source{}}
	for input, want := range map[string]string{"app": "file 7 is not known", "other": "input other is not configured"} {
		_, err := r.block(&spool.Block{Input: input, Ranges: []spool.Range{{File: 7, To: 1}}}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", input, err)
		}
	}
}
