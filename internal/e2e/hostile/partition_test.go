//go:build e2e

package hostile

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever writes another value into each line does not begin as many objects:
// they would take pages of the spool, and the uploads of other inputs.
func TestManyPartitions(t *testing.T) {
	const (
		values   = 20_000
		mostOpen = 1000     // chunks
		mostDisk = 16 << 20 // bytes
		late     = "{queue}-{chunk}-{records}-{id}\"\n"
	)
	byLine := func(line func(i int) string) func(dir string) error {
		return func(dir string) error {
			var b strings.Builder
			for i := range values {
				b.WriteString(line(i))
			}
			return os.WriteFile(filepath.Join(dir, "app.log"), []byte(b.String()), 0o644)
		}
	}
	field := byLine(func(i int) string { return fmt.Sprintf("{\"user\":%d}\n", i) })
	for _, tt := range []struct {
		input    string
		settings string
		mostLate time.Duration // of another input's line, to the bucket
		write    func(dir string) error
	}{
		{"20,000 values of {field:user}", "key = \"u={field:user}/" + late, 5 * time.Second, field},
		{"20,000 random times, keys by minute", "time_field = \"t\"\nkey = \"{time:2006/01/02/15/04}/" + late, 5 * time.Second, byLine(func(i int) string {
			return fmt.Sprintf("{\"t\":%d}\n", uint64(i)*0x9e3779b97f4a7c15%2e9)
		})},
		{"20,000 names, keys by {file} and {dir}", "key = \"{dir}/{file}/" + late, 20 * time.Second, func(dir string) error {
			for i := range values {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.log", i)), []byte("{}\n"), 0o644); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		t.Run(tt.input, func(t *testing.T) {
			w := newWorld(t, "json")
			if err := tt.write(w.Logs()); err != nil {
				t.Fatal(err)
			}
			seen := w.besideOther(tt.settings, func(s *memStatus) bool { return s.Inputs[1].Records == values && s.OpenChunks+s.SealedChunks < 50 })
			of := seen.Inputs[1]
			ok := seen.ok(t) && seen.open <= mostOpen && seen.disk <= mostDisk && seen.late <= tt.mostLate && of.Overflow >= values-mostOpen
			row(t, ok, tt.input,
				fmt.Sprintf("%d chunks, %d MiB of disk, %d records overflow, another input is late %.1f s", seen.open, seen.disk>>20, of.Overflow, seen.late.Seconds()),
				fmt.Sprintf("%d chunks, %d MiB, %.0f s", mostOpen, mostDisk>>20, tt.mostLate.Seconds()))
		})
	}
}

// While the store is away, objects of one short line each fill the spool by what
// they take on disk: the state directory stays near max_size, and another input is
// read on.
func TestTinyObjectsInAFullSpool(t *testing.T) {
	const (
		values  = 20_000
		maxSize = 8 << 20
		most    = 2*maxSize + 1<<20 + 4<<20 // a segment, the ballast; see max_size in config.example.toml
		watched = 2 * time.Second           // after the input is blocked
	)
	for _, tt := range []struct{ input, chunk string }{
		{"20,000 values of {field:user} and 100 more each 50 ms, S3 down", ""},
		{"the same, few objects open at a time", "max_open = 2\n"},
		{"the same, not compressed", "compression = \"none\"\n"},
	} {
		t.Run(tt.input, func(t *testing.T) {
			w := newWorld(t, "json")
			w.cfg.SpoolSize, w.cfg.ChunkSize, w.cfg.SegmentSize = "8MiB", "1MiB", "1MiB"
			w.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusServiceUnavailable) })
			path, users := filepath.Join(w.Logs(), "app.log"), 0
			write := func(n int) {
				var b strings.Builder
				for range n {
					fmt.Fprintf(&b, "{\"user\":%d}\n", users)
					users++
				}
				appendTo(t, path, b.String())
			}
			write(values)
			var disk int64
			var blocked time.Time
			settings := "key = \"u={field:user}/{queue}-{chunk}-{records}-{id}\"\n[input.chunk]\nmax_new = 1000000\n" + tt.chunk
			seen := w.besideOther(settings, func(s *memStatus) bool {
				write(100)
				disk = max(disk, onDisk(w.cfg.StateDir))
				for _, p := range s.Problems {
					if p.Cause == "blocked" && p.Input == "hostile" && blocked.IsZero() {
						blocked = time.Now()
					}
				}
				return !blocked.IsZero() && time.Since(blocked) > watched
			})
			ok := seen.ok(t) && disk <= most && seen.Inputs[1].Records < int64(users)
			row(t, ok, tt.input,
				fmt.Sprintf("%.1f MiB of state_dir, %d objects, another input lags %.1f s", float64(disk)/(1<<20), seen.open, seen.lag.Seconds()),
				fmt.Sprintf("%d MiB at max_size = 8 MiB, %.0f s", most>>20, mostLag.Seconds()))
		})
	}
}

// onDisk returns the bytes that the files below dir occupy.
func onDisk(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // deleted meanwhile
		}
		if info, err := e.Info(); err == nil && !e.IsDir() {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}
