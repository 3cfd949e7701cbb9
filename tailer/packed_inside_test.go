package tailer

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

var endings = []string{".gz", ".zst"}

// compress does what a compressor does: the copy has the times of the original,
// which is removed.
func (f *fixture) compress(from, to string, parts int) {
	f.t.Helper()
	f.compressKeep(from, to, parts)
	f.remove(from)
}

func (f *fixture) compressKeep(from, to string, parts int) {
	f.t.Helper()
	text, err := os.ReadFile(f.path(from))
	f.must(err)
	i, err := os.Stat(f.path(from))
	f.must(err)
	f.must(os.WriteFile(f.path(to), pack(f.t, to, string(text), parts), 0o644))
	f.must(os.Chtimes(f.path(to), i.ModTime(), i.ModTime()))
}

// packed makes a compressed file.
func (f *fixture) packed(name, text string, parts int) {
	f.t.Helper()
	f.must(os.WriteFile(f.path(name), pack(f.t, name, text, parts), 0o644))
}

// Generations begin with the same header, which is all that was read of the last
// one, and were compressed before anybody looked again.
func TestCompressedSameHeader(t *testing.T) {
	for name, down := range map[string]func(*fixture){
		"a younger copy is not compressed": func(f *fixture) {
			f.append("app.log", "one\n")
			f.compress("app.log", "app.log.2.gz", 1)
			f.tick()
			f.append("app.log", "h\ntwo\n")
			f.tick()
			f.copy("app.log", "app.log.1")
			f.tick()
			f.truncate("app.log")
		},
		"the file is there": func(f *fixture) {
			f.append("app.log", "one\n")
			f.rename("app.log", "app.log.2")
			f.tick()
			f.append("app.log", "h\ntwo\n")
			f.compress("app.log", "app.log.1.gz", 1)
			f.tick()
		},
		"both are compressed": func(f *fixture) {
			f.append("app.log", "one\n")
			f.compress("app.log", "app.log.2.gz", 1)
			f.tick()
			f.append("app.log", "h\ntwo\n")
			f.compress("app.log", "app.log.1.gz", 1)
			f.tick()
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "app.log")
			f.append("app.log", "h\n")
			f.step()
			f.restart(func() {
				down(f)
				f.append("app.log", "h\nthree\n")
			})
			for range 4 {
				f.pass(time.Minute)
			}
			f.want("h\none\nh\ntwo\nh\nthree\n")
			if s := f.stats(); s.Lag != 0 || s.LostBytes != 0 || len(s.Errors) != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A file and its compressed copy, both kept.
func TestCompressedKept(t *testing.T) {
	f := newFixture(t, "app.log*")
	f.append("app.log", "one\n")
	f.step()
	f.compressKeep("app.log", "app.log.gz", 1)
	f.step()
	f.append("app.log", "two\n")
	f.pass(10 * time.Second)
	f.pass(10 * time.Second)
	f.want("one\ntwo\n")
	f.rename("app.log", "app.log.1")
	f.compressKeep("app.log.1", "app.log.1.gz", 1)
	f.append("app.log", "three\n")
	f.pass(10 * time.Second)
	f.pass(2 * time.Minute)
	f.pass(2 * time.Minute)
	f.want("one\ntwo\nthree\n")
}

// Compressed files that the patterns want are read from start to end.
func TestCompressedInputs(t *testing.T) {
	for _, end := range endings {
		f := newFixture(t, "*"+end)
		text := noise(4, 100_000) + strings.Repeat("x", 10*testLine) + "\nno newline"
		f.packed("b"+end, "first\n", 1)
		f.step()
		f.packed("c-20260101.log"+end, text, 5)
		f.packed("c-20260102.log"+end, "", 1)
		f.packed("c-20260103.log"+end, "third\n", 1)
		f.append("c-20260104.log"+end, "this is no such file")
		f.append("c-20260105.log", "nobody wants this\n")
		f.step()
		f.pass(2 * time.Minute)
		f.want("first\n" + strings.TrimSuffix(text, "no newline") + "third\nno newline")
		s := f.stats()
		if s.Lag != 0 || s.Files != 0 || s.Open != 0 || len(s.Errors) != 1 || s.Errors[0].Problem != errMisnamed.Error() {
			t.Errorf("%+v", s)
		}
		// Any crash on the way, and another one.
		for _, keep := range []int{3, 1} {
			f.kill()
			f.c.log = f.c.log[:len(f.c.log)*keep/4]
			f.start()
			f.step()
			f.pass(2 * time.Minute)
			f.want("first\n" + strings.TrimSuffix(text, "no newline") + "third\nno newline")
		}
	}
}

func TestCompressedOnce(t *testing.T) {
	f := newFixture(t, "*.gz")
	f.kill()
	f.o.Once, f.o.FlushPartial = true, true
	f.packed("a.gz", "one\ntwo", 1)
	f.start()
	f.must(f.Run(t.Context()))
	f.want("one\ntwo")
	f.kill()
}

// A file that is cut off is read as far as it goes, told of once, and read on
// when there is more; others do not wait for it.
func TestCompressedCutOff(t *testing.T) {
	for _, end := range endings {
		var log bytes.Buffer
		f := newFixture(t, "*"+end)
		f.kill()
		f.o.Logger = newLogger(&log)
		f.start()
		text := noise(5, 50_000)
		whole := pack(t, end, text, 4)
		f.must(os.WriteFile(f.path("a"+end), whole[:len(whole)*2/3], 0o644))
		f.packed("b"+end, "other\n", 1)
		f.step()
		f.pass(time.Hour)
		got := f.c.text()
		lines := strings.Replace(got, "other\n", "", 1)
		if !strings.Contains(got, "other\n") || !strings.HasPrefix(text, lines) || len(lines) < len(text)/3 {
			t.Fatalf("%d bytes of %d", len(got), len(text))
		}
		if s := f.stats(); len(s.Errors) != 1 || s.Errors[0].Problem != errUnfinished.Error() || s.Errors[0].Hint == "" {
			t.Errorf("%+v", s)
		}
		if n := strings.Count(log.String(), errUnfinished.Error()); n != 1 {
			t.Errorf("told of %d times\n%s", n, log.String())
		}
		f.restart(func() { f.must(os.WriteFile(f.path("a"+end), whole, 0o644)) })
		f.pass(time.Minute)
		f.pass(time.Minute)
		streams, err := f.c.streams()
		f.must(err)
		all := 0
		for _, s := range streams {
			if s == text {
				all++
			}
		}
		if s := f.stats(); all != 1 || len(s.Errors) != 0 || s.Lag != 0 {
			t.Errorf("%d whole ones, %+v", all, s)
		}
	}
}

// Damage in the middle: what is before it is read, the rest of the family goes on.
func TestCompressedDamaged(t *testing.T) {
	f := newFixture(t, "app.log", "*.zst")
	f.append("app.log", "one\n")
	f.step()
	f.restart(func() {
		f.append("app.log", "two\n")
		f.compress("app.log", "app.log.2.gz", 1)
		f.tick()
		bad := append(pack(t, "a.gz", "three\n", 1), pack(t, "a.gz", noise(7, 1000), 1)...)
		for i := range 100 {
			bad[len(bad)/2+i] ^= 0x55
		}
		f.must(os.WriteFile(f.path("app.log.1.gz"), bad, 0o644))
		f.tick()
		f.append("app.log", "five\n")
	})
	f.pass(10 * time.Second)
	f.pass(10 * time.Second)
	got := f.c.text()
	if !strings.HasPrefix(got, "one\ntwo\nthree\n") || !strings.HasSuffix(got, "five\n") {
		t.Errorf("%.80q", got)
	}
	if s := f.stats(); len(s.Errors) != 1 || !strings.HasPrefix(s.Errors[0].Problem, errDamaged.Error()) {
		t.Errorf("%+v", s)
	}
}
