package tailer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// cat app.log >> app.log.1 && : > app.log, with looks anywhere.
func TestAppendedToArchive(t *testing.T) {
	for _, lines := range []int{1, 5, 40} {
		for _, pattern := range []string{"*.log", "*.log*"}[:min(lines, 2)] {
			for when := range 32 {
				t.Run(fmt.Sprintf("%d %s %05b", lines, pattern, when), func(t *testing.T) {
					f := newFixture(t, pattern)
					look := func(bit int, d time.Duration) {
						if when&(1<<bit) != 0 {
							f.pass(d)
						}
					}
					text := func(what string) (s string) {
						for n := range lines {
							s += fmt.Sprintf("%s %d\n", what, n)
						}
						return s
					}
					want := text("first")
					f.append("a.log", want)
					f.step()
					f.rename("a.log", "a.log.1")
					f.append("a.log", "")
					f.pass(time.Second)
					if when&16 != 0 {
						f.pass(idle)
						f.pass(idle)
					}
					for round := range 3 {
						log := text(fmt.Sprint("round ", round))
						want += log
						f.append("a.log", log)
						f.step()
						more := fmt.Sprintf("the last line of %d\n", round)
						want += more
						f.append("a.log", more)
						look(0, time.Second)
						half := len(log) / 2
						f.append("a.log.1", log[:half])
						look(1, time.Second)
						f.append("a.log.1", log[half:]+more)
						look(2, time.Second)
						if when&8 != 0 {
							f.restart(func() {})
						}
						f.truncate("a.log")
						look(3, time.Minute)
						f.tick()
					}
					for range 4 {
						f.pass(idle)
					}
					if got := sorted(f.c.text()); got != sorted(want) {
						t.Errorf("%d of %d lines", strings.Count(got, "\n"), strings.Count(want, "\n"))
					}
					if lost := f.stats().LostBytes; lost != 0 {
						t.Errorf("%d bytes counted as lost", lost)
					}
				})
			}
		}
	}
}

// A writer that has not noticed the rotation adds lines like those of the new log.
func TestLateLinesLikeTheLog(t *testing.T) {
	for _, old := range []string{"the same\n", "the same\nothers\n"} {
		f := newFixture(t, "*.log")
		f.append("a.log", old)
		f.step()
		f.rename("a.log", "a.log.1")
		f.append("a.log", "the same\n")
		f.step()
		f.append("a.log.1", "the same\n")
		f.pass(time.Second)
		f.append("a.log.1", "late\n")
		f.pass(time.Second)
		f.pass(idle)
		if got, want := sorted(f.c.text()), sorted(old+"the same\nthe same\nlate\n"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
