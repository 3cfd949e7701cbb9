//go:build e2e && linux

package matrix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel's limits of inotify, lowered for the agent alone: it polls the
// rest, and says once which limit to raise.
func TestInotifyLimits(t *testing.T) {
	for _, row := range []struct{ name, file, sysctl string }{
		{"inotify watches used up", "max_inotify_watches", "fs.inotify.max_user_watches"},
		{"inotify instances used up", "max_inotify_instances", "fs.inotify.max_user_instances"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.limitInotify(row.file)
			w.cfg.Inputs[0].Include = []string{w.path("**/*.log")}
			const dirs = 5
			text := [dirs]string{}
			for i := range dirs {
				w.must(os.Mkdir(w.path(fmt.Sprint(i)), 0o755))
				text[i] = w.append(fmt.Sprintf("%d/a.log", i), w.events(fmt.Sprint("first ", i), 10))
			}
			w.start()
			w.spooled(10 * dirs)
			for round := range 2 {
				for i := range dirs {
					text[i] += w.append(fmt.Sprintf("%d/a.log", i), w.events(fmt.Sprint(round, i), 10))
				}
				w.spooled(int64(10 * dirs * (round + 2)))
			}
			for i := range dirs {
				w.expect(fmt.Sprint(i), text[i])
			}
			log, err := os.ReadFile(w.Agent.Log)
			w.must(err)
			if n := strings.Count(string(log), row.sysctl); n != 1 {
				t.Errorf("%s was named %d times, not once:\n%s", row.sysctl, n, log)
			}
			w.arrives()
		})
	}
}

// limitInotify has the agent run in a user namespace whose limit is 1 watch, or
// no instance at all.
func (w *world) limitInotify(file string) {
	w.t.Helper()
	n := strings.Count(file, "watches")
	set := fmt.Sprintf("echo %d > /proc/sys/user/%s", n, file)
	if out, err := exec.CommandContext(w.ctx, "unshare", "-Ur", "sh", "-c", set).CombinedOutput(); err != nil {
		w.t.Skipf("skipped: no user namespace with limits: %v: %s", err, out)
	}
	script := filepath.Join(w.Dir, "limited")
	text := fmt.Sprintf("#!/bin/sh\nexec unshare -Ur sh -c '%s && exec \"$0\" \"$@\"' '%s' \"$@\"\n", set, w.Agent.Binary)
	w.must(os.WriteFile(script, []byte(text), 0o755))
	w.Agent.Binary = script
}
