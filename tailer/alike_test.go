package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A report that is the same each time is a new file each time, whatever became of
// the one before.
func TestSameReportAgain(t *testing.T) {
	for _, size := range []int{3, 60} {
		report := strings.Repeat("backup: ok, 3 files\n", size)
		for _, c := range []struct {
			what string
			end  func(f *fixture, name string)
		}{
			{"kept", func(*fixture, string) {}},
			{"removed", func(f *fixture, name string) { f.remove(name) }},
			{"compressed", func(f *fixture, name string) {
				i, err := os.Stat(f.path(name))
				f.must(err)
				f.must(os.WriteFile(f.path(name+".gz"), pack(f.t, ".gz", report, 1), 0o644))
				f.must(os.Chtimes(f.path(name+".gz"), i.ModTime(), i.ModTime()))
				f.remove(name)
			}},
		} {
			for _, restart := range []bool{false, true} {
				for _, between := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d lines, %s, restart %v, seen between %v", size, c.what, restart, between), func(t *testing.T) {
						f := newFixture(t, "backup-*.log")
						var want string
						for day := range 4 {
							name := fmt.Sprintf("backup-2026-11-2%d.log", day)
							f.append(name, report)
							want += report
							f.step()
							f.pass(idle)
							f.pass(idle)
							c.end(f, name)
							if between {
								f.pass(time.Minute)
								f.pass(time.Minute)
							}
							f.tick()
							if restart {
								f.restart(func() {})
							}
						}
						f.pass(idle)
						f.pass(idle)
						if got := f.c.text(); got != want {
							t.Errorf("%d of %d bytes", len(got), len(want))
						}
					})
				}
			}
		}
	}
}

// The same under one numbered name: births tell.
func TestSameReportUnderItsName(t *testing.T) {
	f := newFixture(t, "report.*")
	var want string
	for range 3 {
		f.append("report.1", "the same\n")
		want += "the same\n"
		f.step()
		f.pass(idle)
		f.remove("report.1")
		f.pass(time.Minute)
		f.pass(time.Minute)
		f.tick()
	}
	f.want(want)
}

// rsync brings the new log first, and what it was rotated from a minute later.
func TestRotatedElsewhere(t *testing.T) {
	for _, keepsTimes := range []bool{true, false} {
		for _, lines := range []int{2, 60} {
			f := newFixture(t, "*")
			at := time.Now().Add(-time.Hour)
			sync := func(name, text string) {
				at = at.Add(time.Second)
				f.append("."+name+".Xy12aB", text)
				if keepsTimes {
					f.must(os.Chtimes(f.path("."+name+".Xy12aB"), at, at))
				}
				f.step()
				f.rename("."+name+".Xy12aB", name)
				f.step()
			}
			old := ""
			for n := range lines {
				old += fmt.Sprintf("line %d of the old log\n", n)
			}
			sync("app.log", old)
			f.pass(time.Minute)
			at = at.Add(time.Minute)
			sync("app.log", "the new log\n")
			f.pass(time.Minute)
			f.pass(time.Minute)
			at = at.Add(-30 * time.Second)
			sync("app.log.1", old+"its last line\n")
			f.pass(time.Minute)
			f.pass(time.Minute)
			if !keepsTimes && lines == 2 {
				continue // a few bytes that are younger than the next log may be another one's
			}
			f.want(old + "the new log\nits last line\n")
		}
	}
}
