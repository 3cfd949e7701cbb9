// Package agentproc runs the agent's binary as a child process: starts it,
// ends it (gently or with SIGKILL), asks it over its socket, and measures it.
package agentproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Agent says how to run the binary. It is not changed by running.
type Agent struct {
	Binary string
	Config string // path of the configuration
	Socket string // of its [telemetry]
	Log    string // file that gets everything it prints; appended to
}

// Proc is one run of the binary. Its methods may be called by any goroutine.
type Proc struct {
	agent *Agent
	cmd   *exec.Cmd
	done  chan struct{} // closed once the process is gone and reaped
	err   error         // of Wait; valid after done
	peak  int64         // anonymous bytes; valid after done
}

// Run starts `spoolship run` with more arguments and environment variables.
// The child dies with this process.
func (a *Agent) Run(env []string, args ...string) (*Proc, error) {
	out, err := os.OpenFile(a.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &Proc{agent: a, done: make(chan struct{})}
	p.cmd = exec.Command(a.Binary, append([]string{"run", "--config", a.Config}, args...)...)
	p.cmd.Env = append(environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	go p.watch()
	return p, nil
}

// environ is this process's environment without what it says of AWS: that would
// be part of the agent's configuration.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
}

// Once runs the agent with --once and waits until everything is shipped. At
// the end of ctx it is killed, which is an error.
func (a *Agent) Once(ctx context.Context, args ...string) (*Proc, error) {
	p, err := a.Run(nil, append([]string{"--once"}, args...)...)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.Kill()
		return p, fmt.Errorf("run --once did not end in time; its last words:\n%s", a.tail())
	}
	if p.err != nil {
		return p, fmt.Errorf("run --once: %w; its last words:\n%s", p.err, a.tail())
	}
	return p, nil
}

// Kill sends SIGKILL and waits for the end.
func (p *Proc) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Stop sends SIGTERM and waits for the end, at most for limit.
func (p *Proc) Stop(limit time.Duration) error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.Kill()
		return fmt.Errorf("the agent did not stop within %s of SIGTERM", limit)
	}
	if p.err != nil {
		return fmt.Errorf("the agent ended badly after SIGTERM: %w; its last words:\n%s", p.err, p.agent.tail())
	}
	return nil
}

// Signal sends a signal.
func (p *Proc) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Done is closed when the process is gone.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Err is nil if the process ended with exit code 0. Valid after Done.
func (p *Proc) Err() error { return p.err }

// Killed says that the process ended by SIGKILL. Valid after Done.
func (p *Proc) Killed() bool {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// tailBytes bounds what is shown of the agent's log.
const tailBytes = 2000

// tail returns the end of the log, from the start of a line.
func (a *Agent) tail() string {
	b, err := os.ReadFile(a.Log)
	if err != nil {
		return err.Error()
	}
	if len(b) > tailBytes {
		b = b[len(b)-tailBytes:]
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return string(b)
}
