package agent

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/config"
)

// containers has the site follow logs of containers.
func (s *site) containers(t *testing.T, wait time.Duration) *config.Input {
	t.Helper()
	in := &s.cfg.Inputs[0]
	in.Format, in.InnerFormat, in.Fields = "cri", "text", []string{"stream", "message"}
	in.Include, in.MultilineWait = []string{s.path("*.cri")}, config.Duration(wait)
	return in
}

// Case: a container's stdout stays within a line while its stderr goes on; then
// the agent is stopped, and the container's log removed.
func TestHeldStreamHoldsUpNoOther(t *testing.T) {
	s := newSite(t)
	s.containers(t, time.Hour)
	dest := newMemSink()
	stop := start(t, s.agent(t, Options{Sink: dest}))
	s.append(t, "a.cri", "2026-01-02T03:04:05Z stdout P Progress: \n")
	var want []string
	for i := range 5 {
		s.append(t, "a.cri", fmt.Sprintf("2026-01-02T03:04:05Z stderr F %d\n", i))
		want = append(want, fmt.Sprintf(`{"stream":"stderr","message":"%d"}`, i))
		eventually(t, "the line of the other stream", func() bool { return len(dest.lines(t)) == len(want) })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("a.cri")); err != nil {
		t.Fatal(err)
	}
	start(t, s.agent(t, Options{Sink: dest}))
	want = append(want, `{"stream":"stdout","message":"Progress: ","part":0}`)
	eventually(t, "what was held", func() bool { return len(dest.lines(t)) == len(want) })
	sameLines(t, dest.lines(t), want)
}

// Case: nobody ends the line. It waits from its first piece on.
func TestHeldStreamWaitsFromItsFirstPiece(t *testing.T) {
	s := newSite(t)
	s.containers(t, 300*time.Millisecond)
	s.cfg.Agent.PollInterval = config.Duration(20 * time.Millisecond)
	dest := newMemSink()
	start(t, s.agent(t, Options{Sink: dest}))
	s.append(t, "a.cri", "2026-01-02T03:04:05Z stdout P Progress: \n")
	end := time.Now().Add(10 * time.Second)
	for n := 0; ; n++ {
		s.append(t, "a.cri", fmt.Sprintf("2026-01-02T03:04:05Z stderr F %d\n2026-01-02T03:04:05Z stdout P %d%%\n", n, n))
		for _, line := range dest.lines(t) {
			if line == `{"stream":"stderr","message":"0"}` {
				continue
			}
			if len(line) > 30 && line[:30] == `{"stream":"stdout","message":"` {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatal("nothing of the line arrives")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Case: the runtime rotates between two pieces, and the agent stops at any time.
func TestLinesAreJoinedOverRotations(t *testing.T) {
	for _, down := range []bool{false, true} {
		s := newSite(t)
		s.containers(t, time.Hour)
		dest := newMemSink()
		a := s.agent(t, Options{Sink: dest})
		stop := start(t, a)
		s.append(t, "0.cri", "2026-01-02T03:04:05Z stdout P one, \n2026-01-02T03:04:05Z stderr F x\n")
		eventually(t, "the other stream", func() bool { return len(dest.lines(t)) == 1 })
		if down {
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(s.path("0.cri"), s.path("0.cri.20260102-030405")); err != nil {
			t.Fatal(err)
		}
		s.append(t, "0.cri", "2026-01-02T03:04:06Z stderr F y\n2026-01-02T03:04:06Z stdout P two, \n")
		if down {
			stop = start(t, s.agent(t, Options{Sink: dest}))
		}
		eventually(t, "the next generation", func() bool { return len(dest.lines(t)) == 2 })
		if down {
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			start(t, s.agent(t, Options{Sink: dest}))
		}
		s.append(t, "0.cri", "2026-01-02T03:04:07Z stdout F three\n")
		eventually(t, "the line", func() bool { return len(dest.lines(t)) == 3 })
		sameLines(t, dest.lines(t), []string{`{"stream":"stderr","message":"x"}`, `{"stream":"stderr","message":"y"}`, `{"stream":"stdout","message":"one, two, three"}`})
	}
}

// Case: lines of JSON in a container are masked, and sorted by time, namespace and
// pod.
func TestInnerJSONArrives(t *testing.T) {
	s := newSite(t)
	in := s.containers(t, time.Hour)
	in.InnerFormat, in.Validate, in.Fields, in.MaskFields, in.TimeField, in.TimeZone = "json", "full", []string{"stream"}, []string{"password"}, "ts", "UTC"
	in.PathFields = s.path("{namespace}_{pod}.cri")
	in.Key = "{field:namespace}/{field:pod}/{date}/{field:stream}/{queue}-{chunk}-{records}-{id}"
	dest := newMemSink()
	s.append(t, "shop_web-1.cri", `2026-01-02T03:04:05Z stdout F {"ts":"2020-01-02 03:04:05,5","password":"x","password":"y"}`+"\n")
	if err := s.agent(t, Options{Sink: dest, Once: true}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, dest.lines(t), []string{`{"ts":"2020-01-02 03:04:05,5","password":"***","password":"***","stream":"stdout","namespace":"shop","pod":"web-1"}`})
	for key := range dest.objects {
		if want := "shop/web-1/2020-01-02/stdout/"; key[:len(want)] != want {
			t.Errorf("key %s", key)
		}
	}
}
