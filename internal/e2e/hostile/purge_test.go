//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A purge of the package deletes state and configuration, and nothing that somebody
// has mounted into them.
func TestPurge(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("skipped: mounts need root")
	}
	script, err := os.ReadFile("../../../packaging/scripts/postremove")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, mount string
		gone        bool // the state directory
	}{
		{"nothing", "true", true},
		{"a bind mount of the same file system", "mount --bind ROOT/precious ROOT/state/queue", false},
		{"a bind mount further below", "mkdir -p ROOT/state/queue/a && mount --bind ROOT/precious ROOT/state/queue/a", false},
		{"another file system", "mount -t tmpfs tmpfs ROOT/state/queue && touch ROOT/state/queue/other", false},
		{"the state directory itself", "mount --bind ROOT/precious2 ROOT/state", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for _, dir := range []string{"state/queue", "etc/conf.d", "precious", "precious2"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			precious := filepath.Join(root, "precious", "file")
			if err := os.WriteFile(precious, []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer("/etc/spoolship", root+"/etc", "/var/lib/spoolship", root+"/state", "/run/systemd/system", root+"/none").Replace(string(script))
			name := filepath.Join(root, "postremove")
			if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			shell := "set -e; " + strings.ReplaceAll(c.mount, "ROOT", root) + "; sh " + name + " purge"
			out, err := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", shell).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, lost := os.Stat(precious)
			_, left := os.Stat(filepath.Join(root, "state"))
			_, etc := os.Stat(filepath.Join(root, "etc"))
			seen := fmt.Sprintf("mounted files kept %v, state deleted %v", lost == nil, left != nil)
			row(t, lost == nil && (left != nil) == c.gone && etc != nil, "purge with a mount below the state: "+c.name, seen, "no file of a mount is deleted")
			if told := strings.Contains(string(out), "Unmount it"); told == (c.gone || c.name == "the state directory itself") {
				t.Errorf("says %q", out)
			}
		})
	}
}
