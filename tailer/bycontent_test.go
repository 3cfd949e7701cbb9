package tailer

import (
	"os"
	"strings"
	"testing"
)

// byContent is a fixture that is not to go by inodes.
func byContent(t *testing.T, patterns ...string) *fixture {
	f := newFixture(t, patterns...)
	f.o.Inputs[0].ByContent = true
	f.restart(func() {})
	return f
}

// What happens to files that are recognised by their bytes alone. Each case begins with
// one line of a.log that was read.
func TestByContent(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(f *fixture)
		want    string
	}{
		"grew": {func(f *fixture) { f.append("a.log", "two\n") }, "two\n"},
		"renamed": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.rename("a.log", "a.log.1")
			f.append("a.log", "three\n")
			f.append("a.log.1", "late\n")
		}, "two\nlate\nthree\n"},
		"renamed, nothing in its place": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.rename("a.log", "a.log.1")
			f.step()
			f.append("a.log", "three\n")
		}, "two\nthree\n"},
		"renamed, the next is longer": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.rename("a.log", "a.log.1")
			f.append("a.log", strings.Repeat("three\n", 9))
		}, "two\n" + strings.Repeat("three\n", 9)},
		"renamed twice": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.rename("a.log", "a.log.1")
			f.append("a.log", "three\n")
			f.step()
			f.pass(idle)
			f.rename("a.log.1", "a.log.2")
			f.rename("a.log", "a.log.1")
			f.append("a.log", "four\n")
		}, "two\nthree\nfour\n"},
		"deleted, and begun anew": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.remove("a.log")
			f.append("a.log", "one\nthree\n")
		}, "two\none\nthree\n"},
		"copied and truncated": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.copy("a.log", "a.log.1")
			f.truncate("a.log")
			f.append("a.log", "three\n")
		}, "two\nthree\n"},
		"renamed while down": {func(f *fixture) {
			f.restart(func() {
				f.append("a.log", "two\n")
				f.rename("a.log", "a.log.1")
				f.append("a.log", "three\n")
			})
		}, "two\nthree\n"},
		"grew while down": {func(f *fixture) { f.restart(func() { f.append("a.log", "two\n") }) }, "two\n"},
		"written anew by an editor": {func(f *fixture) {
			f.must(os.WriteFile(f.path("new"), []byte("one\ntwo\n"), 0o644))
			f.rename("new", "a.log")
		}, "two\n"},
		"compressed": {func(f *fixture) {
			f.append("a.log", "two\n")
			f.rename("a.log", "a.log.1")
			f.append("a.log", "three\n")
			f.step()
			f.compress("a.log.1", "a.log.1.gz", 1)
		}, "two\nthree\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := byContent(t, "*.log")
			f.append("a.log", "one\n")
			f.step()
			c.happens(f)
			for range 3 {
				f.step()
				f.pass(idle)
			}
			f.want("one\n" + c.want)
			if n := f.stats().LostBytes; n != 0 {
				t.Errorf("%d bytes count as lost", n)
			}
			f.restart(func() {}) // nothing is read again
			f.step()
			f.want("one\n" + c.want)
		})
	}
}

// What was followed by inodes before is found by its bytes, and the other way
// round.
func TestIdentityChanges(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	for _, by := range []bool{true, false} {
		f.restart(func() {
			f.o.Inputs[0].ByContent = by
			f.append("a.log", "more\n")
		})
		f.step()
		f.pass(idle)
	}
	f.want("one\nmore\nmore\n")
}

// A finished file gets another name and grows while nobody looks. Of more than a
// header's length it is known again, and only what is new of it is read.
func TestByContentGrownElsewhere(t *testing.T) {
	f := byContent(t, "*.log")
	text := strings.Repeat("one\n", headSize/4) + "more\n"
	f.append("a.log", text)
	f.step()
	f.rename("a.log", "a.log.1")
	f.append("a.log", "two\n")
	for range 3 {
		f.step()
		f.pass(idle)
	}
	f.rename("a.log.1", "a.log.2")
	f.rename("a.log", "a.log.1")
	f.append("a.log", "three\n")
	f.append("a.log.2", "late\n")
	for range 3 {
		f.step()
		f.pass(idle)
	}
	f.wantStreams("late\n", text, "three\n", "two\n")
}
