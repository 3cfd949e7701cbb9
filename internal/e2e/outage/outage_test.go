//go:build e2e

package outage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/rig"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

const (
	programs    = 4
	linesPerSec = 20_000 // of all together
	calm        = 3 * time.Second
	maxUploads  = 4                      // the default
	lookEvery   = 100 * time.Millisecond // at the agent
	mib         = 1 << 20
)

// What must hold, whatever the outage.
const (
	anonLimit  = 64 << 20         // at any time
	anonGrowth = 16 << 20         // from the first third of the outage to the last
	unread     = 2 * 450 * 20_000 // bytes: two seconds of lines
	// comeBack is for how long an upload may still wait when the store is back:
	// the longest backoff, or one attempt; then everything must move.
	comeBack = 30 * time.Second
)

// outage is one way to fail. begin and end are called once each.
type outage struct {
	name       string
	begin, end func() error
	// ramps says that nothing gets through, so that the agent must come back
	// with one upload. Otherwise what it gave up may still arrive.
	ramps bool
}

// scene is everything around one outage.
type scene struct {
	*rig.Rig
	cfg    agentproc.Config
	gauge  *gauge
	server *s3dev.Server // where the agent finds the store
}

// lasting is how long each outage lasts.
func lasting(t *testing.T) time.Duration {
	n, err := strconv.Atoi(os.Getenv("OUTAGE_SECONDS"))
	if err != nil || n < 1 {
		t.Fatalf("OUTAGE_SECONDS is %q: run make outage", os.Getenv("OUTAGE_SECONDS"))
	}
	return time.Duration(n) * time.Second
}

func newScene(t *testing.T, ip string) *scene {
	t.Helper()
	binary, err := filepath.Abs("../../../bin/spoolship")
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(t.Context(), t.TempDir(), rig.Embedded, binary, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	s := &scene{Rig: r, gauge: &gauge{next: r.Front}}
	if s.server, err = s3dev.ListenAt(ip, s.gauge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.server.Close)
	s.cfg = agentproc.Config{
		StateDir: filepath.Join(r.Dir, "state"), Socket: r.Agent.Socket,
		Endpoint: s.server.URL(), Region: s3dev.Region, Bucket: r.Bucket().Bucket,
		AccessKey: s3dev.AccessKey, SecretKey: s3dev.SecretKey,
		Timeout: 10 * time.Second, SpoolSize: "16GiB", MaxAge: time.Second,
		Inputs: []agentproc.Input{{Name: "live", Format: "json", Include: []string{r.Logs() + "/*.log"}}},
	}
	return s
}

func (s *scene) refused() outage {
	down := func() error { s.server.Down(); return nil }
	return outage{name: "refused", begin: down, end: s.server.Up, ramps: true}
}

func (s *scene) failing() outage {
	set := func(f *s3dev.Faults) func() error { return func() error { s.Front.SetFaults(f); return nil } }
	return outage{name: "30 % of requests fail", begin: set(&s3dev.Faults{Seed: 1, Rate: 0.3, Hang: time.Second}), end: set(nil)}
}

// linked puts a link before the store.
func (s *scene) linked(t *testing.T) *link {
	k, err := newLink(s.server.URL()[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	s.cfg.Endpoint = "http://" + k.l.Addr().String()
	return k
}

func (s *scene) slow(k *link) outage {
	set := func(r rate.Limit) func() error { return func() error { k.width.SetLimit(r); return nil } }
	return outage{name: "1 kB/s", begin: set(1000), end: set(rate.Inf)}
}

func (s *scene) late(k *link) outage {
	set := func(d time.Duration) func() error { return func() error { k.setLatency(d); return nil } }
	return outage{name: "5 s of latency", begin: set(5 * time.Second), end: set(0)}
}

func TestOutages(t *testing.T) {
	t.Run("refused", func(t *testing.T) { s := newScene(t, "127.0.0.1"); s.live(t, s.refused()) })
	t.Run("dropped", func(t *testing.T) {
		n, err := newNetwork(t)
		if err != nil {
			fmt.Printf("%-22s skipped: %v\n", "packets are dropped", err)
			t.Skip(err)
		}
		s := newScene(t, storeIP)
		if s.Agent.Binary, err = n.wrap(s.Dir, s.Agent.Binary); err != nil {
			t.Fatal(err)
		}
		s.live(t, outage{name: "packets are dropped", begin: n.drop, end: n.restore, ramps: true})
	})
	t.Run("slow", func(t *testing.T) { s := newScene(t, "127.0.0.1"); s.live(t, s.slow(s.linked(t))) })
	t.Run("late", func(t *testing.T) { s := newScene(t, "127.0.0.1"); s.live(t, s.late(s.linked(t))) })
	t.Run("failing", func(t *testing.T) { s := newScene(t, "127.0.0.1"); s.live(t, s.failing()) })
}

// figures are what one outage cost.
type figures struct {
	first, last agentproc.Memory // peaks of the first and the last third of the outage
	all         agentproc.Memory // peaks
	unread      int64            // most bytes in the files
	drained     time.Duration
}

// live logs before, during and after the outage, until the backlog is gone,
// and compares.
func (s *scene) live(t *testing.T, o outage) {
	if err := s.cfg.Write(s.Agent.Config); err != nil {
		t.Fatal(err)
	}
	p, err := s.Agent.Run(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	g, writing := errgroup.WithContext(writing)
	all := make([]*program, programs)
	for i := range all {
		all[i] = newProgram(i)
		g.Go(func() error { return all[i].run(writing, s.Logs(), linesPerSec/programs) })
	}
	f := s.watch(t, p, o)
	stop()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	s.await(t, time.Minute, "everything is shipped", func(st agentproc.Status) bool {
		return st.Lag == 0 && st.Backlog == 0 && st.Open == 0 && st.Sealed == 0
	})
	s.judge(t, o, f, s.compare(t, all))
}

// watch goes through the outage and measures.
func (s *scene) watch(t *testing.T, p *agentproc.Proc, o outage) *figures {
	f := &figures{}
	look := func(d time.Duration, parts ...*agentproc.Memory) {
		end := time.Now().Add(d)
		s.await(t, d+time.Minute, "time passes", func(st agentproc.Status) bool {
			f.note(p, st, parts...)
			return time.Now().After(end)
		})
	}
	look(calm)
	if err := o.begin(); err != nil {
		t.Fatal(err)
	}
	third := lasting(t) / 3
	look(third, &f.first)
	look(third)
	look(third, &f.last)
	s.gauge.reset()
	if err := o.end(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	s.await(t, lasting(t)+2*comeBack, "the backlog is gone", func(st agentproc.Status) bool {
		f.note(p, st)
		return st.Sealed == 0
	})
	f.drained = time.Since(back)
	return f
}

func (f *figures) note(p *agentproc.Proc, st agentproc.Status, parts ...*agentproc.Memory) {
	m := p.Memory()
	for _, peak := range append(parts, &f.all) {
		peak.RSS, peak.Anon = max(peak.RSS, m.RSS), max(peak.Anon, m.Anon)
	}
	f.unread = max(f.unread, st.Lag)
}

// await asks the agent until it is so.
func (s *scene) await(t *testing.T, limit time.Duration, what string, is func(agentproc.Status) bool) {
	t.Helper()
	c := s.Agent.Client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		st, err := c.Status(ctx)
		if err == nil && is(st) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %+v, %v", what, limit, st, errors.Join(err, ctx.Err()))
		}
	}
}

// compare reads the bucket.
func (s *scene) compare(t *testing.T, all []*program) *audit {
	t.Helper()
	a := newAudit(all)
	if err := bucket.Each(t.Context(), s.Bucket(), a.object); err != nil {
		t.Fatal(err)
	}
	a.end(all)
	seen := s.Front.Stats()
	a.problems = append(a.problems, append(seen.Conflicts, seen.Refused...)...)
	return a
}

// judge prints the outage's line, and says what should not be.
func (s *scene) judge(t *testing.T, o outage, f *figures, a *audit) {
	most, early := s.gauge.seen()
	fmt.Printf(row, o.name, a.lines, a.lost, a.doubled, float64(f.all.RSS)/mib, float64(f.all.Anon)/mib, float64(f.unread)/1e6, most, f.drained.Seconds())
	if a.lost != 0 || a.doubled != 0 || a.lines == 0 || len(a.problems) > 0 {
		t.Errorf("%d lines lost, %d doubled, %d in the bucket: %q", a.lost, a.doubled, a.lines, a.problems)
	}
	if f.all.Anon > anonLimit || f.last.Anon > f.first.Anon+anonGrowth {
		t.Errorf("anonymous memory: %d bytes, %d in the first third of the outage, %d in the last", f.all.Anon, f.first.Anon, f.last.Anon)
	}
	if f.unread > unread {
		t.Errorf("%d bytes waited in the files: more than two seconds of lines", f.unread)
	}
	if o.ramps && (most > maxUploads || early > 0) {
		t.Errorf("%d uploads at once when the store was back, %d of them before others had worked", most, early)
	}
	log, err := os.ReadFile(s.Agent.Log)
	if limit := 10 + 2*int(lasting(t)/time.Minute); err != nil || bytes.Count(log, []byte("\n")) > limit {
		t.Errorf("%v, more than %d lines in the log:\n%s", err, limit, log)
	}
	if limit := comeBack + lasting(t)/3; f.drained > limit {
		t.Errorf("the backlog was gone after %s, more than %s", f.drained, limit)
	}
}
