package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

func (a *Agent) handler() http.Handler {
	mux := http.NewServeMux()
	a.handleQuestions(mux)
	handleProfiles(mux)
	lists, objects := newDesk(0), newDesk(0)
	mux.HandleFunc("POST /reload", a.serveReload)
	mux.HandleFunc("POST /flush", a.serveFlush)
	mux.HandleFunc("POST /pause", func(w http.ResponseWriter, r *http.Request) { a.servePause(w, r, true) })
	mux.HandleFunc("POST /resume", func(w http.ResponseWriter, r *http.Request) { a.servePause(w, r, false) })
	mux.HandleFunc("GET /positions", lists.streamed(a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		list, err := FilePositions(sp)
		reply(w, list, err)
	})))
	mux.HandleFunc("GET /positions/stored", lists.streamed(a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		list, err := sp.Positions()
		reply(w, list, err)
	})))
	mux.HandleFunc("GET /chunks", lists.streamed(a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		reply(w, sp.Chunks(), nil)
	})))
	mux.HandleFunc("GET /counters", lists.streamed(a.withSpool(func(w http.ResponseWriter, _ *http.Request, sp *spool.Spool) {
		reply(w, sp.Counters(), nil)
	})))
	mux.HandleFunc("GET /verify", a.withSpool(a.serveVerify))
	mux.HandleFunc("GET /objects/{seq}", objects.streamed(a.withSpool(serveObject)))
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
	var left *LeftError
	switch err := a.Flush(ctx); {
	case errors.As(err, &left):
		reply(w, leftAnswer{left.Left[:min(len(left.Left), leftShown)], left.Error()}, nil)
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
	default:
		reply(w, struct{}{}, err)
	}
}

// leftAnswer is the answer to a flush that could not read everything.
type leftAnswer struct {
	Left  []tailer.Unread `json:"left"` // at most leftShown
	Error string          `json:"error"`
}

// leftShown is how many files an answer names.
const leftShown = 20

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
