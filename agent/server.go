package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spoolship/spoolship/spool"
)

// serve opens the socket and answers on it until the returned function is
// called. A socket that can't be had is worth a warning, not a stop: lines
// come first.
func (a *Agent) serve() func() {
	path := a.setup.Load().cfg.Telemetry.Socket
	if path == "" {
		return func() {}
	}
	l, err := listen(path)
	if err != nil {
		a.o.Logger.Warn("no status socket", "error", err, "hint", "create its directory, or set [telemetry] socket")
		return func() {}
	}
	srv := newServer(a.handler())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.o.Logger.Warn("status socket failed", "error", err)
		}
	}()
	return func() {
		_ = srv.Close() // its listener removes the socket
		<-done
	}
}

// listen makes the socket, replacing one that nobody answers on.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if c, dialErr := net.Dial("unix", path); dialErr == nil {
			_ = c.Close()
			return nil, fmt.Errorf("socket %s is in use by another process", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the stale socket: %w", err)
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o660)
}

func (a *Agent) handler() http.Handler {
	mux := http.NewServeMux()
	a.handleQuestions(mux)
	handleProfiles(mux)
	mux.HandleFunc("POST /reload", a.serveReload)
	mux.HandleFunc("POST /flush", a.serveFlush)
	mux.HandleFunc("POST /pause", func(w http.ResponseWriter, r *http.Request) { a.servePause(w, r, true) })
	mux.HandleFunc("POST /resume", func(w http.ResponseWriter, r *http.Request) { a.servePause(w, r, false) })
	mux.HandleFunc("GET /positions", a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		list, err := FilePositions(sp)
		reply(w, list, err)
	}))
	mux.HandleFunc("GET /chunks", a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		reply(w, sp.Chunks(), nil)
	}))
	mux.HandleFunc("GET /counters", a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		reply(w, sp.Counters(), nil)
	}))
	mux.HandleFunc("GET /verify", a.withSpool(a.serveVerify))
	mux.HandleFunc("GET /objects/{seq}", a.withSpool(serveObject))
	return mux
}

// serveReload answers 422 with the reason if the new configuration is refused.
func (a *Agent) serveReload(w http.ResponseWriter, r *http.Request) {
	if a.o.Reload == nil {
		http.Error(w, "this run can't reload", http.StatusNotImplemented)
		return
	}
	// Who asked may go away; the reload goes on.
	change, err := a.o.Reload(context.WithoutCancel(r.Context()))
	switch {
	case errors.Is(err, ErrEnded), errors.Is(err, context.DeadlineExceeded):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		reply(w, change, nil)
	}
}

// serveFlush answers 504 with what is left if the parameter timeout was too
// short.
func (a *Agent) serveFlush(w http.ResponseWriter, r *http.Request) {
	timeout, err := time.ParseDuration(r.FormValue("timeout"))
	if err != nil {
		http.Error(w, "timeout: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	switch err := a.Flush(ctx); {
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
	default:
		reply(w, struct{}{}, err)
	}
}

// servePause answers 422 if the parameter input names none.
func (a *Agent) servePause(w http.ResponseWriter, r *http.Request, on bool) {
	switch err := a.Pause(r.Context(), r.FormValue("input"), on); {
	case errors.Is(err, ErrNoInput):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		reply(w, struct{}{}, err)
	}
}

// withSpool answers 503 while no spool is open.
func (a *Agent) withSpool(f func(http.ResponseWriter, *http.Request, *spool.Spool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := a.current.Load()
		if s == nil {
			http.Error(w, "the spool is not open", http.StatusServiceUnavailable)
			return
		}
		f(w, r, s.spool)
	}
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away
}
