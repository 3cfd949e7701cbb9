package tailer_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/spoolship/spoolship/tailer"
)

// compress does what a compressor does: the copy has the times of the original,
// which is removed.
func (h *harness) compress(from, to string, parts int) {
	h.t.Helper()
	h.compressKeep(from, to, parts)
	h.remove(from)
}

func (h *harness) compressKeep(from, to string, parts int) {
	h.t.Helper()
	text, err := os.ReadFile(h.path(from))
	h.must(err)
	i, err := os.Stat(h.path(from))
	h.must(err)
	h.packed(to, string(text), parts)
	h.must(os.Chtimes(h.path(to), i.ModTime(), i.ModTime()))
}

// packed makes a compressed file.
func (h *harness) packed(name, text string, parts int) {
	h.t.Helper()
	h.must(os.WriteFile(h.path(name), tailer.Pack(h.t, name, text, parts), 0o644))
}

var endings = []string{".gz", ".zst"}

// The rest of a generation, and whole ones that were never seen, are in
// compressed copies.
func TestCompressedWhileDown(t *testing.T) {
	for _, end := range endings {
		for _, pattern := range []string{"app.log", "app.log*"} {
			t.Run(pattern+end, func(t *testing.T) {
				follow(t, func(f *harness) {
					f.append("app.log", "one\n")
					f.step()
					f.restart(func() {
						f.append("app.log", "two\n")
						f.compress("app.log", "app.log.3"+end, 1)
						f.tick()
						f.append("app.log", "three\n")
						f.compress("app.log", "app.log.2"+end, 2)
						f.tick()
						f.append("app.log", "four\nfour and a half")
						f.rename("app.log", "app.log.1")
						f.tick()
						f.append("app.log", "five\n")
					})
					f.step()
					f.pass(2 * time.Minute)
					f.pass(2 * time.Minute)
					f.want("one\ntwo\nthree\nfour\nfive\nfour and a half")
					f.compress("app.log.1", "app.log.1"+end, 1)
					f.pass(10 * time.Second)
					f.restart(func() {
						f.rename("app.log.3"+end, "app.log.4"+end)
						f.append("app.log", "six\n")
					})
					f.pass(10 * time.Second)
					f.want("one\ntwo\nthree\nfour\nfive\nfour and a halfsix\n")
					if s := f.stats(); s.Lag != 0 || s.LostBytes != 0 || len(s.Errors) != 0 {
						f.t.Errorf("%+v", s)
					}
				}, pattern)
			})
		}
	}
}

// A file that was only followed, and not read, is found in a copy as well.
func TestCompressedOfUnread(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "")
		f.step()
		f.restart(func() {
			f.append("app.log", "one\n")
			f.compress("app.log", "app.log.1.gz", 1)
			f.append("app.log", "two\n")
		})
		f.pass(10 * time.Second)
		f.pass(10 * time.Second)
		f.want("one\ntwo\n")
	}, "app.log")
}

// A large remainder, in turns, with a crash in the middle.
func TestCompressedRest(t *testing.T) {
	text := tailer.Noise(3, 200_000)
	for _, end := range endings {
		follow(t, func(f *harness) {
			f.append("app.log", text[:1000])
			f.step()
			f.restart(func() {
				f.append("app.log", text[1000:])
				f.compress("app.log", "app.log.1"+end, 3)
				f.append("app.log", "new\n")
			})
			f.step()
			f.want(text + "new\n")
			f.kill()
			f.store.spans = f.store.spans[:len(f.store.spans)/2]
			f.start()
			f.step()
			f.want(text + "new\n")
		}, "app.log")
	}
}

// While the agent runs, before it has read the rest.
func TestCompressedWhileRunning(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "one\n")
		f.step()
		f.pass(2 * time.Minute) // closed
		f.append("app.log", "two\n")
		f.compress("app.log", "app.log.1.gz", 1)
		f.append("app.log", "three\n")
		f.step()
		f.want("one\ntwo\nthree\n")
		f.rename("app.log.1.gz", "app.log.2.gz")
		f.compress("app.log", "app.log.1.gz", 1) // through the open file, which is followed for a while
		f.append("app.log", "four\n")
		f.step()
		f.pass(2 * time.Minute)
		f.pass(2 * time.Minute)
		f.want("one\ntwo\nthree\nfour\n")
		f.restart(func() { f.append("app.log", "five\n") })
		f.pass(time.Minute)
		f.want("one\ntwo\nthree\nfour\nfive\n")
	}, "app.log*")
}

// Truncated, and the copy compressed.
func TestTruncatedCompressed(t *testing.T) {
	for _, down := range []bool{false, true} {
		follow(t, func(f *harness) {
			f.append("app.log", "one\n")
			f.step()
			f.pass(2 * time.Minute)
			happen := func() {
				f.append("app.log", "two\n")
				f.tick()
				f.compressKeep("app.log", "app.log.1.gz", 1)
				f.truncate("app.log")
				f.append("app.log", "three, which is longer than what was read before\n")
			}
			if down {
				f.restart(happen)
			} else {
				happen()
			}
			f.step()
			f.pass(10 * time.Second)
			f.pass(2 * time.Minute)
			f.want("one\ntwo\nthree, which is longer than what was read before\n")
		}, "app.log*")
	}
}

// A copy that is being written is not decided on while the original is there.
func TestCompressionGoesOn(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "one\n")
		f.step()
		whole := tailer.Pack(t, "app.log.1.gz", "one\ntwo\n", 1)
		f.restart(func() {
			f.append("app.log", "two\n")
			f.rename("app.log", "app.log.1")
			f.append("app.log", "three\n")
			f.must(os.WriteFile(f.path("app.log.1.gz"), whole[:12], 0o644))
		})
		f.step()
		f.want("one\ntwo\nthree\n")
		i, err := os.Stat(f.path("app.log.1"))
		f.must(err)
		f.must(os.WriteFile(f.path("app.log.1.gz"), whole, 0o644))
		f.must(os.Chtimes(f.path("app.log.1.gz"), i.ModTime(), i.ModTime()))
		f.remove("app.log.1")
		f.pass(2 * time.Minute)
		f.pass(2 * time.Minute)
		f.want("one\ntwo\nthree\n")
		if s := f.stats(); len(s.Errors) != 0 || s.LostBytes != 0 {
			f.t.Errorf("%+v", s)
		}
	}, "app.log*")
}

// Of a line without newline nothing is handed on until its file is done: till
// then nothing tells that the compressed copy is one.
func TestCompressedOfPart(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "no end")
		f.step()
		f.rename("app.log", "app.log.1")
		f.append("app.log", "")
		f.compress("app.log.1", "app.log.1.zst", 1) // through the open file
		f.step()
		f.pass(10 * time.Second)
		f.pass(2 * time.Minute)
		f.pass(2 * time.Minute)
		f.want("no end")
	}, "app.log*")
}

// All that was read of a file is a header that the next generation has as well:
// the rest is in the compressed copy.
func TestCompressedHeader(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "# the header\n")
		f.step()
		f.restart(func() {
			f.append("app.log", "one\n")
			f.compress("app.log", "app.log.1.zst", 2)
			f.append("other", "takes the inode") // which would tell
			f.append("app.log", "# the header\ntwo\n")
		})
		f.pass(10 * time.Second)
		f.pass(10 * time.Second)
		f.wantStreams("# the header\none\n", "# the header\ntwo\n")
	}, "app.log*")
}

// Of the last generation nothing was read, and the one before begins like it.
func TestCompressedUnreadSameHeader(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "h\n")
		f.step()
		f.rename("app.log", "app.log.1")
		f.tick()
		f.append("app.log", "")
		f.pass(time.Second)
		f.restart(func() {
			f.append("app.log.1", "one\n")
			f.rename("app.log.1", "app.log.2")
			f.append("app.log", "h\ntwo\n")
			f.compress("app.log", "app.log.1.gz", 1)
			f.tick()
			f.append("app.log", "h\nthree\n")
		})
		for range 4 {
			f.pass(time.Minute)
		}
		f.want("h\none\nh\ntwo\nh\nthree\n")
	}, "app.log")
}

// A copy of an unfinished line is compressed as soon as it has been found. It is
// of the file that reads it, and not of another one as well of which nothing is
// known.
func TestCompressedUnread(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("app.log", "")
		f.step()
		f.append("new", "no newline")
		f.rename("new", "app.log")
		f.pass(time.Minute)
		f.restart(func() {
			f.tick()
			f.copy("app.log", "app.log.1")
			f.truncate("app.log")
		})
		f.step()
		f.compress("app.log.1", "app.log.1.gz", 1)
		for range 6 {
			f.pass(2 * time.Minute)
		}
		f.want("no newline")
	}, "app.log*")
}

// start_at = "end": those that exist are not read, whatever their names become.
func TestCompressedFromEnd(t *testing.T) {
	follow(t, func(f *harness) {
		f.kill()
		f.o.Inputs[0].StartAtEnd = true
		f.packed("a.gz", "old\n", 1)
		f.start()
		f.step()
		f.restart(func() { f.rename("a.gz", "b.gz") })
		f.packed("c.gz", "new\n", 1)
		f.step()
		f.want("new\n")
	}, "*.gz")
}

// Members that are appended to a finished file are read; another file in its
// place is another file.
func TestCompressedGrows(t *testing.T) {
	follow(t, func(f *harness) {
		f.packed("a.gz", "one\n", 1)
		f.step()
		w, err := os.OpenFile(f.path("a.gz"), os.O_APPEND|os.O_WRONLY, 0)
		f.must(err)
		_, err = w.Write(tailer.Pack(t, "a.gz", "two\n", 1))
		f.must(errors.Join(err, w.Close()))
		f.step()
		f.want("one\ntwo\n")
		f.packed("new.gz", tailer.Noise(6, 10), 1)
		f.rename("new.gz", "a.gz")
		f.step()
		f.pass(time.Minute)
		f.want("one\ntwo\n" + tailer.Noise(6, 10))
	}, "*.gz")
}

// A generation that was rotated before the first start is nobody's, also when it is
// compressed later and has the time of that.
func TestCompressedOfBefore(t *testing.T) {
	for name, down := range map[string]bool{"running": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			follow(t, func(f *harness) {
				f.append("app.log.20260101-000000", "before\n")
				f.tick()
				f.append("app.log", "one\n")
				f.step()
				rotate := func() {
					f.tick()
					f.rename("app.log", "app.log.20260102-000000")
					f.packed("app.log.20260101-000000.gz", "before\n", 1)
					f.remove("app.log.20260101-000000")
					f.append("app.log", "two\n")
				}
				if down {
					f.restart(rotate)
				} else {
					rotate()
				}
				f.pass(2 * time.Minute)
				f.want("one\ntwo\n")
			}, "app.log")
		})
	}
}
