//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
