//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// warns reports whether check passes and prints a warning with all of words, and the
// fix on the next line.
func (w *world) warns(fix string, words ...string) bool {
	w.t.Helper()
	p := w.command("check").exits(0)
	lines := strings.Split(p.out.String()+p.err.String(), "\n")
	for i, line := range lines[:len(lines)-1] {
		if containsAll(line, append([]string{"warning: "}, words...)) && (strings.Contains(line, fix) || strings.Contains(lines[i+1], "  fix: ") && strings.Contains(lines[i+1], fix)) {
			return true
		}
	}
	w.t.Errorf("check does not warn of %q with %q:\n%s", words, fix, strings.Join(lines, "\n"))
	return false
}

// What works and is rarely meant is a warning of check, each with its fix.
func TestCheckWarns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		set   func(w *world)
		fix   string
		words []string
	}{
		{"plain http to another host", func(w *world) { w.configure(w.cfg.Endpoint, "http://store.example.com:9000") }, "use https://", []string{"s3.endpoint", "not encrypted"}},
		{"the bucket in the endpoint's path", func(w *world) { w.configure(w.cfg.Endpoint, "https://store.example.com/"+w.cfg.Bucket) }, "name the store alone", []string{"s3.endpoint", "name of the bucket"}},
		{"the bucket in the endpoint's host", func(w *world) { w.configure(w.cfg.Endpoint, "https://"+w.cfg.Bucket+".example.com") }, "name the store alone", []string{"s3.endpoint", "name of the bucket"}},
		{"a prefix without slash", func(w *world) { w.configure("[s3]\n", "[s3]\nprefix = \"logs\"\n") }, `put a "/"`, []string{"s3.prefix", "slash"}},
		{"a directory for include", func(w *world) { w.configure("/*.log", "") }, "/*.log", []string{"matches the directory", "no file"}},
		{"a pattern of directories", func(w *world) {
			if err := os.Mkdir(filepath.Join(w.Logs(), "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			w.configure("/*.log", "/su*")
		}, "/su*/*.log", []string{"matches the directory", "no file"}},
		{"a pattern that covers the state", func(w *world) { w.configure(w.Logs()+"/*.log", w.Dir+"/**/*") }, "exclude = [", []string{"the spool of the agent itself"}},
		{"a pattern that covers the configuration", func(w *world) { w.configure(w.Logs()+"/*.log", filepath.Dir(w.Agent.Config)+"/*.toml") }, "exclude = [", []string{"the configuration of the agent itself"}},
		{"two inputs for one file", func(w *world) {
			in := w.cfg.Inputs[0]
			w.cfg.Inputs = append(w.cfg.Inputs, agentproc.Input{Name: "second", Format: in.Format, Include: []string{w.Logs() + "/a*"}})
			w.configure()
		}, "exclude these files", []string{"inputs app and second both match 1 file (", "a.log", "shipped twice"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, bucket.JSON)
			w.log("a.log", events(10))
			c.set(w)
			ok := w.warns(c.fix, c.words...)
			row(t, ok, "check: "+c.name, map[bool]string{true: "a warning with its fix", false: "nothing"}[ok], "a warning with its fix")
		})
	}
}

// State in memory, and a check by another user than the service's.
func TestCheckWarnsOfThePlace(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("skipped: mounts and other users need root")
	}
	w := newWorld(t, bucket.JSON)
	w.configure()
	if err := os.Mkdir(w.cfg.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfs(t, w.cfg.StateDir, 0)
	ok := w.warns("directory on a disk", w.cfg.StateDir, "in memory")
	row(t, ok, "check: state on tmpfs", map[bool]string{true: "a warning with its fix", false: "nothing"}[ok], "a warning with its fix")
	if err := unix.Unmount(w.cfg.StateDir, 0); err != nil {
		t.Fatal(err)
	}
	own(t, w.cfg.StateDir)
	p := startAs(t, syscall.Credential{}, "check", "--config", w.Agent.Config).exits(0)
	said := matching(p.out.String(), []string{"warning: ", "this check ran as root", "agent's user is nobody"}) == 1 && matching(p.out.String(), []string{"  fix: ", "journalctl -u spoolship", "sudo -u nobody"}) == 1
	row(t, said, "check: run by root, the state is another user's", map[bool]string{true: "a warning with its fix", false: p.out.String()}[said], "a warning with its fix")
}

// A renamed input: check, reload, the log and status warn before and while every line
// is shipped again; with was nothing is.
func TestRenamedInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("a.log", events(100))
	w.log("b.log", events(50))
	p := w.follow()
	w.shipped(150)
	words := []string{"input web begins anew with 2 files (", "which input app has shipped"}
	w.cfg.Inputs[0].Name = "web"
	w.configure()
	live := w.warns(`was = "app"`, words...)
	p.stop()
	stopped := w.warns(`was = "app"`, words...)

	w.configure("name = \"web\"\n", "name = \"web\"\nwas = \"app\"\n")
	if check := w.command("check").exits(0); strings.Contains(check.out.String(), "begins anew") {
		t.Errorf("check warns with was:\n%s", check.out.String())
	}
	w.log("a.log", events(20))
	w.ships()
	w.configure() // was is not needed any more
	w.log("b.log", events(20))
	w.ships()
	row(t, live && stopped && !t.Failed(), "an input is renamed, with was", "every line once", "every line once; check warns without")

	// Again, by a reload, without was.
	p = w.follow()
	w.cfg.Inputs[0].Name = "api"
	w.configure()
	reload := w.command("reload").exits(0)
	told := matching(reload.out.String(), []string{"warning: input api begins anew with 2 files (", "which input web has shipped"})
	p.prints("level=WARN", "input api begins anew with 2 files")
	status := w.command("status").exits(0).out.String()
	row(t, told == 1 && strings.Contains(status, "input api begins anew"), "an input is renamed by a reload, without was",
		fmt.Sprintf("%d warning of reload, status: %v", told, strings.Contains(status, "begins anew")), "both warn, with files and bytes")
	p.stop()
}

// Two inputs that match one file are named by the running agent, too.
func TestTwoInputsOneFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.log("a.log", events(10))
	in := w.cfg.Inputs[0]
	w.cfg.Inputs = append(slices.Clone(w.cfg.Inputs), agentproc.Input{Name: "second", Format: in.Format, Include: []string{w.Logs() + "/a*"}})
	w.configure()
	p := w.follow()
	p.prints("level=WARN", "inputs app and second both match 1 file")
	var status string
	eventually(t, "status has it", func() bool {
		status = w.command("status").exits(0).out.String()
		return strings.HasPrefix(status, "ok, but ") && strings.Contains(status, "both match 1 file (")
	})
	row(t, true, "two inputs match one file", strings.SplitN(status, "\n", 2)[0], "run and status warn, with files and bytes")
	p.stop()
}
