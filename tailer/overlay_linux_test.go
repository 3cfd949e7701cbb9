package tailer

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// overlay mounts an overlay file system at m, whose lower layer has a.log.
func (f *fixture) overlay(text string) {
	f.t.Helper()
	for _, d := range []string{"layers", "m"} {
		f.must(os.Mkdir(f.path(d), 0o755))
	}
	mount := func(kind, target, options string) {
		f.t.Helper()
		if err := unix.Mount(kind, target, kind, 0, options); err != nil {
			f.t.Skipf("skipped: mounting %s: %v", kind, err)
		}
		f.t.Cleanup(func() {
			if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
				f.t.Error(err)
			}
		})
	}
	mount("tmpfs", f.path("layers"), "size=1m") // an upper layer can't lie on an overlay
	for _, d := range []string{"lower", "upper", "work"} {
		f.must(os.Mkdir(f.path("layers/"+d), 0o755))
	}
	f.append("layers/lower/a.log", text)
	mount("overlay", f.path("m"), fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", f.path("layers")))
}

func TestCopiedUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(f *fixture)
		want   string
	}{
		{"appended", func(f *fixture) { f.append("m/a.log", "two\n") }, "one\ntwo\n"},
		{"nothing new", func(f *fixture) { f.append("m/a.log", "") }, "one\n"},
		{"renamed", func(f *fixture) {
			f.append("m/a.log", "two\n")
			f.rename("m/a.log", "m/a.log.1")
			f.append("m/a.log", "new\n")
		}, "one\ntwo\nnew\n"},
		{"deleted", func(f *fixture) {
			f.append("m/a.log", "two\n")
			f.remove("m/a.log")
			f.append("m/a.log", "new\n")
		}, "one\ntwo\nnew\n"},
		{"truncated", func(f *fixture) {
			f.truncate("m/a.log")
			f.append("m/a.log", "other\n")
		}, "one\nother\n"},
	} {
		for _, how := range []string{"running", "closed", "stopped"} {
			if how != "running" && c.name == "deleted" {
				continue // nobody can read it then
			}
			t.Run(c.name+" "+how, func(t *testing.T) {
				f := newFixture(t, "m/*.log")
				f.overlay("one\n")
				f.step()
				switch how {
				case "running":
					c.happen(f)
				case "closed":
					f.pass(idle)
					c.happen(f)
				case "stopped":
					f.restart(func() { c.happen(f) })
				}
				for range 3 {
					f.step()
					f.pass(idle)
				}
				f.want(c.want)
				if s := f.stats(); s.LostBytes != 0 {
					t.Errorf("stats: %+v", s)
				}
			})
		}
	}
}
