package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof" // its handlers are put where they belong below; nobody serves the default mux
	"syscall"
	"time"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/printable"
)

// listenAgain is how long after [telemetry] listen could not be had it is tried
// again: another process may just be ending.
const listenAgain = time.Second

// serveTCP answers on [telemetry] listen until the returned function is called,
// also while no spool is open. An address that can't be had is bad health and
// tried again, not a stop: lines come first.
func (a *Agent) serveTCP() (stop func()) {
	c := a.setup.Load().cfg
	if c.Telemetry.Listen == "" {
		return func() {}
	}
	mux := http.NewServeMux()
	a.handleQuestions(mux)
	if c.Telemetry.PProf {
		handleProfiles(mux)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := a.listenTCP(ctx, c.Telemetry.Listen, mux)
			if ctx.Err() != nil {
				return
			}
			a.health.fail(problem{cause: causeTelemetry}, err.Error(), unheard(c, err), hintListen(err))
			if !pause(ctx, ctx, listenAgain) {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// listenTCP answers on an address until ctx ends or that fails.
func (a *Agent) listenTCP(ctx context.Context, address string, h http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	a.health.ok(problem{cause: causeTelemetry})
	a.o.Logger.Info("answering over TCP", "address", l.Addr().String())
	srv := newServer(h)
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	return srv.Serve(l)
}

// unheard says which setting err is about, and where it stands.
func unheard(c *config.Config, err error) error {
	if call := (*net.OpError)(nil); errors.As(err, &call) {
		err = call.Err // the address is named already
	}
	file, line := c.Where("telemetry.listen")
	p := config.Problem{File: file, Line: line, Key: "telemetry.listen", What: "can't be listened on: " + err.Error(), Got: fmt.Sprintf("%q", c.Telemetry.Listen)}
	return errors.New(p.String())
}

func hintListen(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "choose another port, or stop the process that has this one (ss -ltnp names it); it is tried again"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "use an address of this host, or 127.0.0.1; it is tried again"
	case errors.Is(err, syscall.EACCES):
		return "choose a port above 1023"
	}
	return "choose another address; it is tried again"
}

// handleQuestions answers what anyone may ask who can reach the agent: no
// answer changes anything or has lines in it.
func (a *Agent) handleQuestions(mux *http.ServeMux) {
	d := newDesk(answersPerSecond)
	mux.Handle("GET /status", d.prepared(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, a.Status(), nil) })))
	mux.Handle("GET /metrics", d.prepared(a.metricsHandler()))
	mux.HandleFunc("GET /healthz", a.serveHealth)
	mux.HandleFunc("GET /livez", a.serveLife)
	mux.HandleFunc("GET /readyz", a.serveReady)
}

// handleProfiles answers what `go tool pprof` asks.
func handleProfiles(mux *http.ServeMux) {
	d := newDesk(0)
	mux.HandleFunc("GET /debug/pprof/", d.streamed(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", d.streamed(pprof.Cmdline))
	mux.HandleFunc("GET /debug/pprof/profile", d.streamed(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", d.streamed(pprof.Symbol))
	mux.HandleFunc("POST /debug/pprof/symbol", d.streamed(pprof.Symbol))
	mux.HandleFunc("GET /debug/pprof/trace", d.streamed(pprof.Trace))
}

// serveHealth answers 200, or 503 with what is wrong, a line each: a store that
// refuses uploads is, too.
func (a *Agent) serveHealth(w http.ResponseWriter, _ *http.Request) { serveProblems(w, a.problems()) }

// serveLife answers 503 only if a restart is worth trying, as for the watchdog:
// a loop does not get on. What waits for others or for the operator is alive.
func (a *Agent) serveLife(w http.ResponseWriter, _ *http.Request) {
	serveProblems(w, a.stuckProblems())
}

func serveProblems(w http.ResponseWriter, problems []Problem) {
	if len(problems) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, p := range problems {
		fmt.Fprintln(w, printable.Text(fmt.Sprintf("%s: %s; %s", p.Title(), p.Error, p.Hint)))
	}
}

// serveReady answers 200 while the spool is open and files are followed, else
// 503.
func (a *Agent) serveReady(w http.ResponseWriter, _ *http.Request) {
	s := a.current.Load()
	switch {
	case s == nil:
		http.Error(w, "the spool is not open", http.StatusServiceUnavailable)
	case !isClosed(s.tailer.Ready()):
		http.Error(w, "files are not followed yet", http.StatusServiceUnavailable)
	default:
		fmt.Fprintln(w, "ok")
	}
}
