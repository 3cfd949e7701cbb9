package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
)

// positionsOf returns the inputs that the spool of a stopped agent has positions of.
func (s *site) positionsOf(t *testing.T) (inputs []string) {
	t.Helper()
	sp, err := spool.Open(spool.Options{Dir: s.cfg.Agent.StateDir, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	stored, err := sp.Positions()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range decodePositions(stored) {
		inputs = append(inputs, p.Input)
	}
	slices.Sort(inputs)
	return slices.Compact(inputs)
}

// An input goes on under another name with nothing lost and nothing shipped twice,
// also if its last chunks are still there under the old one, and if the agent is
// stopped in the middle of the renaming. After it, was is not needed any more.
func TestInputIsRenamed(t *testing.T) {
	for _, step := range []string{"", "append.commit", "append.committed"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.cfg.Chunk.MaxAge = config.Duration(time.Hour)
			want := append(s.write(t, "a.log", 0, 100), s.write(t, "b.log", 0, 100)...)
			a := s.agent(t, Options{Sink: newMemSink()})
			stop := start(t, a)
			eventually(t, "all is spooled", func() bool {
				st := a.Status()
				return len(st.Inputs) == 1 && st.Inputs[0].Records == 200
			})
			if err := stop(); err != nil { // with an open chunk of "app"
				t.Fatal(err)
			}
			s.cfg.Inputs[0].Name, s.cfg.Inputs[0].Was = "web", "app"
			dest := newMemSink()
			var hits atomic.Int64
			a = s.agent(t, Options{Sink: dest, Once: true, Hook: func(at string) error {
				if at == step && hits.Add(1) == 1 {
					return errors.New("injected")
				}
				return nil
			}})
			want = append(want, s.write(t, "a.log", 100, 50)...)
			if err := a.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameLines(t, dest.lines(t), want)
			if step != "" && hits.Load() == 0 {
				t.Error("the step was never reached")
			}
			if got := s.positionsOf(t); !slices.Equal(got, []string{"web"}) {
				t.Errorf("positions of %q", got)
			}
			s.cfg.Inputs[0].Was = ""
			want = append(want, s.write(t, "b.log", 100, 50)...)
			if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameLines(t, dest.lines(t), want)
		})
	}
}

// The same while the agent runs, with lines that come in all the time.
func TestInputIsRenamedByAReload(t *testing.T) {
	s := newSite(t)
	dest := newMemSink()
	a := s.agent(t, Options{Sink: dest})
	stop := start(t, a)
	var want []string
	names := []string{"app"}
	for i := range 8 {
		want = append(want, s.write(t, "a.log", i*100, 100)...)
		was := names[len(names)-1]
		name := fmt.Sprintf("app%d", i)
		names = append(names, name)
		change := reload(t, a, s.changed(func(c *config.Config) { c.Inputs[0].Name, c.Inputs[0].Was = name, was }), dest)
		if len(change.Overlaps) != 0 {
			t.Errorf("%+v", change.Overlaps)
		}
	}
	eventually(t, "all is there", func() bool { return len(dest.lines(t)) >= len(want) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), want)
	if got := s.positionsOf(t); !slices.Equal(got, names[len(names)-1:]) {
		t.Errorf("positions of %q", got)
	}
}

// A file that the new name follows already is not taken over: it would be read at two
// places.
func TestRenamedTooLate(t *testing.T) {
	s := newSite(t)
	want := s.write(t, "a.log", 0, 10)
	dest := newMemSink()
	run := func(name, was string) {
		t.Helper()
		s.cfg.Inputs[0].Name, s.cfg.Inputs[0].Was = name, was
		if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run("app", "")
	run("web", "") // which ships all again
	want = append(want, want...)
	run("web", "app")
	want = append(want, s.write(t, "a.log", 10, 10)...)
	run("web", "app")
	sameLines(t, dest.lines(t), want)
}

func TestOverlaps(t *testing.T) {
	s := newSite(t)
	s.write(t, "a.log", 0, 10)
	s.write(t, "b.log", 0, 10)
	dest := newMemSink()
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sp, err := spool.Open(spool.Options{Dir: s.cfg.Agent.StateDir, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := sp.Positions()
	if err != nil || sp.Close() != nil {
		t.Fatal(err)
	}
	renamed := s.changed(func(c *config.Config) { c.Inputs[0].Name = "web" })
	list := RenamedFiles(renamed, stored)
	if len(list) != 1 || list[0].Input != "web" || list[0].Other != "app" || !list[0].Renamed || list[0].Files != 2 || list[0].Bytes < 300 {
		t.Errorf("%+v", list)
	} else if what, fix := list[0].What(), list[0].Fix(); !strings.Contains(what, "2 files (") || !strings.Contains(fix, `was = "app"`) {
		t.Errorf("%s; %s", what, fix)
	}
	renamed.Inputs[0].Was = "app"
	if list := RenamedFiles(renamed, stored); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	if list := RenamedFiles(s.cfg, stored); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	moved := s.changed(func(c *config.Config) {
		c.Inputs[0].Name, c.Inputs[0].Include = "web", []string{s.dir + "/elsewhere/*.log"}
	})
	if list := RenamedFiles(moved, stored); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	twice := s.changed(func(c *config.Config) {
		other := c.Inputs[0]
		other.Name, other.Include = "second", []string{filepath.Join(s.dir, "log", "b*")}
		c.Inputs = append(c.Inputs, other)
	})
	shared, err := SharedFiles(twice)
	if err != nil || len(shared) != 1 || shared[0].Input != "second" || shared[0].Other != "app" || shared[0].Renamed || shared[0].Files != 1 || shared[0].Bytes == 0 {
		t.Errorf("%+v, %v", shared, err)
	}
	// A run with Once ends with two inputs, too.
	s.cfg = twice
	if err := s.agent(t, Options{Sink: newMemSink(), Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The running agent finds the same.
	a := s.agent(t, Options{Sink: dest})
	stop := start(t, a)
	eventually(t, "status names the inputs", func() bool {
		o := a.Status().Overlaps
		return len(o) == 1 && o[0].Input == "second" && o[0].Other == "app" && o[0].Files == 1
	})
	change := reload(t, a, s.changed(func(c *config.Config) { c.Inputs[1].Name = "third" }), dest)
	if len(change.Overlaps) != 1 { // b.log is that of app, too, so that it is no file of second alone
		t.Errorf("%+v", change.Overlaps)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
