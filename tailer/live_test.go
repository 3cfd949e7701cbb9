package tailer

import (
	"os"
	"testing"
	"time"
)

// Programs write to dated and numbered files beside an undated one. Such a file may
// be quiet for long in the middle of a line.
func TestLiveUnderRotatedName(t *testing.T) {
	for _, name := range []string{"laravel-2026-11-29.log", "laravel.log.1", "laravel.log-20261129", "laravel.log.0"} {
		for _, beside := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				f := newFixture(t, "*.log*")
				f.o.Inputs[0].DeleteAfter = time.Second
				f.o.Delivered = func(_ int, files []uint64) []uint64 { return files }
				f.kill()
				f.start()
				if beside {
					f.append("laravel.log", "undated\n")
					f.step()
					f.tick()
				}
				f.append(name, "one\ntw")
				f.step()
				f.pass(idle)
				f.pass(idle)
				f.append(name, "o\nthr")
				f.pass(idle)
				f.pass(idle)
				f.restart(func() {})
				f.pass(idle)
				f.pass(idle)
				f.append(name, "ee\nfour\n")
				f.pass(idle)
				f.pass(idle)
				f.append(name, "five\n")
				f.pass(idle)
				want := "one\ntwo\nthree\nfour\nfive\n"
				if beside {
					want = "undated\n" + want
				}
				f.want(want)
				if _, err := os.Stat(f.path(name)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// The next day's file ends it, and so does another name, or none.
func TestLiveNoMore(t *testing.T) {
	for what, end := range map[string]func(f *fixture){
		"next": func(f *fixture) { f.append("app-2026-11-30.log", "next\n") },
		"name": func(f *fixture) {
			f.rename("app-2026-11-29.log", "app-2026-11-29.log.1")
			f.append("app-2026-11-29.log", "next\n")
		},
		"none": func(f *fixture) { f.remove("app-2026-11-29.log"); f.append("app-2026-11-30.log", "next\n") },
	} {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t, "app-*.log")
			f.append("app.log", "not wanted\n")
			f.append("app-2026-11-29.log", "one\nlast")
			f.step()
			f.append("app-2026-11-29.log", "!")
			f.step()
			end(f)
			for range 3 {
				f.pass(idle)
			}
			f.want("one\nlast!next\n")
		})
	}
}
