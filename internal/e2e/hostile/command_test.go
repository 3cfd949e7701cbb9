//go:build e2e

package hostile

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// limit bounds every wait; nothing here takes as long unless it hangs.
const limit = 20 * time.Second

// nobody is the user that the agent runs as when the tests run as root, who
// can read and write everything.
const nobody = 65534

// output takes what a process prints, and wakes those who wait for a text.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	text, _ := o.now()
	return text
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// proc is one run of the binary.
type proc struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err output
	done     chan struct{} // closed when it has ended
}

// start runs the binary with args; it ends with the test at the latest.
func start(t *testing.T, args ...string) *proc {
	t.Helper()
	return startAs(t, syscall.Credential{Uid: nobody, Gid: nobody}, args...)
}

// startAs is start as another user, where the tests run as root.
func startAs(t *testing.T, as syscall.Credential, args ...string) *proc {
	t.Helper()
	p := &proc{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.out.changed, p.err.changed = make(chan struct{}), make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"} // and no AWS credentials
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		p.cmd.SysProcAttr.Credential = &as
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// code waits for the end and returns the exit code.
func (p *proc) code() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%v did not end:\n%s%s", p.cmd.Args[1:], p.out.String(), p.err.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// exits waits for the end and checks the exit code.
func (p *proc) exits(code int) *proc {
	p.t.Helper()
	if got := p.code(); got != code {
		p.t.Errorf("%v: exit code %d, want %d:\n%s%s", p.cmd.Args[1:], got, code, p.out.String(), p.err.String())
	}
	return p
}

// stop ends it as systemd does: it has to exit with 0.
func (p *proc) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.exits(0)
}

// prints waits until a line of stderr holds all of words.
func (p *proc) prints(words ...string) {
	p.t.Helper()
	deadline := time.After(limit)
	for {
		text, changed := p.err.now()
		if matching(text, words) > 0 {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			if text, _ := p.err.now(); matching(text, words) == 0 {
				p.t.Fatalf("%v ended without saying %q:\n%s", p.cmd.Args[1:], words, text)
			}
			return
		case <-deadline:
			p.t.Fatalf("%v does not say %q:\n%s", p.cmd.Args[1:], words, text)
		}
	}
}

// matching counts the lines of text that hold all of words.
func matching(text string, words []string) (n int) {
	for line := range strings.Lines(text) {
		if containsAll(line, words) {
			n++
		}
	}
	return n
}

func containsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func containsAny(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(s, word) })
}

// complaint checks that stderr has one line of trouble, and that it (with its
// hint, which a command prints below it) holds all of words. Trouble is an
// error or a warning; the warning that a correction is tried may come before it.
func (p *proc) complaint(words ...string) {
	p.t.Helper()
	var lines []string
	text := p.err.String()
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "spoolship: hint:") && len(lines) > 0:
			lines[len(lines)-1] += " " + line
		case strings.HasPrefix(line, "spoolship: "), strings.Contains(line, "level=ERROR"), strings.Contains(line, "level=WARN"):
			lines = append(lines, line)
		}
	}
	if len(lines) == 2 && containsAny(lines[0], "corrects how it is asked", "spoolship: warning: put ") {
		lines = lines[1:]
	}
	if len(lines) != 1 || !containsAll(lines[0], words) {
		p.t.Errorf("%v: want one line with %q, got %d:\n%s", p.cmd.Args[1:], words, len(lines), text)
	}
}

// eventually calls done until it says yes.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
