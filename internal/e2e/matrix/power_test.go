//go:build e2e

package matrix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// rebooted has the agent see another boot from its next start on: a wrapper
// puts another id in place of the kernel's, in a mount namespace of its own.
func (w *world) rebooted() error {
	id := filepath.Join(w.Dir, "boot_id")
	w.must(os.WriteFile(id, []byte("00000000-0000-4000-8000-000000000001\n"), 0o644))
	wrapper := filepath.Join(w.Dir, "rebooted")
	const program = "#!/bin/sh\nexec unshare %s sh -c 'mount --bind %s /proc/sys/kernel/random/boot_id && exec %s \"$@\"' sh \"$@\"\n"
	var out []byte
	err := error(nil)
	for _, how := range []string{"--mount", "--mount --map-root-user"} {
		w.must(os.WriteFile(wrapper, fmt.Appendf(nil, program, how, id, binary), 0o755))
		if out, err = exec.CommandContext(w.ctx, wrapper, "version").CombinedOutput(); err == nil {
			w.Agent.Binary = wrapper
			return nil
		}
	}
	return fmt.Errorf("mount namespaces can't be made here: %w: %s", err, out)
}

// The machine goes down, and a file comes back with less than what was read.
func TestPowerLoss(t *testing.T) {
	for _, row := range []struct {
		name string
		down func(w *world, size, kept int64)
	}{
		{"power lost, file cut short", func(w *world, _, kept int64) {
			w.must(os.Truncate(w.path(file), kept))
			long := time.Unix(1e9, 0) // before the boot
			w.must(os.Chtimes(w.path(file), long, long))
		}},
		{"power lost, file ends in NULs", func(w *world, size, kept int64) {
			f, err := os.OpenFile(w.path(file), os.O_WRONLY, 0)
			w.must(err)
			_, err = f.WriteAt(make([]byte, size-kept), kept)
			w.must(err)
			w.must(f.Close())
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			text := w.append(file, w.events("read", 1000))
			w.expect("read", text)
			w.start()
			w.spooled(1000)
			w.proc.Kill()
			w.proc = nil
			if err := w.rebooted(); err != nil {
				fmt.Println(t.Name(), "skipped:", err) // a skip alone is not printed
				t.Skip(err)
			}
			row.down(w, int64(len(text)), int64(len(text)/2+30))
			w.start()
			w.expect("new", w.append(file, w.events("new", 10)))
			w.spooled(10)
			w.arrives()
		})
	}
}
