//go:build e2e

package matrix

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// file is the file of every case here.
const file = "app.log"

// The rows that need no logrotate. Each gets a world, with app.log of ten
// lines that are expected and spooled by a running agent.
var rows = []struct {
	name string
	run  func(w *world)
}{
	{"grew, running", func(w *world) {
		w.expect("more", w.append(file, w.events("more", 1000)))
		w.spooled(1010)
	}},
	{"grew, stopped", func(w *world) {
		w.stop()
		w.expect("more", w.append(file, w.events("more", 1000)))
	}},
	{"renamed, still written to, new file in its place", func(w *world) {
		w.must(os.Rename(w.path(file), w.path(file+".1")))
		w.expect("new", w.append(file, w.events("new", 10)))
		w.expect("old", w.append(file+".1", w.events("old", 10)))
		w.spooled(30)
	}},
	{"several rotations while stopped", func(w *world) {
		w.stop()
		w.expect("tail", w.append(file, w.events("tail", 10)))
		w.must(os.Rename(w.path(file), w.path(file+".3")))
		for _, n := range []string{".2", ".1", ""} {
			w.expect("unseen"+n, w.append(file+n, w.events("unseen"+n, 10)))
		}
	}},
	{"moved to another directory", func(w *world) {
		w.expect("tail", w.append(file, w.events("tail", 10)))
		w.must(os.Rename(w.path(file), w.Dir+"/moved"))
		f, err := os.OpenFile(w.Dir+"/moved", os.O_APPEND|os.O_WRONLY, 0)
		w.must(err)
		more := w.events("after the move", 10)
		_, err = f.WriteString(more)
		w.must(err)
		w.must(f.Close())
		w.expect("after the move", more)
		w.expect("new", w.append(file, w.events("new", 10)))
		w.spooled(40)
	}},
	{"truncated and outgrown while stopped, with a copy", func(w *world) {
		w.stop()
		w.expect("tail", w.append(file, w.events("tail", 10)))
		w.copy(file, file+".1")
		w.must(os.Truncate(w.path(file), 0))
		w.expect("longer", w.append(file, w.events("longer", 1000)))
	}},
	{"truncated, no copy, all was read", func(w *world) {
		w.must(os.Truncate(w.path(file), 0))
		w.expect("after", w.append(file, w.events("after", 3)))
		w.spooled(13)
		w.status("the truncation", func(s agentproc.Status) bool { return s.Inputs[0].Truncations == 1 })
	}},
	{"replaced by a copy of itself", func(w *world) {
		w.stop()
		w.copy(file, "new")
		w.must(os.Rename(w.path("new"), w.path(file)))
		w.expect("more", w.append(file, w.events("more", 10)))
	}},
	{"deleted while it is written to", func(w *world) {
		f, err := os.OpenFile(w.path(file), os.O_APPEND|os.O_WRONLY, 0)
		w.must(err)
		defer f.Close()
		text := w.events("before", 10)
		_, err = f.WriteString(text)
		w.must(err)
		w.spooled(20)
		w.must(os.Remove(w.path(file)))
		more := w.events("after", 10)
		_, err = f.WriteString(more)
		w.must(err)
		w.expect("deleted", text, more)
		w.expect("new", w.append(file, w.events("new", 10)))
		w.spooled(40)
	}},
	{"deleted and made anew while stopped", func(w *world) {
		w.stop()
		w.must(os.Remove(w.path(file)))
		w.expect("new", w.append(file, w.events("new", 20)))
	}},
	{"symbolic link retargeted", func(w *world) {
		w.must(os.WriteFile(w.Dir+"/one", []byte(w.events("one", 10)), 0o644))
		w.must(os.WriteFile(w.Dir+"/two", []byte(w.events("two", 10)), 0o644))
		w.must(os.Symlink("../one", w.path("link.log")))
		w.expect("one", w.events("one", 10))
		w.spooled(20)
		w.must(os.Symlink("../two", w.path("next")))
		w.must(os.Rename(w.path("next"), w.path("link.log")))
		w.expect("two", w.events("two", 10))
		w.spooled(30)
	}},
	{"hard link", func(w *world) {
		w.must(os.Link(w.path(file), w.path("other.log")))
		w.expect("more", w.append("other.log", w.events("more", 10)))
		w.spooled(20)
	}},
	{"hole of NULs after a truncation", func(w *world) {
		w.must(os.Truncate(w.path(file), 0))
		f, err := os.OpenFile(w.path(file), os.O_WRONLY, 0)
		w.must(err)
		text := w.events("after the hole", 10)
		_, err = f.WriteAt([]byte(text), 10_000)
		w.must(err)
		w.must(f.Close())
		w.expect("after the hole", text)
		w.spooled(20)
	}},
	{"line longer than max_line_size", func(w *world) {
		w.stop()
		w.cfg.Inputs[0].MaxLineSize = "4KiB"
		w.append(file, strings.Repeat("long ", 3000)+"\n")
		w.expect("long", strings.Repeat("long ", 3000)+"\n")
		w.streams[len(w.streams)-1].MaxLine = 4096
	}},
	{"not UTF-8", func(w *world) {
		w.expect("latin", w.append(file, "caf\xe9 \xff\xfe\x80\n"))
		w.spooled(11)
	}},
	{"last line completed later", func(w *world) {
		whole := w.events("whole", 1)
		w.append(file, whole[:10])
		w.expect("more", w.append("b.log", w.events("more", 1)))
		w.spooled(11)
		w.append(file, whole[10:])
		w.expect("whole", whole)
		w.spooled(12)
	}},
	{"killed between rotations", func(w *world) {
		w.expect("tail", w.append(file, w.events("tail", 1000)))
		w.proc.Kill()
		w.proc = nil
		w.must(os.Rename(w.path(file), w.path(file+".1")))
		w.expect("new", w.append(file, w.events("new", 10)))
	}},
	{"directory that appears later", func(w *world) {
		w.stop()
		w.cfg.Inputs[0].Include = append(w.cfg.Inputs[0].Include, w.path("a/**/*.log"))
		w.start()
		w.must(os.MkdirAll(w.path("a/b/c/d"), 0o755))
		w.expect("late", w.append("a/b/c/d/late.log", w.events("late", 10)))
		w.spooled(10)
	}},
	{"rotated and compressed while stopped", func(w *world) {
		w.stop()
		w.expect("tail", w.append(file, w.events("tail", 1000)))
		w.compress(file, file+".2.gz")
		w.expect("unseen", w.append(file, w.events("unseen", 1000)))
		w.compress(file, file+".1.zst")
		w.expect("new", w.append(file, w.events("new", 10)))
	}},
	{"truncated while stopped, with a compressed copy", func(w *world) {
		w.stop()
		w.expect("tail", w.append(file, w.events("tail", 10)))
		w.copy(file, file+".1")
		w.compress(file+".1", file+".1.gz")
		w.must(os.Truncate(w.path(file), 0))
		w.expect("longer", w.append(file, w.events("longer", 1000)))
	}},
	{"compressed files that match", func(w *world) {
		w.stop()
		w.cfg.Inputs[0].Include = append(w.cfg.Inputs[0].Include, w.path("*.gz"), w.path("*.zst"))
		w.expect("gzip", w.append("gzip", w.events("gzip", 10_000)))
		w.expect("zstd", w.append("zstd", w.events("zstd", 10_000)))
		w.compress("gzip", "archive-20260101.gz")
		w.compress("zstd", "archive-20260102.zst")
		w.start()
		w.spooled(20_000)
		w.compress(file, file+".1.gz") // all of it was read
		w.expect("new", w.append(file, w.events("new", 10)))
		w.spooled(20_010)
	}},
	{"compressed file, cut off, completed later", func(w *world) {
		w.stop()
		w.cfg.Inputs[0].Include = append(w.cfg.Inputs[0].Include, w.path("*.gz"))
		w.expect("whole", w.append("whole", w.events("whole", 50_000)))
		w.compress("whole", "whole.gz")
		whole, err := os.ReadFile(w.path("whole.gz"))
		w.must(err)
		w.must(os.Truncate(w.path("whole.gz"), int64(len(whole)/2)))
		w.start()
		w.status("the problem", func(s agentproc.Status) bool {
			return len(s.Inputs[0].Errors) == 1 && strings.HasSuffix(s.Inputs[0].Errors[0].Path, "whole.gz")
		})
		w.expect("other", w.append("other.log", w.events("other", 10)))
		w.must(os.WriteFile(w.path("whole.gz"), whole, 0o644))
		w.spooled(50_010)
	}},
	{"killed in the middle of a compressed file", func(w *world) {
		w.stop()
		w.cfg.Inputs[0].Include = append(w.cfg.Inputs[0].Include, w.path("*.gz"))
		const lines = 100_000
		w.expect("large", w.append("large", w.events("large", lines)))
		w.compress("large", "large.gz")
		w.cfg.ReadRate = "4MiB/s" // so that there is a middle
		for _, n := range []int64{10_000, 20_000} {
			w.start()
			w.status("a part of it", func(s agentproc.Status) bool {
				if s.Inputs[0].Records >= lines-n {
					w.t.Errorf("%d records spooled before it was killed", s.Inputs[0].Records)
				}
				return s.Inputs[0].Records >= n
			})
			w.proc.Kill()
			w.proc = nil
		}
		w.cfg.ReadRate = ""
	}},
	{"deleted as soon as it was spooled", func(w *world) {
		w.expect("short", w.append("short.log", w.events("short", 10)))
		w.spooled(20)
		w.must(os.Remove(w.path("short.log")))
	}},
}

// compress puts a compressed copy in a file's place, as compressors do.
func (w *world) compress(from, to string) {
	w.t.Helper()
	text, err := os.ReadFile(w.path(from))
	w.must(err)
	info, err := os.Stat(w.path(from))
	w.must(err)
	f, err := os.Create(w.path(to))
	w.must(err)
	var z io.WriteCloser = gzip.NewWriter(f)
	if filepath.Ext(to) == ".zst" {
		z, err = zstd.NewWriter(f)
		w.must(err)
	}
	_, err = z.Write(text)
	w.must(errors.Join(err, z.Close(), f.Close()))
	w.must(os.Chtimes(w.path(to), info.ModTime(), info.ModTime()))
	w.must(os.Remove(w.path(from)))
}

// copy copies a file as cp does.
func (w *world) copy(from, to string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path(from))
	w.must(err)
	w.must(os.WriteFile(w.path(to), b, 0o644))
}

func TestFiles(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.expect("first", w.append(file, w.events("first", 10)))
			w.start()
			w.spooled(10)
			row.run(w)
			w.arrives()
		})
	}
}
