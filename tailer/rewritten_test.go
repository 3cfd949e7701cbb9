package tailer

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An archive is written anew in place, at equal size, while the agent is late: what
// is in it now is the rest of the truncated file.
func TestArchiveRewritten(t *testing.T) {
	stored := func(f *fixture, from, to string) {
		b, err := os.ReadFile(f.path(from))
		f.must(err)
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.NoCompression)
		f.must(err)
		_, err = w.Write(b)
		f.must(err)
		f.must(w.Close())
		f.must(os.WriteFile(f.path(to), z.Bytes(), 0o644))
	}
	for name, archive := range map[string]func(*fixture){
		"gzip -c": func(f *fixture) { stored(f, "app.log", "app.log.1.gz") },
		"cp":      func(f *fixture) { f.copy("app.log", "app.log.1") },
		"cp -p": func(f *fixture) {
			i, err := os.Stat(f.path("app.log"))
			f.must(err)
			f.copy("app.log", "app.log.1")
			f.must(os.Chtimes(f.path("app.log.1"), i.ModTime(), i.ModTime()))
		},
	} {
		for _, pattern := range []string{"*.log", "*.log*"} {
			for _, when := range []string{"running", "down"} {
				t.Run(fmt.Sprintf("%s, %s, %s", name, pattern, when), func(t *testing.T) {
					f := newFixture(t, pattern)
					var want []string
					for round := range 4 {
						seen, late := fmt.Sprintf("seen %d\n", round), fmt.Sprintf("late %d\n", round)
						want = append(want, seen+late)
						f.append("app.log", seen)
						f.step()
						f.tick()
						change := func() {
							f.append("app.log", late)
							archive(f)
							f.truncate("app.log")
						}
						if when == "down" {
							f.restart(change)
						} else {
							change()
						}
						f.step()
						f.pass(idle)
						f.pass(idle)
						f.pass(idle)
					}
					if got := f.c.text(); got != strings.Join(want, "") {
						t.Errorf("handed on\n%q\nwant\n%q\n%s", got, strings.Join(want, ""), f.c.dump())
					}
					if s := f.stats(); s.LostBytes != 0 {
						t.Errorf("%d bytes count as lost", s.LostBytes)
					}
				})
			}
		}
	}
}

// A finished archive that was only touched is not read again, nor is it compared at
// every start from then on.
func TestArchiveTouched(t *testing.T) {
	f := newFixture(t, "*.log*")
	f.append("app.log", "one\n")
	f.step()
	f.rename("app.log", "app.log.1")
	zero := noise(1, 100)
	f.packed("app.log.2.gz", zero, 1)
	f.append("app.log", "two\n")
	f.step()
	f.pass(idle)
	f.restart(func() {
		at := time.Now().Add(time.Hour)
		for _, name := range []string{"app.log.1", "app.log.2.gz"} {
			f.must(os.Chtimes(f.path(name), at, at))
		}
	})
	f.step()
	f.pass(idle)
	f.pass(idle)
	f.wantStreams("one\n", zero, "two\n")
	opened := map[string]int{}
	f.restart(func() {})
	open := f.openFD
	f.openFD = func(path string) (int, error) {
		opened[filepath.Base(path)]++
		return open(path)
	}
	f.step()
	f.step()
	if opened["app.log.1"] > 0 {
		t.Errorf("opened %v", opened)
	}
	f.wantStreams("one\n", zero, "two\n")
}

// A finished archive has other bytes, and its size and time are those it had.
func TestArchiveRewrittenWithItsTime(t *testing.T) {
	f := newFixture(t, "*.log")
	rounds := []string{noise(1, 100), noise(2, 100)}
	f.append("app.log", rounds[0])
	f.step()
	f.copy("app.log", "app.log.1")
	f.append("app.log.1", "late\n")
	at := time.Now().Add(time.Minute)
	f.must(os.Chtimes(f.path("app.log.1"), at, at))
	f.truncate("app.log")
	f.append("app.log", rounds[1])
	f.step()
	f.pass(idle)
	f.pass(idle)
	f.want(rounds[0] + "late\n" + rounds[1])
	f.copy("app.log", "app.log.1")
	f.append("app.log.1", "last\n")
	f.must(os.Chtimes(f.path("app.log.1"), at, at))
	f.truncate("app.log")
	f.step()
	f.pass(idle)
	f.pass(idle)
	f.want(rounds[0] + "late\n" + rounds[1] + "last\n")
}

// A hole is truncated while it is skipped, between any two steps of that.
func TestHoleTruncated(t *testing.T) {
	for _, size := range []int64{0, 5000, 4 << 20} {
		for when := range 8 {
			f := newFixture(t, "*.log")
			f.append("a.log", "one\ntwo\n")
			f.step()
			f.truncate("a.log")
			f.pass(idle)
			f.pass(idle) // the next generation begins with NULs
			f.must(os.WriteFile(f.path("a.log"), make([]byte, 8<<20), 0o644))
			pulses := 0
			f.Tailer.o.Pulse = func(bool) {
				if pulses++; pulses == when+1 {
					f.must(os.Truncate(f.path("a.log"), size))
				}
			}
			f.step()
			f.pass(idle)
			f.append("a.log", "three\n")
			f.step()
			f.pass(idle)
			f.pass(idle)
			if got := f.c.text(); got != "one\ntwo\nthree\n" {
				t.Errorf("size %d, step %d: %q", size, when, got)
			}
			f.kill()
		}
	}
}

// A file is as long as files can be, and takes nothing from others: neither their
// turns, nor, by its position, their start.
func TestHugeFile(t *testing.T) {
	var sizes []int64
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // ext4 has no file of more than 16 TiB
	}
	for _, size := range []int64{1<<62 - 1, 1 << 62, 1<<63 - 1} {
		probe := filepath.Join(t.TempDir(), "probe")
		if os.WriteFile(probe, nil, 0o644) == nil && os.Truncate(probe, size) == nil {
			sizes = append(sizes, size)
		}
	}
	sizes = append(sizes, 1<<42)
	for _, size := range sizes {
		for _, end := range []bool{false, true} {
			f := newFixture(t, "*.log")
			f.kill()
			f.o.Inputs[0].StartAtEnd = end
			f.append("big.log", "")
			f.must(os.Truncate(f.path("big.log"), size))
			f.start()
			f.step()
			for i, text := range []string{"one\n", "two\n"} {
				f.append("small.log", text)
				f.step()
				if s := f.stats(); s.Lag < 0 || s.Files != 2 || len(s.Errors) > 0 {
					t.Errorf("size %d, start %d: %+v", size, i, s)
				}
				f.restart(func() {})
			}
			f.step()
			f.want("one\ntwo\n")
			f.kill()
		}
	}
}

// A compressed file is deleted while it waits for a decompressor.
func TestCompressedDeletedWhileWaiting(t *testing.T) {
	for _, end := range append(endings, ".bz2") {
		t.Run(end, func(t *testing.T) {
			f := newFixture(t, "*.log*")
			var names, want []string
			for i := range maxStreams + 2 {
				packed, text := ".gz", noise(uint64(i), 160_000) // many turns
				if i >= maxStreams {
					packed, text = end, "hello\n"
				}
				name := fmt.Sprintf("%c.log%s", 'a'+i, packed)
				if packed == ".bz2" { // nothing here writes it
					b, err := hex.DecodeString(bzipText)
					f.must(err)
					f.must(os.WriteFile(f.path(name), b, 0o644))
				} else {
					f.packed(name, text, 1)
				}
				names, want = append(names, name), append(want, text)
			}
			spans := 0
			f.c.onSpan = func(s *Span) {
				if len(s.Data) > 0 {
					spans++
				}
				if spans == maxStreams+1 { // all are open
					for _, name := range names {
						f.remove(name)
					}
					spans++
					f.asked = true
				}
			}
			f.step()
			f.pass(idle)
			f.pass(idle)
			f.wantStreams(want...)
			if s := f.stats(); s.LostBytes != 0 || len(s.Errors) > 0 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}
