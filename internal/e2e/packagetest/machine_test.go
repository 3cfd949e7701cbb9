//go:build packagetest

package packagetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is how long anything may take that is waited for.
const limit = 60 * time.Second

// machine is a booted Debian. Its root is an overlay over the cached one, so
// that each run starts fresh.
type machine struct {
	t      *testing.T
	root   string
	leader string // process id of its systemd
	began  time.Time
}

// copyOf returns a directory that is a copy of base, which must not be changed
// by others, and one beside it.
func copyOf(t *testing.T, base string) (root, beside string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "packagetest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The upper layer of an overlay can't be in another overlay: a tmpfs can.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	root = filepath.Join(dir, "root")
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{root, upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", base, upper, work)
	if err := syscall.Mount("overlay", root, "overlay", 0, layers); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(root, syscall.MNT_DETACH) })
	return root, dir
}

// boot starts systemd in a copy of base.
func boot(t *testing.T, base string) *machine {
	t.Helper()
	root, beside := copyOf(t, base)
	m := &machine{t: t, root: root, began: time.Now()}
	m.start(filepath.Join(beside, "console"))
	return m
}

func (m *machine) start(console string) {
	m.t.Helper()
	out, err := os.Create(console)
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	// In a process space of its own, everything of it ends with its first process,
	// however this one ends. A killed systemd-nspawn leaves its systemd behind.
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
		"systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
		"--console=pipe", "--directory="+m.root)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { defer close(gone); cmd.Wait() }()
	m.t.Cleanup(func() {
		cmd.Process.Kill()
		<-gone
	})
	m.await("boot", func() bool {
		select {
		case <-gone:
			text, _ := os.ReadFile(console)
			m.t.Fatalf("systemd-nspawn ended: %s", text)
		default:
		}
		m.leader = child(child(strconv.Itoa(cmd.Process.Pid)))
		if m.leader == "" {
			return false
		}
		state, _ := m.try("systemctl", "is-system-running", "--wait")
		state = strings.TrimSpace(state)
		return state == "running" || state == "degraded"
	})
}

// child returns the id of the first child process of another, or "".
func child(pid string) string {
	pids, _ := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", pid, pid))
	first, _, _ := strings.Cut(strings.TrimSpace(string(pids)), " ")
	return first
}

// try runs a command in the machine.
func (m *machine) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--all", "--target", m.leader, "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// do is try for what must succeed.
func (m *machine) do(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.fail("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// await asks again until a state is reached that nothing announces.
func (m *machine) await(what string, reached func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(limit); !reached(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.fail("%s: not reached in %v", what, limit)
		}
	}
}

// fail ends the test with the end of the agent's journal.
func (m *machine) fail(format string, args ...any) {
	m.t.Helper()
	journal, _ := m.try("journalctl", "--no-pager", "--lines=40", "--unit=spoolship")
	m.t.Fatalf(format+"\nthe journal ends:\n%s", append(args, journal)...)
}

func (m *machine) step(name, seen string) {
	step(name, seen, m.began)
	m.began = time.Now()
}

// step prints what was seen, and how long it took.
func step(name, seen string, began time.Time) {
	fmt.Printf("  %-10s %-66s %6.1f s\n", name, seen, time.Since(began).Seconds())
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) exists(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}
