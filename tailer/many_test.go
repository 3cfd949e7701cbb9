package tailer

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Any number of files that can't be read are twenty lines and a number, however
// long that goes on, and whatever kind they are of; others are read.
func TestManyUnreadable(t *testing.T) {
	const n = 300
	for name, c := range map[string]struct {
		make   func(f *fixture, name string) error
		errors int
	}{
		"links in a circle":   {func(f *fixture, name string) error { return os.Symlink(name, f.path(name)) }, n},
		"links to nowhere":    {func(f *fixture, name string) error { return os.Symlink("nowhere", f.path(name)) }, 0},
		"files that are shut": {func(f *fixture, name string) error { return os.WriteFile(f.path(name), []byte("x\n"), 0o600) }, n},
		"named pipes":         {func(f *fixture, name string) error { return syscall.Mkfifo(f.path(name), 0o600) }, 0},
		"directories":         {func(f *fixture, name string) error { return os.Mkdir(f.path(name), 0o700) }, 0},
		"damaged archives": {func(f *fixture, name string) error {
			return os.WriteFile(f.path(name)+".gz", []byte("\x1f\x8bno"), 0o600)
		}, n},
		"unknown compressions": {func(f *fixture, name string) error { return os.WriteFile(f.path(name)+".xz", []byte("x"), 0o600) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "*.log*")
			var log strings.Builder
			f.log = newLogger(&log)
			open := f.openFD
			f.openFD = func(path string) (int, error) {
				if name == "files that are shut" && !strings.HasSuffix(path, "good.log") {
					return -1, unix.EACCES
				}
				return open(path)
			}
			for i := range n {
				f.must(c.make(f, fmt.Sprintf("%03d.log", i)))
			}
			f.append("good.log", "one\n")
			for range 5 {
				f.pass(20 * time.Second)
			}
			f.want("one\n")
			s := f.stats()
			if len(s.Errors) > shown || len(s.Errors)+s.MoreErrors != c.errors {
				t.Errorf("%d errors are named and %d more counted, want %d", len(s.Errors), s.MoreErrors, c.errors)
			}
			if lines := strings.Count(log.String(), "\n"); lines > shown+1 {
				t.Errorf("%d lines are logged", lines)
			}
			if c.errors > 0 && !strings.Contains(log.String(), fmt.Sprintf("files=%d", n-shown)) {
				t.Errorf("the log has no count:\n%s", log.String())
			}
			log.Reset()
			names, err := os.ReadDir(f.dir)
			f.must(err)
			for _, e := range names {
				if e.Name() != "good.log" {
					f.remove(e.Name())
				}
			}
			f.pass(time.Second)
			f.pass(time.Second)
			f.pass(time.Second)
			if s := f.stats(); len(s.Errors)+s.MoreErrors > 0 && name != "files that are shut" {
				t.Errorf("all are gone: %d errors, %d more", len(s.Errors), s.MoreErrors)
			}
			if lines := strings.Count(log.String(), "\n"); lines > 2*shown+2 {
				t.Errorf("%d lines are logged once they are gone:\n%s", lines, log.String())
			}
		})
	}
}
