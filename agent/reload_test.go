package agent

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

// changed returns a copy of the site's configuration, changed by f.
func (s *site) changed(f func(c *config.Config)) *config.Config {
	c := *s.cfg
	c.Inputs = slices.Clone(s.cfg.Inputs)
	f(&c)
	for i := range c.Inputs {
		c.Inputs[i].Chunk = c.Chunk
	}
	return &c
}

func reload(t *testing.T, a *Agent, c *config.Config, dest sink.Sink) Change {
	t.Helper()
	change, err := a.Reload(t.Context(), c, dest)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// Lines are written, files rotated and deleted, while the configuration is
// changed all the time: each line arrives once.
func TestReloadsUnderLoad(t *testing.T) {
	s := newSite(t)
	sinks := []*memSink{newMemSink(), newMemSink()}
	a := s.agent(t, Options{Sink: sinks[0]})
	stop := start(t, a)
	quit, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; !isClosed(quit); n++ {
			if _, err := a.Reload(t.Context(), s.nth(n), sinks[n%2]); err != nil {
				t.Errorf("reload %d: %v", n, err)
				break
			}
		}
		done <- n
	}()
	var want []string
	spooled := func() {
		t.Helper()
		eventually(t, "all lines are spooled", func() bool {
			var n int64
			for _, in := range a.Status().Inputs {
				n += in.Records
			}
			return n >= int64(len(want))
		})
	}
	const each = 40
	for i := range 25 {
		want = append(want, s.write(t, "a.log", i*each, each)...)
		name := fmt.Sprintf("short-%d.log", i)
		want = append(want, s.write(t, name, 0, each)...)
		spooled()
		path := filepath.Join(s.dir, "log", name)
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil { // what follows can be read through a descriptor only
			t.Fatal(err)
		}
		line := fmt.Sprintf(`{"deleted":%d}`, i)
		if _, err := f.WriteString(line + "\n"); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		want = append(want, line)
		if i%5 == 4 {
			path = filepath.Join(s.dir, "log", "a.log")
			if err := os.Rename(path, fmt.Sprintf("%s.%d", path, 25-i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	spooled()
	close(quit)
	if n := <-done; n < 10 {
		t.Errorf("only %d reloads", n)
	}
	eventually(t, "all records are shipped", func() bool { return a.Status().Uploads.Records >= int64(len(want)) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(sinks[0].objects) == 0 || len(sinks[1].objects) == 0 {
		t.Error("one of the sinks has got nothing")
	}
	maps.Copy(sinks[0].objects, sinks[1].objects)
	got := sinks[0].lines(t)
	slices.Sort(got)
	slices.Sort(want)
	sameLines(t, got, want)
}

// nth is one of several configurations that differ in what a reload changes.
func (s *site) nth(n int) *config.Config {
	return s.changed(func(c *config.Config) {
		c.S3.Prefix = fmt.Sprintf("p%d/", n%3)
		c.Chunk.Level = 1 + n%5
		c.Agent.MaxOpenFiles = 100 + n%3 // a deleted file that is closed to make room is gone
		if n%4 == 0 {
			other := c.Inputs[0]
			other.Name, other.Include = "other", []string{"/nothing/*.log"}
			c.Inputs = append([]config.Input{other}, c.Inputs...) // the numbers of inputs change
		}
	})
}

// What was counted before a reload is counted after it.
func TestReloadKeepsFigures(t *testing.T) {
	s := newSite(t)
	a := s.agent(t, Options{Sink: newMemSink()})
	start(t, a)
	records := func() int64 {
		if in := a.Status().Inputs; len(in) == 1 && in[0].Name == "app" {
			return in[0].Records
		}
		return -1
	}
	s.write(t, "a.log", 0, 10)
	eventually(t, "ten records", func() bool { return records() == 10 })
	change := reload(t, a, s.changed(func(c *config.Config) { c.Agent.CloseInactive = config.Duration(time.Hour) }), a.setup.Load().sink)
	if want := []string{"agent.close_inactive"}; !slices.Equal(change.Changed, want) || len(change.Restart) > 0 {
		t.Errorf("change %+v", change)
	}
	if n := records(); n != 10 {
		t.Errorf("%d records after the reload", n)
	}
	s.write(t, "a.log", 10, 5)
	eventually(t, "15 records", func() bool { return records() == 15 })
}

func TestReloadRefusesWhatIsWrong(t *testing.T) {
	s := newSite(t)
	dest := newMemSink()
	a := s.agent(t, Options{Sink: dest})
	stop := start(t, a)
	eventually(t, "the start", func() bool { return a.Status().Following })
	_, err := a.Reload(t.Context(), s.changed(func(c *config.Config) { c.Inputs[0].Key = "{input}" }), dest)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	a.ReloadFailed(err)
	st := a.Status()
	if st.Healthy || len(st.Problems) != 1 || st.Problems[0].Cause != causeConfig || !strings.Contains(st.Problems[0].Error, "{queue}") {
		t.Errorf("problems %+v", st.Problems)
	}
	want := s.write(t, "a.log", 0, 10)
	eventually(t, "lines by the old configuration", func() bool { return len(dest.lines(t)) == len(want) })
	reload(t, a, s.cfg, dest)
	a.Reloaded()
	if st := a.Status(); !st.Healthy {
		t.Errorf("problems %+v", st.Problems)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reload(t.Context(), s.changed(func(c *config.Config) { c.S3.Prefix = "x/" }), dest); !errors.Is(err, ErrEnded) {
		t.Errorf("got %v", err)
	}
}

func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	s := newSite(t)
	a := s.agent(t, Options{Sink: newMemSink()})
	start(t, a)
	eventually(t, "the start", func() bool { return a.Status().Following })
	change := reload(t, a, s.changed(func(c *config.Config) {
		c.Agent.StateDir, c.S3.Prefix, c.Telemetry.Socket = "/elsewhere", "x/", "/elsewhere/sock"
	}), a.setup.Load().sink)
	want := []string{"agent.state_dir", "telemetry.socket"}
	if !slices.Equal(change.Restart, want) || !slices.Equal(a.Status().NeedsRestart, want) || len(change.Changed) != 3 {
		t.Errorf("change %+v, status %q", change, a.Status().NeedsRestart)
	}
	reload(t, a, s.changed(func(c *config.Config) { c.S3.Prefix = "x/" }), a.setup.Load().sink)
	if keys := a.Status().NeedsRestart; len(keys) > 0 {
		t.Errorf("%q still need a restart", keys)
	}
}

// A put that a reload cuts off is in doubt, and only it is.
func TestReloadInAnOutage(t *testing.T) {
	s := newSite(t)
	want := s.write(t, "a.log", 0, 10)
	hung := make(chan struct{}, 16)
	a := s.agent(t, Options{Sink: hangingSink{hung}})
	stop := start(t, a)
	<-hung
	dest := newMemSink()
	began := time.Now()
	reload(t, a, s.cfg, dest)
	if took := time.Since(began); took > 10*renewWait {
		t.Errorf("the reload took %s", took)
	}
	eventually(t, "the chunk", func() bool { return len(dest.lines(t)) == len(want) })
	want = append(want, s.write(t, "a.log", 10, 10)...)
	eventually(t, "another chunk", func() bool { return len(dest.lines(t)) == len(want) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	tries := dest.attempts()
	if !tries[0].ifAbsent || tries[len(tries)-1].ifAbsent {
		t.Errorf("attempts %+v", tries)
	}
}

// A spool that is full gets room from a configuration that gives it more.
func TestReloadRaisesTheLimit(t *testing.T) {
	s := newSite(t)
	s.cfg.Spool.MaxSize, s.cfg.Spool.SegmentSize = 64<<10, 16<<10
	s.cfg.Chunk.Compression, s.cfg.Chunk.MaxSize = "none", 8<<10
	a := s.agent(t, Options{Sink: &gatedSink{memSink: newMemSink(), open: make(chan struct{})}})
	start(t, a)
	s.write(t, "a.log", 0, 5000)
	eventually(t, "the first lines are spooled", func() bool { return a.Status().BacklogBytes > 0 })
	s.write(t, "b.log", 0, 5000)
	eventually(t, "the spool is full", func() bool {
		return slices.ContainsFunc(a.Status().Problems, func(p Problem) bool { return p.Cause == causeFull })
	})
	reload(t, a, s.changed(func(c *config.Config) { c.Spool.MaxSize = 64 << 20 }), a.setup.Load().sink)
	eventually(t, "all is spooled and nothing is full", func() bool {
		st := a.Status()
		return st.LagBytes == 0 && !slices.ContainsFunc(st.Problems, func(p Problem) bool { return p.Cause == causeFull })
	})
}
