package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// Idle is what watching many files costs while nothing is written to them.
type Idle struct {
	Files   int       `json:"files"`
	Fresh   float64   `json:"first_ready_s"`   // the very first start, until all files are followed
	Durable float64   `json:"first_durable_s"` // the same, until all their lines are durable
	Inotify IdleMode  `json:"inotify"`
	Polling *IdleMode `json:"polling,omitempty"` // nil where inotify can't be taken away
}

// IdleMode is Idle after a restart, for one way to notice changes.
type IdleMode struct {
	Ready       float64   `json:"ready_s"`
	CPU         float64   `json:"cpu_share_of_a_core"`
	Seconds     float64   `json:"cpu_window_s"`
	RSS         float64   `json:"rss_mib"`
	Anon        float64   `json:"anon_rss_mib"`
	Descriptors int       `json:"descriptors"`
	Later       int       `json:"descriptors_later"`    // 0 if not looked at
	Append      Quantiles `json:"append_to_durable_ms"` // of one line to one file at a time
}

const (
	idleDirs  = 100
	idleLines = 4 // in each file
	appends   = 20
	// readyEvery bounds the error of the times to ready.
	readyEvery = 5 * time.Millisecond
	readyLimit = 2 * time.Minute
	// calm is left for the start's work to end before CPU is taken.
	calm = 3 * time.Second
	// inactive is the agent's close_inactive, and a moment for closing.
	inactive = 65 * time.Second
)

// idle measures the first start, then, after everything is shipped, a restart
// with inotify and one without.
func (b *bench) idle(ctx context.Context) error {
	l, err := b.newLive("idle")
	if err != nil {
		return err
	}
	defer l.close()
	paths, size, err := quietFiles(l.logs, b.o.Files)
	if err != nil {
		return err
	}
	l.input("json", l.logs+"/**/*.log")
	m := Idle{Files: b.o.Files}
	b.say("%d files, %d lines in each", b.o.Files, idleLines)
	if m.Fresh, m.Durable, err = l.firstStart(ctx, size); err != nil {
		return err
	}
	b.say("first start: ready after %.2f s, all lines durable after %.2f s", m.Fresh, m.Durable)
	if _, err := l.once(ctx); err != nil {
		return err
	}
	if m.Inotify, err = l.idleMode(ctx, paths, b.o.Idle, b.o.Later); err != nil {
		return err
	}
	b.say("inotify: %s", &m.Inotify)
	if l.agent.Binary, err = withoutInotify(l.dir, b.o.Binary); err != nil {
		b.say("polling is not measured: %v", err)
	} else {
		p, err := l.idleMode(ctx, paths, b.o.Idle/2, false)
		if err != nil {
			return err
		}
		if said, _ := os.ReadFile(l.agent.Log); !bytes.Contains(said, []byte("files are polled")) {
			return fmt.Errorf("the agent has inotify although it was taken away; it said:\n%s", said)
		}
		b.say("polling: %s", &p)
		m.Polling = &p
	}
	b.report.Idle = &m
	return nil
}

func (m *IdleMode) String() string {
	return fmt.Sprintf("ready after %.2f s, %.2f %% of a core, %.1f MiB, %d descriptors, a line durable after %.0f ms at most",
		m.Ready, 100*m.CPU, m.RSS, m.Descriptors, m.Append.Max)
}

// quietFiles makes n files and returns their paths and total size.
func quietFiles(dir string, n int) ([]string, int64, error) {
	paths := make([]string, n)
	var size int64
	for i := range idleDirs {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("app%02d", i)), 0o755); err != nil {
			return nil, 0, err
		}
	}
	source := logs.NewEvents(1, "quiet")
	for i := range n {
		var text []byte
		for range idleLines {
			text = source.Append(text)
		}
		paths[i] = filepath.Join(dir, fmt.Sprintf("app%02d", i%idleDirs), fmt.Sprintf("%d.log", i))
		if err := os.WriteFile(paths[i], text, 0o644); err != nil {
			return nil, 0, err
		}
		size += int64(len(text))
	}
	return paths, size, nil
}

// firstStart returns the seconds until the agent follows all files and until
// their bytes are durable.
func (l *live) firstStart(ctx context.Context, size int64) (ready, durable float64, err error) {
	began := time.Now()
	if err := l.start(); err != nil {
		return 0, 0, err
	}
	p := newProbe(l.agent.Socket)
	defer p.close()
	if _, err = p.await(ctx, readyEvery, readyLimit, func(s status) bool { return s.Following }); err != nil {
		return 0, 0, err
	}
	ready = time.Since(began).Seconds()
	_, err = p.await(ctx, readyEvery, readyLimit, func(s status) bool { return s.bytes() >= size })
	durable = time.Since(began).Seconds()
	if err == nil {
		err = l.proc.Stop(readyLimit)
	}
	return ready, durable, err
}

// idleMode restarts the agent, leaves it alone for the window, then appends
// lines one at a time. With later it counts descriptors once more when all
// files have been inactive for long enough to be closed.
func (l *live) idleMode(ctx context.Context, paths []string, window time.Duration, later bool) (IdleMode, error) {
	var m IdleMode
	began := time.Now()
	if err := l.start(); err != nil {
		return m, err
	}
	defer l.proc.Kill()
	p := newProbe(l.agent.Socket)
	defer p.close()
	s, err := p.await(ctx, readyEvery, readyLimit, func(s status) bool { return s.Following })
	if err != nil {
		return m, err
	}
	m.Ready = time.Since(began).Seconds()
	if err := pause(ctx, calm); err != nil {
		return m, err
	}
	used, since := l.proc.CPU(), time.Now()
	if err := pause(ctx, window); err != nil {
		return m, err
	}
	m.Seconds = time.Since(since).Seconds()
	m.CPU = (l.proc.CPU() - used).Seconds() / m.Seconds
	mem := agentproc.MemoryOf(s.PID)
	m.RSS, m.Anon, m.Descriptors = float64(mem.RSS)/(1<<20), float64(mem.Anon)/(1<<20), descriptors(s.PID)
	if m.Append, err = appendOneByOne(ctx, p, paths); err != nil || !later {
		return m, err
	}
	err = pause(ctx, inactive) // the lines just appended count as activity
	m.Later = descriptors(s.PID)
	return m, err
}

// appendOneByOne appends single lines to files far apart and waits for each
// until it is durable.
func appendOneByOne(ctx context.Context, p *probe, paths []string) (Quantiles, error) {
	source := logs.NewEvents(2, "single")
	s, err := p.status(ctx)
	if err != nil {
		return Quantiles{}, err
	}
	var times []time.Duration
	for i := range appends {
		// Random, so as not to march in step with the agent's timers.
		if err := pause(ctx, time.Duration(300+rand.IntN(400))*time.Millisecond); err != nil {
			return Quantiles{}, err
		}
		at := time.Now()
		if err := appendTo(paths[i*len(paths)/appends], source.Append(nil)); err != nil {
			return Quantiles{}, err
		}
		want := s.records() + 1
		if s, err = p.await(ctx, pollEvery, settleLimit, func(s status) bool { return s.records() >= want }); err != nil {
			return Quantiles{}, fmt.Errorf("a line appended to one file: %w", err)
		}
		times = append(times, time.Since(at))
	}
	return quantiles(times), nil
}

func appendTo(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(text)
	return err
}

// pause waits for d.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withoutInotify returns a script that runs the agent where it can't have an
// inotify instance: in a user namespace whose limit of them is 0.
func withoutInotify(dir, binary string) (string, error) {
	inside := `echo 0 >/proc/sys/user/max_inotify_instances && exec "$0" "$@"`
	binary, err := filepath.Abs(binary)
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", inside, "true").CombinedOutput(); err != nil {
		return "", fmt.Errorf("no user namespace: %w: %s", err, strings.TrimSpace(string(out)))
	}
	path := filepath.Join(dir, "without-inotify")
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --user --map-root-user sh -c '%s' '%s' \"$@\"\n", inside, binary)
	return path, os.WriteFile(path, []byte(script), 0o755)
}
