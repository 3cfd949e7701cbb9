package agent

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// asker asks over HTTP, each time over a connection of its own.
type asker struct {
	t       *testing.T
	address string
	http    http.Client
}

// serving starts an agent that answers on an address of loopback, and returns
// who asks there.
func serving(t *testing.T, s *site, o Options) (q *asker, a *Agent, stop func() error) {
	t.Helper()
	var log logBuffer
	if s.cfg.Telemetry.Listen == "" {
		s.cfg.Telemetry.Listen = "127.0.0.1:0"
	}
	o.Sink, o.Logger = newMemSink(), slog.New(slog.NewTextHandler(&log, nil))
	a = s.agent(t, o)
	stop = start(t, a)
	q = &asker{t: t, http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	eventually(t, "it answers", func() bool {
		if m := answering.FindStringSubmatch(log.String()); m != nil {
			q.address = m[1]
		}
		return q.address != ""
	})
	return q, a, stop
}

var answering = regexp.MustCompile(`answering over TCP" address=(\S+)`)

// ask returns the status, 0 if nobody answers, and the body.
func (a *asker) ask(method, path string) (code int, body string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.address+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (a *asker) want(path string, code int, part string) {
	a.t.Helper()
	if got, body := a.ask(http.MethodGet, path); got != code || !strings.Contains(body, part) {
		a.t.Errorf("%s: %d %q, want %d and %q", path, got, body, code, part)
	}
}

// becomes waits until path is answered with code.
func (a *asker) becomes(path string, code int) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("%s is %d", path, code), func() bool {
		got, _ := a.ask(http.MethodGet, path)
		return got == code
	})
}

// gate is a hook that stops the agent at a step until it is opened.
type gate struct {
	t               *testing.T
	step            string // "": the first
	once            sync.Once
	reached, opened chan struct{}
}

func newGate(t *testing.T, step string) *gate {
	return &gate{t: t, step: step, reached: make(chan struct{}), opened: make(chan struct{})}
}

func (g *gate) hook(step string) error {
	if g.step == "" || step == g.step {
		g.once.Do(func() { close(g.reached) })
		select {
		case <-g.opened:
		case <-g.t.Context().Done(): // the test has failed
		}
	}
	return nil
}

// Over TCP, questions are answered from the start to the end, and nothing else.
func TestTelemetryOverTCP(t *testing.T) {
	s := newSite(t)
	g := newGate(t, "tailer.start")
	q, a, stop := serving(t, s, Options{Hook: g.hook})
	<-g.reached
	q.want("/readyz", 503, "files are not followed yet\n")
	q.want("/healthz", 200, "ok\n")
	q.want("/metrics", 200, "\nspoolship_ready 0\n")
	close(g.opened)
	q.becomes("/readyz", 200)
	q.want("/readyz", 200, "ok\n")
	q.want("/metrics", 200, "\nspoolship_ready 1\n")
	q.want("/status", 200, `"healthy":true`)
	q.want("/livez", 200, "ok\n")

	// A store that refuses uploads is no health, but a restart would not help.
	a.health.fail(problem{cause: causeUpload}, "", errors.New("denied"), "allow it")
	q.want("/healthz", 503, "upload: denied; allow it\n")
	q.want("/livez", 200, "ok\n")
	q.want("/readyz", 200, "ok\n")
	a.health.ok(problem{cause: causeUpload})
	q.want("/healthz", 200, "ok\n")

	for _, path := range []string{"/positions", "/chunks", "/verify", "/objects/1", "/debug/pprof/", "/"} {
		q.want(path, 404, "")
	}
	for _, path := range []string{"/reload", "/flush?timeout=1s", "/pause", "/resume", "/status"} {
		if code, _ := q.ask(http.MethodPost, path); code != 404 && code != 405 {
			t.Errorf("POST %s: %d", path, code)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if code, _ := q.ask(http.MethodGet, "/livez"); code != 0 {
		t.Errorf("it answers %d after the end", code)
	}
}

// A loop that does not get on is neither healthy nor alive, until it does.
func TestStuckLoopIsUnhealthy(t *testing.T) {
	s := newSite(t)
	g := newGate(t, "intake.cut")
	s.write(t, "a.log", 0, 1)
	q, a, _ := serving(t, s, Options{Hook: g.hook})
	<-g.reached
	q.want("/livez", 200, "ok\n") // a minute is not over
	a.hearts.mu.Lock()
	a.hearts.limit = time.Millisecond
	a.hearts.mu.Unlock()
	q.becomes("/livez", 503)
	q.want("/livez", 503, "stuck: the tailer has been at the same piece of work for ")
	q.want("/healthz", 503, "stuck: the tailer ")
	q.want("/metrics", 200, "\nspoolship_healthy 0\n")
	close(g.opened)
	q.becomes("/livez", 200)
	q.becomes("/healthz", 200)
}

// While the spool is being opened, which may take long, nothing is ready.
func TestNotReadyWithoutSpool(t *testing.T) {
	g := newGate(t, "") // the first step of all is one of opening the spool
	q, _, _ := serving(t, newSite(t), Options{Hook: g.hook})
	<-g.reached
	q.want("/readyz", 503, "the spool is not open\n")
	q.want("/metrics", 200, "\nspoolship_ready 0\n")
	close(g.opened)
	q.becomes("/readyz", 200)
}

// An address that another has is said with its place, does not keep lines from
// being shipped, and is taken once it is free.
func TestAddressInUse(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := newSite(t)
	s.cfg.Telemetry.Listen = other.Addr().String()
	lines := s.write(t, "a.log", 0, 3)
	m := newMemSink()
	a := s.agent(t, Options{Sink: m})
	start(t, a)
	eventually(t, "lines are shipped, and the address is a problem", func() bool {
		return m.stored() > 0 && len(a.Status().Problems) > 0
	})
	sameLines(t, m.lines(t), lines)
	p := a.Status().Problems[0]
	for _, part := range []string{"telemetry.listen: can't be listened on: ", "address already in use", `(got "` + s.cfg.Telemetry.Listen + `")`} {
		if !strings.Contains(p.Error, part) {
			t.Errorf("%q does not say %q", p.Error, part)
		}
	}
	if p.Cause != causeTelemetry || !strings.Contains(p.Hint, "choose another port") {
		t.Errorf("problem %+v", p)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is healthy", func() bool { return len(a.Status().Problems) == 0 })
	q := &asker{t: t, address: s.cfg.Telemetry.Listen}
	q.want("/healthz", 200, "ok\n")
	q.http.CloseIdleConnections()
}

// Profiles can be taken over TCP only where that is wanted.
func TestProfiles(t *testing.T) {
	s := newSite(t)
	s.cfg.Telemetry.PProf = true
	q, _, _ := serving(t, s, Options{})
	q.want("/debug/pprof/", 200, "goroutine")
	q.want("/debug/pprof/goroutine?debug=1", 200, "agent.(*Agent).Run")
	q.want("/debug/pprof/heap", 200, "\x1f\x8b")
	q.want("/debug/pprof/profile?seconds=1", 200, "\x1f\x8b")
	q.want("/debug/pprof/trace?seconds=0.1", 200, "go 1.")
	q.want("/debug/pprof/cmdline", 200, "agent.test")
}
