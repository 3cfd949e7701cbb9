package agent

import (
	"log/slog"
	"maps"
	"sort"
	"sync"
	"time"
)

// The causes of bad health. Each is one line of status and log.
const (
	causeFull   = "spool full"
	causeSpool  = "spool"
	causeUpload = "upload"
	causeChunk  = "chunk"
	causeDamage = "damage"
	causeConfig = "configuration"
	causeDrop   = "dropped"
	causeStuck  = "stuck"
	causeClock  = "clock"

	causeTelemetry = "telemetry"
)

const hintFull = "lines wait in their files; see why uploads fail, or raise [spool] max_size or free disk space"

// Problem is a cause of bad health, as status shows it.
type Problem struct {
	Cause string    `json:"cause"`
	Error string    `json:"error"`
	Hint  string    `json:"hint,omitempty"`
	Since time.Time `json:"since"`
	Count int64     `json:"count"` // how often it happened since then

	kinds map[string]bool // logged since then
	told  bool            // some of it was logged
}

// health keeps what is wrong now. It logs each kind of a problem once, and its
// end once with a count. A problem that comes and goes is logged once a minute.
type health struct {
	log    *slog.Logger
	mu     sync.Mutex
	now    map[string]*Problem
	logged map[string]time.Time // by cause and kind; cleared of what is old
}

// logAgain is how long after it was logged a problem that went away and came
// back is logged again.
const logAgain = time.Minute

func newHealth(log *slog.Logger) *health {
	return &health{log: log, now: make(map[string]*Problem), logged: make(map[string]time.Time)}
}

// fail notes a failure. kind is what makes it news: texts may name another
// object, or another request, every time.
func (h *health) fail(cause, kind string, err error, hint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.now[cause]
	if p == nil {
		p = &Problem{Cause: cause, Since: time.Now(), kinds: make(map[string]bool)}
		h.now[cause] = p
	}
	p.Count++
	p.Error, p.Hint = err.Error(), hint
	if p.kinds[kind] {
		return
	}
	now := time.Now()
	maps.DeleteFunc(h.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= logAgain })
	if _, late := h.logged[cause+"\x00"+kind]; late {
		return
	}
	h.logged[cause+"\x00"+kind] = now
	p.kinds[kind], p.told = true, true
	if hint == "" {
		h.log.Error(cause+": "+p.Error, "cause", cause)
	} else {
		h.log.Error(cause+": "+p.Error, "cause", cause, "hint", hint)
	}
}

func (h *health) ok(cause string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.now[cause]
	if p == nil {
		return
	}
	delete(h.now, cause)
	if !p.told {
		return
	}
	h.log.Info(cause+": fine again", "cause", cause, "after", time.Since(p.Since).Round(time.Millisecond).String(), "failures", p.Count)
}

// of returns the error of a cause that is wrong now, or "".
func (h *health) of(cause string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.now[cause]; p != nil {
		return p.Error
	}
	return ""
}

// stalls says whether lines are not read on because of cause.
func stalls(cause string) bool {
	return cause == causeFull || cause == causeSpool || cause == causeStuck || cause == causeClock
}

// problems returns what is wrong now: first what stalls, then the oldest.
func (h *health) problems() []Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Problem, 0, len(h.now))
	for _, p := range h.now {
		list = append(list, *p)
	}
	sort.Slice(list, func(i, j int) bool {
		if a, b := stalls(list[i].Cause), stalls(list[j].Cause); a != b {
			return a
		}
		return list[i].Since.Before(list[j].Since)
	})
	return list
}
