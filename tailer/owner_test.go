package tailer

import (
	"os"
	"strings"
	"testing"
	"time"
)

// Another user of a shared directory makes files that begin like a log of which
// little was read, or is, and go on with her own lines.
func TestPlantedCopies(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make files of two users")
	}
	for _, pattern := range []string{"*.log", "*.log*"} {
		for _, name := range []string{"a.log.1", "a.log.1.gz", "a.log.1.zst"} {
			for _, lines := range []int{1, 60} {
				t.Run(pattern+" "+name, func(t *testing.T) {
					f := newFixture(t, pattern)
					f.must(os.Chmod(f.dir, 0o777|os.ModeSticky))
					owned := func(name, text string, uid int) {
						f.must(os.WriteFile(f.path(name), []byte(text), 0o644))
						f.must(os.Lchown(f.path(name), uid, uid))
					}
					text := strings.Repeat("the owner's line\n", lines)
					owned("a.log", text, 1000)
					f.step()
					plant := func(text string) {
						text += "a forged line\n"
						if end := strings.TrimPrefix(name, "a.log.1"); end != "" {
							text = string(pack(t, end, text, 1))
						}
						owned(name, text, 1001)
					}
					for range 5 {
						plant(text)
						f.append("a.log", "more\n")
						text += "more\n"
						f.pass(3 * time.Second)
						f.want(text)
					}
					f.pass(time.Minute)
					f.restart(func() {})
					f.step()
					plant(text)
					f.pass(time.Minute)
					f.want(text)
					// Then the log is truncated, or deleted and begun anew.
					f.truncate("a.log")
					f.append("a.log", "after\n")
					f.pass(time.Minute)
					f.pass(time.Minute)
					f.want(text + "after\n")
					f.remove("a.log")
					owned("a.log", "a new one\n", 1000)
					f.pass(time.Minute)
					f.pass(time.Minute)
					f.want(text + "after\na new one\n")
				})
			}
		}
	}
}

// Root's copies are copies, and so are the owner's.
func TestCopiesOfRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make files of two users")
	}
	for _, uid := range []int{0, 1000} {
		f := newFixture(t, "*.log*")
		f.must(os.Chmod(f.dir, 0o777|os.ModeSticky))
		f.append("a.log", "one\ntwo\n")
		f.must(os.Lchown(f.path("a.log"), 1000, 1000))
		f.step()
		f.append("a.log", "three\n")
		f.tick()
		f.copy("a.log", "a.log.1")
		f.must(os.Lchown(f.path("a.log.1"), uid, uid))
		f.truncate("a.log")
		f.append("a.log", "four\n")
		f.step()
		f.pass(time.Minute)
		f.want("one\ntwo\nthree\nfour\n")
	}
}
