//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// A socket path that names something else: it stays, and lines are shipped.
func TestSocketPathIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.log("a.log", events(10))
	precious, path := filepath.Join(w.Dir, "precious"), filepath.Join(w.Dir, "taken")
	if err := os.WriteFile(precious, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	own(t, precious)
	w.configure(w.cfg.Socket, path)
	for name, put := range map[string]func() error{
		"a file":          func() error { return os.Link(precious, path) },
		"a symbolic link": func() error { return os.Symlink(precious, path) },
		"a directory":     func() error { return os.Mkdir(path, 0o755) },
		"a named pipe":    func() error { return syscall.Mkfifo(path, 0o600) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		w.command("run", "--once").exits(0).complaint("level=WARN", "no status socket", name, "move it away")
		check := w.command("check").exits(1)
		after, err := os.Lstat(path)
		text, lost := os.ReadFile(precious)
		same := err == nil && os.SameFile(before, after) && lost == nil && string(text) == "precious"
		row(t, same, "telemetry.socket names "+name, map[bool]string{true: "it stays", false: "it is gone"}[same], "it stays, and a warning names it")
		if matching(check.out.String(), []string{path, name}) != 1 {
			t.Errorf("check says:\n%s", check.out.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	w.arrived()
}

// A user without rights on the socket hears of sudo and groups, and never of a chown.
func TestStatusWithoutRights(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("skipped: other users need root")
	}
	const oncall = 54321
	w := newWorld(t, bucket.JSON)
	w.configure()
	p := w.follow()
	stranger := func(groups []uint32, args ...string) *proc {
		return startAs(t, syscall.Credential{Uid: oncall, Gid: oncall, Groups: groups}, append(args, "--config", w.Agent.Config)...)
	}
	if blind := stranger(nil, "status").exits(75); !strings.Contains(lastLine(blind.err.String()), "use sudo: this user can't read the configuration") {
		t.Errorf("says %s", blind.err.String())
	}
	mode(t, w.Dir, 0o755)
	mode(t, w.Agent.Config, 0o644)
	refused := stranger(nil, "status").exits(1)
	said := refused.err.String()
	row(t, strings.Contains(said, "use sudo") && strings.Contains(said, "status_group") && !strings.Contains(said, "chown"),
		"status without rights on the socket", fmt.Sprintf("%q", lastLine(said)), "sudo or the group, no chown")
	p.stop()

	// A member of the status group looks, and changes nothing.
	w.configure("[telemetry]\n", fmt.Sprintf("[telemetry]\nstatus_group = \"%d\"\n", oncall))
	mode(t, w.Agent.Config, 0o644)
	p = startAs(t, syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{oncall}}, "run", "--config", w.Agent.Config)
	p.prints("following files")
	looks := stranger(nil, "status").exits(0)
	pause, reload, flush := stranger(nil, "pause").exits(1), stranger(nil, "reload").exits(1), stranger(nil, "flush").exits(1)
	paused := strings.Contains(w.command("status").exits(0).out.String(), "paused")
	row(t, strings.HasPrefix(looks.out.String(), "ok") && !paused, "status, pause, reload and flush by a member of status_group",
		fmt.Sprintf("exit codes %d, %d, %d, %d", looks.code(), pause.code(), reload.code(), flush.code()), "0, and 1 for all that changes something")
	p.stop()

	// An agent whose user is not in the group opens no socket wider than it may.
	p = w.follow()
	p.prints("level=WARN", "no status socket", "SupplementaryGroups")
	if _, err := os.Lstat(filepath.Join(filepath.Dir(w.cfg.Socket), "status.sock")); err == nil {
		t.Error("there is a status socket of the wrong group")
	}
	p.stop()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
