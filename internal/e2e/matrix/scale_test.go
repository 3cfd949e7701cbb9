//go:build e2e

package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// 10,000 files, of which 1,000 go on growing, between more that no pattern
// wants, in directories as deep as they get; with fewer descriptors than
// active files.
func TestManyFiles(t *testing.T) {
	t.Run("10,000 files, 1,000 active, 64 descriptors", func(t *testing.T) {
		w := newWorld(t)
		w.cfg.MaxOpenFiles = 64
		w.cfg.Inputs[0].Include = []string{w.path("**/*.log")}
		const files, active = 10_000, 1000
		name := func(i int) string { return fmt.Sprintf("%d/a/b/c/d/e/f/%d.log", i%100, i) }
		text := make([]string, files)
		for i := range files {
			w.must(os.MkdirAll(filepath.Dir(w.path(name(i))), 0o755))
			text[i] = w.append(name(i), w.events(name(i), 1))
			if i%5 == 0 {
				w.append(name(i)+".unwanted", "not for the bucket\n")
			}
		}
		w.start()
		w.spooled(files)
		for round := range 3 {
			for i := range active {
				text[i*10] += w.append(name(i*10), w.events(fmt.Sprintf("%s, round %d", name(i*10), round), 1))
			}
			w.spooled(int64(files + active*(round+1)))
			w.status("at most 64 open files", func(s agentproc.Status) bool { return s.Inputs[0].Open <= w.cfg.MaxOpenFiles })
		}
		for i := range files {
			w.expect(name(i), text[i])
		}
		w.arrives()
	})
}
