//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/printable"
)

const (
	// statusEvery is how often the service manager gets a new line of status,
	// and at most how late it hears that the agent gets on.
	statusEvery = 5 * time.Second
	// stuckAfter is for how long a loop may be at one piece of work where the
	// service manager sets no limit.
	stuckAfter = time.Minute
)

// notifier tells systemd, over the socket that NOTIFY_SOCKET names, what the
// agent is doing, and feeds its watchdog while all loops get on.
type notifier struct {
	agent    *agent.Agent
	log      *slog.Logger
	watchdog time.Duration // that systemd waits for a sign of life; 0: for ever
	ready    chan struct{} // closed when files are followed
	last     string        // status that was sent
	stuck    string        // loop that was found stuck
	drain    bool          // a stop may take any time

	quit, done chan struct{} // to end run, and closed when it has
}

// notify tells the service manager of the agent until ctx ends and then, until
// stop, that it stops. Without a service manager it returns nil, all methods of
// which do nothing.
func notify(ctx context.Context, a *agent.Agent, ready chan struct{}, drain bool, log *slog.Logger) *notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	n := &notifier{agent: a, log: log, ready: ready, drain: drain, quit: make(chan struct{}), done: make(chan struct{})}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("no watchdog", "error", err)
	}
	go n.run(ctx)
	return n
}

// stop ends what notify has begun.
func (n *notifier) stop() {
	if n != nil {
		close(n.quit)
		<-n.done
	}
}

// reloading says that a reload begins. Before the agent is ready, starting is
// all that there is to say.
func (n *notifier) reloading() {
	if n != nil && n.isReady() {
		n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	}
}

// reloaded says that it is over, well or not.
func (n *notifier) reloaded() {
	if n != nil && n.isReady() {
		n.send(daemon.SdNotifyReady)
	}
}

func (n *notifier) isReady() bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
}

func (n *notifier) run(ctx context.Context) {
	defer close(n.done)
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/4)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	ready, stop := n.ready, ctx.Done()
	for phase := starting; ; {
		n.sign(phase)
		select {
		case <-ready:
			ready, phase = nil, max(phase, running)
			n.send(daemon.SdNotifyReady)
		case <-tick.C:
		case <-stop:
			stop, phase = nil, stopping
			n.send(daemon.SdNotifyStopping)
		case <-n.quit:
			return
		}
	}
}

// phase is how far the life of the agent has come.
type phase int

const (
	starting phase = iota
	running
	stopping
)

// sign gives a sign of life, if there is one, and says what the agent does.
func (n *notifier) sign(at phase) {
	limit := stuckAfter
	if n.watchdog > 0 {
		limit = n.watchdog / 2
	}
	switch stuck := n.agent.Stuck(limit); {
	case stuck != "":
		if n.stuck != stuck {
			n.log.Error("a loop is stuck; the watchdog is not fed", "loop", stuck, "for", limit.String(), "hint", "see whether the disks answer")
		}
		n.stuck = stuck
		n.status("NOT OK: the " + stuck + " is stuck; see whether the disks answer")
		return
	case n.stuck != "":
		n.log.Info("no loop is stuck any more", "loop", n.stuck)
		n.stuck = ""
	}
	// However long a full disk or a slow file system takes, or an outage at the end.
	if at == starting || at == stopping && n.drain {
		n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (stuckAfter + statusEvery).Microseconds()))
	}
	if n.watchdog > 0 {
		n.send(daemon.SdNotifyWatchdog)
	}
	st := n.agent.Status()
	switch {
	case at == stopping && n.drain:
		n.status("Shipping what is left before the end: " + size(st.BacklogBytes))
	case at == stopping:
		n.status("Stopping; what is not in the bucket yet stays in the spool")
	default:
		n.status(statusLine(&st))
	}
}

func (n *notifier) status(text string) {
	if text = printable.Text(text); text != n.last {
		n.last = text
		n.send("STATUS=" + text)
	}
}

func (n *notifier) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.log.Debug("the service manager can't be told", "state", state, "error", err)
	}
}

// statusLine is what `systemctl status` shows.
func statusLine(st *agent.Status) string {
	switch {
	case len(st.Problems) > 0:
		p := st.Problems[0]
		return oneLine(fmt.Sprintf("NOT OK: %s: %s; fix: %s", p.Title(), p.Error, p.Hint))
	case st.Queue == "":
		return "Opening the spool"
	case !st.Following:
		return "Looking for files"
	}
	files := 0
	for _, in := range st.Inputs {
		files += in.Files
	}
	last := "no upload yet"
	if t := st.Uploads.LastTime; !t.IsZero() {
		last = "last upload at " + t.Local().Format(time.TimeOnly)
	}
	return fmt.Sprintf("Following %d files of %d inputs; %s unread, %s to ship, %s",
		files, len(st.Inputs), size(st.LagBytes), size(st.BacklogBytes), last)
}

// oneLine makes text fit into a message of lines.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
