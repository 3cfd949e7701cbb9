package agent

import (
	"log/slog"
	"maps"
	"sort"
	"sync"
	"time"
)

// The causes of bad health. Each is one line of status and log for each input that
// it concerns.
const (
	causeFull    = "spool full"
	causeSpool   = "spool"
	causeUpload  = "upload"
	causeChunk   = "chunk"
	causeDamage  = "damage"
	causeConfig  = "configuration"
	causeDrop    = "dropped"
	causeStuck   = "stuck"
	causeClock   = "clock"
	causeBlocked = "blocked"

	causeTelemetry = "telemetry"
)

const hintFull = "lines wait in their files; see why uploads fail, or raise [spool] max_size or free disk space"

// Problem is a cause of bad health of one input, or of the agent, as status shows
// it. Of many parts that fail it tells of one, and how many others there are.
type Problem struct {
	Cause  string    `json:"cause"`
	Input  string    `json:"input,omitempty"`
	Part   string    `json:"part,omitempty"` // the prefix of keys, or the chunk
	Others int       `json:"others,omitempty"`
	Error  string    `json:"error"`
	Hint   string    `json:"hint,omitempty"`
	Since  time.Time `json:"since"`
	Count  int64     `json:"count"` // how often it happened since then

	parts  map[string]failure
	kinds  map[string]bool // logged since then
	logged time.Time       // last; zero: nothing of it was
	again  time.Duration   // after which it is logged once more
}

// Title names the problem: its cause and the input.
func (p *Problem) Title() string {
	if p.Input == "" {
		return p.Cause
	}
	return p.Cause + " of " + p.Input
}

// failure is the last one of a part.
type failure struct {
	n           int64 // of its problem's failures
	error, hint string
}

// problem is what a failure concerns: only a success of the same ends it. input and
// part may be empty.
type problem struct{ cause, input, part string }

// maxKinds bounds how many kinds of a problem are logged while it lasts.
const maxKinds = 20

// health keeps what is wrong now. It logs each kind of a problem once, the problem
// again from time to time while it lasts, and its end once with a count. A problem
// that comes and goes is logged once a minute. Any goroutine may use it.
type health struct {
	log    *slog.Logger
	remind time.Duration // after which a problem that lasts is logged again, at first
	mu     sync.Mutex
	now    map[problem]*Problem // by cause and input
	logged map[string]time.Time // by title and kind; cleared of what is old
}

// logAgain is how long after it was logged a problem that went away and came
// back is logged again.
const logAgain = time.Minute

// How soon a problem that lasts is logged again. The time doubles each time.
const (
	remindOnce    = 5 * time.Second // somebody waits for the end
	remindService = 5 * time.Minute
	remindMax     = time.Hour
)

func newHealth(log *slog.Logger) *health {
	return &health{log: log, remind: remindService, now: make(map[problem]*Problem), logged: make(map[string]time.Time)}
}

// fail notes a failure. kind is what makes it news: texts may name another
// object, or another request, every time.
func (h *health) fail(of problem, kind string, err error, hint string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := problem{of.cause, of.input, ""}
	p, now := h.now[key], time.Now()
	if p == nil {
		p = &Problem{Cause: of.cause, Input: of.input, Since: now, parts: make(map[string]failure), kinds: make(map[string]bool)}
		h.now[key] = p
	}
	p.Count++
	p.parts[of.part] = failure{p.Count, err.Error(), hint}
	p.show(of.part)
	if p.kinds[kind] || len(p.kinds) >= maxKinds {
		if !p.logged.IsZero() && now.Sub(p.logged) >= p.again {
			p.again = min(2*p.again, remindMax)
			h.say(p, now)
		}
		return
	}
	maps.DeleteFunc(h.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= logAgain })
	id := p.Title() + "\x00" + kind
	if _, late := h.logged[id]; late {
		return
	}
	h.logged[id] = now
	p.kinds[kind], p.again = true, h.remind
	h.say(p, now)
}

// show makes a part the one that the problem tells of.
func (p *Problem) show(part string) {
	f := p.parts[part]
	p.Part, p.Error, p.Hint, p.Others = part, f.error, f.hint, len(p.parts)-1
}

// say logs a problem.
func (h *health) say(p *Problem, now time.Time) {
	p.logged = now
	args := []any{"cause", p.Cause}
	if p.Input != "" {
		args = append(args, "input", p.Input)
	}
	if p.Others > 0 {
		args = append(args, "others", p.Others)
	}
	if p.Count > 1 {
		args = append(args, "failures", p.Count, "for", now.Sub(p.Since).Round(time.Second).String())
	}
	if p.Hint != "" {
		args = append(args, "hint", p.Hint)
	}
	h.log.Error(p.Title()+": "+p.Error, args...)
}

// ok notes that what failed works.
func (h *health) ok(of problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := problem{of.cause, of.input, ""}
	p := h.now[key]
	if p == nil {
		return
	}
	if _, failed := p.parts[of.part]; !failed {
		return
	}
	delete(p.parts, of.part)
	if len(p.parts) > 0 {
		if p.Others--; p.Part == of.part {
			p.show(p.newest())
		}
		return
	}
	delete(h.now, key)
	if p.logged.IsZero() {
		return
	}
	h.log.Info(p.Title()+": fine again", "cause", p.Cause, "after", time.Since(p.Since).Round(time.Millisecond).String(), "failures", p.Count)
}

// of returns the error of a cause of the agent itself that is wrong now, or "".
func (h *health) of(cause string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.now[problem{cause: cause}]; p != nil {
		return p.Error
	}
	return ""
}

// hurry has problems that last logged again soon: somebody waits for the end.
func (h *health) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remind = remindOnce
	for _, p := range h.now {
		p.again = remindOnce
	}
}

// clear drops what is known of a cause, as somebody will look anew.
func (h *health) clear(cause string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.now, func(of problem, _ *Problem) bool { return of.cause == cause })
}

// newest returns the part that failed last.
func (p *Problem) newest() (part string) {
	last := int64(-1)
	for name, f := range p.parts {
		if f.n > last {
			part, last = name, f.n
		}
	}
	return part
}

// stalls reports whether lines of all inputs are not read on because of cause.
func stalls(cause string) bool {
	return cause == causeFull || cause == causeSpool || cause == causeStuck || cause == causeClock
}

// problems returns what is wrong now: first what stalls, then the oldest.
func (h *health) problems() []Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Problem, 0, len(h.now))
	for _, p := range h.now {
		shown := *p
		shown.parts, shown.kinds = nil, nil
		list = append(list, shown)
	}
	sort.Slice(list, func(i, j int) bool {
		if a, b := stalls(list[i].Cause), stalls(list[j].Cause); a != b {
			return a
		}
		return list[i].Since.Before(list[j].Since)
	})
	return list
}
