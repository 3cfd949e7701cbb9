//go:build e2e

package hostile

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// A second agent on a state directory gives up at once, and says who has it;
// the first does not notice.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("a.log", events(10))
	first := w.follow()
	says := []string{"spoolship: error: ", w.cfg.StateDir, fmt.Sprintf("in use by process %d", first.cmd.Process.Pid), "stop that process"}
	w.command("run").exits(75).complaint(says...)
	w.command("run", "--once").exits(75).complaint(says...)
	w.command("spool", "forget", "old").exits(75).complaint(says...)
	if _, code := w.status(); code != 0 {
		t.Errorf("the first agent's health is %d", code)
	}
	first.stop()
	w.ships()
}

// behind is a world with a backlog: a sealed chunk that can't be shipped.
func behind(t *testing.T) (*world, *proc) {
	t.Helper()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.way.Down()
	w.log("a.log", events(100))
	p := w.follow()
	w.sealed(1)
	return w, p
}

// looks runs all commands that only read, and returns what export wrote.
func (w *world) looks(name string) map[string][]byte {
	w.t.Helper()
	ls := w.command("spool", "ls").exits(0)
	if matching(ls.out.String(), []string{"app", "sealed", "100"}) != 1 {
		w.t.Errorf("spool ls does not show the chunk:\n%s", ls.out.String())
	}
	if verify := w.command("spool", "verify").exits(0); verify.out.String() != "ok: 1 chunks\n" {
		w.t.Errorf("spool verify says %q", verify.out.String())
	}
	dir := filepath.Join(w.Dir, name)
	export := w.command("spool", "export", dir).exits(0)
	files := map[string][]byte{}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			key, _ := filepath.Rel(dir, path)
			if files[key], err = os.ReadFile(path); !strings.Contains(export.out.String(), path+"\n") {
				w.t.Errorf("export does not name %s:\n%s", path, export.out.String())
			}
		}
		return err
	})
	w.command("spool", "export", dir).exits(1).complaint("spoolship: error: ", dir, "file exists")
	return files
}

// The commands that read give the same answers while the agent runs, after it
// was stopped and after it was killed, and change nothing.
func TestReadOnlyCommands(t *testing.T) {
	t.Parallel()
	w, p := behind(t)
	running := w.looks("running")
	w.command("status").code() // healthy or not: the store is down
	p.cmd.Process.Kill()
	<-p.done
	w.command("status").exits(75).complaint("spoolship: error: no agent answers", w.Agent.Socket, "spoolship run")
	killed := w.looks("killed")
	w.follow().stop()
	w.command("status").exits(75).complaint("no agent answers")
	stopped := w.looks("stopped")
	if len(running) != 1 {
		t.Errorf("%d objects exported, want 1", len(running))
	}
	if err := w.way.Up(); err != nil {
		t.Fatal(err)
	}
	w.ships()
	objects, err := w.Objects(t.Context())
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for name, body := range running {
		if !bytes.Equal(body, killed[name]) || !bytes.Equal(body, stopped[name]) {
			t.Errorf("%s: the exports differ", name)
		}
		records, err := bucket.Decode(".gz", body)
		if err != nil || name != objects[0].Name || !bytes.Equal(bytes.Join(records, nil), bytes.Join(objects[0].Records, nil)) {
			t.Errorf("%s: export is not the object %s (%v)", name, objects[0].Name, err)
		}
	}
	empty := w.command("spool", "ls").exits(0)
	if n := strings.Count(empty.out.String(), "\n"); n != 1 {
		t.Errorf("spool ls of an empty spool:\n%s", empty.out.String())
	}
}

// Where there is no spool yet, commands that look say so and make none.
func TestNoSpool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	for _, args := range [][]string{{"ls"}, {"verify"}, {"export", filepath.Join(w.Dir, "out")}} {
		w.command(append([]string{"spool"}, args...)...).exits(1).complaint("spoolship: error: ", "no spool in "+w.cfg.StateDir)
	}
	w.command("status").exits(75).complaint("no agent answers")
	if _, err := os.Stat(w.cfg.StateDir); err == nil {
		t.Error("a state directory was made")
	}
}

// What a command can't do for want of rights it says; it does not claim that
// the agent is stopped.
func TestSocketOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	p := w.follow()
	mode(t, w.Agent.Socket, 0)
	w.command("status").exits(1).complaint(w.Agent.Socket, "permission denied")
	w.command("spool", "ls").exits(1).complaint(w.Agent.Socket, "permission denied")
	p.stop()
}

// A socket that can't be made is a warning: lines come first.
func TestNoSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.cfg.Socket = "/proc/none/agent.sock"
	w.configure()
	w.log("a.log", events(10))
	w.command("run", "--once").exits(0).complaint("level=WARN", "no status socket", "/proc/none", "[telemetry] socket")
	w.arrived()
}

// An address that another process has is said with its line: lines come first.
// One that strangers can ask is warned of.
func TestListen(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	w := newWorld(t, bucket.JSON)
	listen := func(address string) {
		w.configure("[telemetry]\n", fmt.Sprintf("[telemetry]\nlisten = %q\n", address))
	}
	listen(other.Addr().String())
	w.log("a.log", events(10))
	w.command("run", "--once").exits(0).complaint("level=ERROR", w.Agent.Config+":", ": telemetry.listen: can't be listened on: ",
		"address already in use", other.Addr().String(), "choose another port")
	w.arrived()
	listen(":9464")
	w.command("check").exits(0).complaint("spoolship: warning: "+w.Agent.Config+":", ": telemetry.listen: can be asked by other hosts", "127.0.0.1")
}

// SIGTERM in the middle of run --once is exit code 3 and an agent that can go
// on; a second one ends at once.
func TestOnceStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.way.Down()
	w.log("a.log", events(100))
	p := w.command("run", "--once")
	eventually(t, "a sealed chunk", func() bool {
		if _, err := os.Stat(w.Agent.Socket); err != nil {
			return false
		}
		s, _ := w.status()
		return s.Sealed > 0
	})
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.exits(3)
	if matching(p.err.String(), []string{"spoolship: error: stopped before everything was shipped"}) != 1 ||
		matching(p.err.String(), []string{"spoolship: hint: run it again"}) != 1 {
		t.Errorf("the last words are unclear:\n%s", p.err.String())
	}
	if err := w.way.Up(); err != nil {
		t.Fatal(err)
	}
	w.ships()
}
