package tailer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// removing is a fixture that deletes what its files are delivered of.
func removing(t *testing.T, patterns ...string) (f *fixture, delivered map[string]bool) {
	f, delivered = newFixture(t, patterns...), map[string]bool{}
	f.clock.t = time.Now().Add(2 * time.Hour) // the files are that old
	f.o.Inputs[0].DeleteAfter = time.Hour
	f.o.Delivered = func(_ int, files []uint64) (yes []uint64) {
		for _, d := range f.inputs[0].done {
			if slices.Contains(files, d.pos.File) && delivered[d.pos.Path] {
				yes = append(yes, d.pos.File)
			}
		}
		return yes
	}
	f.restart(func() {})
	return f, delivered
}

func (f *fixture) exists(name string) bool {
	_, err := os.Lstat(f.path(name))
	return err == nil
}

// rotated has a.log.1 read to its end, and a.log in its place.
func (f *fixture) rotated() {
	f.append("a.log", "one\ntwo\n")
	f.step()
	f.rename("a.log", "a.log.1")
	f.append("a.log", "three\n")
	f.step()
	f.pass(idle)
}

// Case: a rotated file is delivered; then it goes. What is at home stays.
func TestRemoveDelivered(t *testing.T) {
	f, delivered := removing(t, "*.log")
	f.rotated()
	f.pass(idle)
	if !f.exists("a.log.1") {
		t.Fatal("removed before it was delivered")
	}
	delivered[f.path("a.log")] = true
	f.step()
	if f.exists("a.log.1") || !f.exists("a.log") {
		t.Errorf("rotated: %v, at home: %v", f.exists("a.log.1"), f.exists("a.log"))
	}
	if names, err := os.ReadDir(f.dir); err != nil || len(names) != 1 {
		t.Errorf("%v is left, %v", names, err)
	}
	if n := f.stats().Removed; n != 1 {
		t.Errorf("%d files count as removed", n)
	}
	f.append("a.log", "four\n")
	f.step()
	f.restart(func() {})
	f.step()
	f.want("one\ntwo\nthree\nfour\n")
	if n := f.stats().LostBytes; n != 0 {
		t.Errorf("%d bytes count as lost", n)
	}
}

// Case by case, what must stay although the last byte read of it is delivered.
func TestRemoveKeeps(t *testing.T) {
	for name, c := range map[string]struct {
		first, then func(f *fixture)
	}{
		"young": {first: func(f *fixture) { f.clock.t = time.Now().Add(30 * time.Minute) }},
		"grown": {then: func(f *fixture) { f.append("a.log.1", "more\n") }},
		"changed in its beginning": {then: func(f *fixture) {
			i, err := statPath(f.path("a.log.1"))
			f.must(err)
			f.must(os.WriteFile(f.path("a.log.1"), []byte("eno\ntwo\n"), 0o644))
			at := time.Unix(0, i.mtime)
			f.must(os.Chtimes(f.path("a.log.1"), at, at))
		}},
		"linked": {then: func(f *fixture) { f.must(os.Link(f.path("a.log.1"), f.path("backup"))) }},
		"another input's": {first: func(f *fixture) {
			f.o.Inputs = append(f.o.Inputs, Input{Name: "other", Include: []string{f.path("a.log.*")}, MaxLineSize: testLine, Paused: true})
		}},
		"not rotated": {then: func(f *fixture) { f.rename("a.log.1", "a.log") }},
		"turned off":  {first: func(f *fixture) { f.o.Inputs[0].DeleteAfter = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			f, delivered := removing(t, "*.log")
			if c.first != nil {
				c.first(f)
				f.restart(func() {})
			}
			f.rotated()
			if c.then != nil {
				c.then(f)
			}
			delivered[f.path("a.log")] = true
			f.step()
			if c.then != nil && name == "grown" {
				f.pass(idle) // it is finished again, but young
			}
			if !f.exists("a.log.1") && (name != "not rotated" || !f.exists("a.log")) {
				t.Error("removed")
			}
		})
	}
}

// Case: between the check and the deletion the name is given to another file,
// as rotations do. That one gets its name back.
func TestRemoveLosesItsName(t *testing.T) {
	f, _ := removing(t, "*.log")
	f.rotated()
	var done *file
	for _, d := range f.inputs[0].done {
		done = d
	}
	f.openFD = func(path string) (int, error) {
		fd, err := openRead(path)
		f.rename("a.log.1", "a.log.2")
		f.rename("a.log", "a.log.1")
		return fd, err
	}
	removed, err := f.removeFile(t.Context(), done)
	if removed || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	f.openFD = openRead
	for name, want := range map[string]string{"a.log.2": "one\ntwo\n", "a.log.1": "three\n"} {
		if got, err := os.ReadFile(f.path(name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if names, err := os.ReadDir(f.dir); err != nil || len(names) != 2 {
		t.Errorf("%v is left, %v", names, err)
	}
}

// Case: the agent is killed while a file is deleted, before or after another
// file gets its name. At the next start it has its name again, if no other has.
func TestRemoveCutOff(t *testing.T) {
	for _, c := range []struct {
		name string
		down func(*fixture)
		left []string
	}{
		{"left alone", func(*fixture) {}, []string{"a.log"}},
		{"linked, too", func(f *fixture) {
			f.must(os.Link(f.path(".a.log.1.spoolship-1"), f.path("a.log.1")))
		}, []string{"a.log"}},
		{"rotated meanwhile", func(f *fixture) {
			f.rename("a.log", "a.log.1")
			f.append("a.log", "four\n")
		}, []string{".a.log.1.spoolship-1", "a.log", "a.log.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, delivered := removing(t, "*.log")
			f.o.Hook = errors.New
			f.restart(func() {})
			f.rotated()
			delivered[f.path("a.log")] = true
			f.step()
			if f.exists("a.log.1") || !f.exists(".a.log.1.spoolship-1") {
				t.Fatal("not cut off where it was to be")
			}
			f.o.Hook = nil
			f.restart(func() { c.down(f) })
			f.step()
			f.pass(idle)
			names, err := os.ReadDir(f.dir)
			f.must(err)
			var left []string
			for _, n := range names {
				left = append(left, n.Name())
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("%v is left, want %v", left, c.left)
			}
			if text := f.c.text(); strings.Count(text, "one\n") != 1 || strings.Count(text, "three\n") != 1 || f.stats().LostBytes != 0 {
				t.Errorf("handed on %q, %d bytes lost", text, f.stats().LostBytes)
			}
		})
	}
}

// Case: the name was given to another file, and the agent is killed before that
// one has it again: no line of it is lost.
func TestRemoveCutOffWithAnother(t *testing.T) {
	f, _ := removing(t, "*.log")
	f.rotated()
	f.restart(func() {
		f.append(".a.log.spoolship-7", "other\n")
		f.rename("a.log", "gone.1")
	})
	f.step()
	f.want("one\ntwo\nthree\nother\n")
}

// What somebody may still write to, or no pattern names, is not deleted, however
// much of it is delivered.
func TestRemoveSpares(t *testing.T) {
	for name, c := range map[string]struct {
		pattern string
		write   func(f *fixture) // makes spared, and what is beside it
		spared  string
	}{
		"dated, beside an undated one": {"*.log", func(f *fixture) {
			f.append("laravel.log", "one\n")
			f.append("laravel-2026-11-29.log", "two\n")
		}, "laravel-2026-11-29.log"},
		"numbered": {"out*", func(f *fixture) {
			f.append("out", "one\n")
			f.append("out.1", "two\n")
		}, "out.1"},
		"dated, found later": {"app.log*", func(f *fixture) {
			f.append("app.log", "one\n")
			f.step()
			f.tick()
			f.append("app.log.2026-11-29", "two\n")
		}, "app.log.2026-11-29"},
		"sibling of a link's target": {"links/*.log", func(f *fixture) {
			f.append("links/x", "")
			f.append("pods/0.log", "one\n")
			f.must(os.Symlink(f.path("pods/0.log"), f.path("links/a.log")))
			f.step()
			f.rename("pods/0.log", "pods/0.log.1")
			f.append("pods/0.log", "two\n")
		}, "pods/0.log.1"},
		"rotated, and still open": {"*.log", func(f *fixture) {
			f.append("a.log", "one\n")
			f.step()
			w, err := os.OpenFile(f.path("a.log"), os.O_APPEND|os.O_WRONLY, 0)
			f.must(err)
			f.t.(*testing.T).Cleanup(func() { w.Close() })
			f.rename("a.log", "a.log.1")
			f.append("a.log", "two\n")
		}, "a.log.1"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := removing(t, c.pattern)
			f.o.Delivered = func(_ int, files []uint64) []uint64 { return files }
			f.restart(func() {})
			c.write(f)
			f.step()
			f.pass(idle)
			f.pass(idle)
			f.pass(2 * time.Hour)
			if !f.exists(c.spared) {
				t.Errorf("removed %s", c.spared)
			}
		})
	}
}

// A directory above is swapped for another, or for a link, while a file in it is
// deleted: nothing there is touched.
func TestRemoveInSwappedDirectory(t *testing.T) {
	for name, swap := range map[string]func(f *fixture){
		"another": func(*fixture) {},
		"link": func(f *fixture) {
			f.rename("logs/app", "logs/app.target")
			f.must(os.Symlink("app.target", f.path("logs/app")))
		},
		"link to the same": func(f *fixture) {
			f.must(os.RemoveAll(f.path("logs/app")))
			f.must(os.Symlink("../away", f.path("logs/app")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := removing(t, "logs/**/*.log")
			f.append("logs/app/a.log", "one\n")
			f.step()
			f.rename("logs/app/a.log", "logs/app/a.log.1")
			f.append("logs/app/a.log", "two\n")
			f.step()
			f.pass(idle)
			done := f.inputs[0].done[0]
			f.openFD = func(path string) (int, error) {
				fd, err := openRead(path)
				f.rename("logs/app", "away")
				f.append("logs/app/a.log.1", "precious\n")
				swap(f)
				return fd, err
			}
			removed, _ := f.removeFile(t.Context(), done)
			f.openFD = openRead
			if removed || !f.exists("logs/app/a.log.1") || !f.exists("away/a.log.1") {
				t.Errorf("removed: %v", removed)
			}
		})
	}
}

// It is written to between the first look and the last: then it keeps its name.
func TestRemoveWrittenTo(t *testing.T) {
	for name, write := range map[string]func(f *fixture, path string){
		"more": func(f *fixture, path string) { f.append(filepath.Base(path), "more\n") },
		"other bytes": func(f *fixture, path string) {
			f.must(os.WriteFile(path, []byte("eno\ntwo\n"), 0o644))
		},
		"other bytes, old time": func(f *fixture, path string) {
			i, err := os.Stat(path)
			f.must(err)
			f.must(os.WriteFile(path, []byte("eno\ntwo\n"), 0o644))
			f.must(os.Chtimes(path, i.ModTime(), i.ModTime()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, delivered := removing(t, "*.log")
			f.o.Hook = func(string) error {
				write(f, f.path(".a.log.1.spoolship-1"))
				return nil
			}
			f.restart(func() {})
			f.rotated()
			delivered[f.path("a.log")] = true
			f.step()
			if !f.exists("a.log.1") || f.exists(".a.log.1.spoolship-1") {
				names, _ := os.ReadDir(f.dir)
				t.Errorf("%v is left", names)
			}
		})
	}
}

// Case: the directory can't be written to. Once, a warning says what to do.
func TestRemoveIsRefused(t *testing.T) {
	f, delivered := removing(t, "*.log")
	var log bytes.Buffer
	f.o.Logger = newLogger(&log)
	f.restart(func() {})
	f.rotated()
	delivered[f.path("a.log")] = true
	f.openFD = func(string) (int, error) { return -1, unix.EROFS }
	f.asked = true
	f.inputs[0].done[0].checked = true
	f.must(f.scan(t.Context()))
	f.must(f.scan(t.Context()))
	if n := strings.Count(log.String(), "ReadWritePaths="); n != 1 || !f.exists("a.log.1") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

// Compressed files that were read to their end go, too.
func TestRemoveCompressed(t *testing.T) {
	f, delivered := removing(t, "*.gz")
	f.packed("a.log.1.gz", "one\ntwo\n", 1)
	f.step()
	f.pass(idle)
	f.want("one\ntwo\n")
	delivered[f.path("a.log.1.gz")] = true
	f.step()
	if f.exists("a.log.1.gz") {
		t.Error("it is still there")
	}
}
