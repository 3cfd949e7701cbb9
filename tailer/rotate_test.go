package tailer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\ntw")
		f.append("sub/dir/b.log", "b\n")
		f.append("c.txt", "not wanted\n")
		f.step()
		if e := f.store.spans[0]; len(e.Data) != 0 || e.File != 1 || e.To != 0 {
			f.t.Errorf("a file was read before it was followed: %+v", e)
		}
		f.want("one\nb\n")
		f.pass(idle)
		f.append("a.log", "o\nthree\n")
		f.step()
		f.want("one\nb\ntwo\nthree\n")
		if s := f.stats(); s.Files != 2 || s.Lag != 0 || s.BytesRead != 16 || s.Rotations+s.Truncations != 0 {
			f.t.Errorf("stats: %+v", s)
		}
	}, "**/*.log")
}

func TestRenamed(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\n")
		f.step()
		f.append("a.log", "two\npart")
		f.rename("a.log", "a.log.1")
		f.append("a.log", "new\n")
		f.step()
		f.append("a.log.1", "ly\nlate\nlast")
		f.step()
		f.want("one\ntwo\nnew\npartly\nlate\n")
		f.pass(idle)
		f.want("one\ntwo\nnew\npartly\nlate\nlast")
		f.append("a.log.1", " of all\n")
		f.step()
		f.want("one\ntwo\nnew\npartly\nlate\nlast of all\n")
		if s := f.stats(); s.Rotations != 1 || s.LostBytes != 0 {
			f.t.Errorf("stats: %+v", s)
		}
	}, "*.log")
}

func TestRenamedOutOfSight(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("logs/a.log", "one\n")
		f.step()
		f.append("logs/a.log", "two\n")
		f.append("old/x", "")
		f.rename("logs/a.log", "old/a.log.1")
		f.append("logs/a.log", "new\n")
		f.step()
		f.append("old/a.log.1", "late\n")
		f.pass(idle)
		f.want("one\ntwo\nnew\nlate\n")
	}, "logs/*.log")
}

func TestRenamedWhileDown(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\n")
		f.step()
		f.restart(func() {
			f.append("a.log", "two\n")
			for i, line := range []string{"three\n", "four\n", "five\n"} {
				for k := i; k > 0; k-- {
					f.rename(fmt.Sprintf("a.log.%d", k), fmt.Sprintf("a.log.%d", k+1))
				}
				f.rename("a.log", "a.log.1")
				f.append("a.log", line)
			}
		})
		f.step()
		f.want("one\ntwo\nthree\nfour\nfive\n")
	}, "*.log")
}

func TestRenamedToAnyNameWhileDown(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\n")
		f.step()
		f.restart(func() {
			f.append("a.log", "two\n")
			f.rename("a.log", "saved")
			f.append("a.log", "new\n")
		})
		f.step()
		f.want("one\ntwo\nnew\n")
	}, "*.log")
}

// A file that gets another path that is wanted stays the same file.
func TestMovedToAnotherPath(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\n")
		f.step()
		f.append("sub/x.log", "x\n")
		f.rename("a.log", "sub/b.log")
		f.append("sub/b.log", "two\n")
		f.step()
		f.want("one\ntwo\nx\n")
		if !slices.ContainsFunc(f.store.spans, func(e span) bool {
			return e.File == 1 && e.Path == f.path("sub/b.log") && string(e.Data) == "two\n"
		}) {
			f.t.Error("the file was not followed to its new path")
		}
	}, "**/*.log")
}

func TestTruncated(t *testing.T) {
	for _, pattern := range []string{"*.log", "*.log*"} {
		for _, down := range []bool{false, true} {
			for _, next := range []string{"", "new\n", strings.Repeat("new and longer than before\n", 9)} {
				t.Run(fmt.Sprintf("%s down=%v %d", pattern, down, len(next)), func(t *testing.T) {
					follow(t, func(f *harness) {
						f.append("a.log", "one\ntwo\n")
						f.step()
						f.tick()
						rotation := func() {
							f.append("a.log", "three\n")
							f.copy("a.log", "a.log.1")
							if !down {
								f.step() // the copy is there, but nothing is truncated yet
							}
							f.append("a.log", "")
							f.truncate("a.log")
							f.append("a.log", next)
						}
						if down {
							f.restart(rotation)
						} else {
							rotation()
						}
						for range 4 {
							f.pass(idle)
						}
						f.want("one\ntwo\nthree\n" + next)
						if s := f.stats(); s.Truncations != 1 || s.LostBytes != 0 || s.Lag != 0 {
							f.t.Errorf("stats: %+v", s)
						}
					}, pattern)
				})
			}
		}
	}
}

// The decision that bytes are lost waits, over restarts too, and is counted.
func TestTruncatedWithoutCopy(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\ntwo and some")
		f.step()
		f.truncate("a.log")
		f.append("a.log", "n\n")
		f.step()
		f.pass(4 * time.Second)
		f.want("one\n")
		f.restart(func() {})
		f.pass(4 * time.Second)
		f.append("a.log.1", "on") // it may become the copy: the wait begins anew
		f.pass(2 * time.Second)
		f.want("one\n")
		f.append("a.log.1", "ly\n") // it is none: that is one change more
		f.pass(2 * time.Second)
		f.want("one\n")
		f.append("a.log.1", "something else\n") // which has no say any more
		f.pass(4 * time.Second)
		f.append("a.log.1", "and more\n")
		f.pass(2 * time.Second)
		f.want("one\nonly\nsomething else\nn\nand more\n")
		if s := f.stats(); s.LostBytes != 12 || s.Truncations != 1 {
			f.t.Errorf("stats: %+v", s)
		}
	}, "*.log")
}

// A copy that comes late has the bytes that were given up.
func TestLateCopyOfLostBytes(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", strings.Repeat("a long beginning\n", 100))
		f.step()
		f.append("a.log", "end\n")
		f.copy("a.log", "saved")
		f.truncate("a.log")
		f.append("a.log", "new\n")
		f.step()
		f.pass(6 * time.Second)
		f.rename("saved", "a.log.1")
		f.pass(idle)
		f.pass(idle)
		f.want(strings.Repeat("a long beginning\n", 100) + "new\nend\n")
	}, "*.log*")
}

// A copy of what was read is not read again, whenever it is made.
func TestLateCopyOfFinished(t *testing.T) {
	follow(t, func(f *harness) {
		text := strings.Repeat("a long beginning\n", 100)
		f.append("a.log", text)
		f.step()
		f.rename("a.log", "a.log.1")
		f.append("a.log", "new\n")
		f.step()
		f.pass(idle)
		f.remove("a.log.1")
		f.restart(func() { f.append("a.log.2", text) })
		for range 4 {
			f.pass(idle)
		}
		f.want(text + "new\n")
	}, "*.log*")
}

func TestBackupIsNoRotation(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\ntwo\n")
		f.step()
		f.tick()
		f.copy("a.log", "a.log.1")
		f.step()
		f.append("a.log", "three\n")
		f.pass(idle)
		f.pass(idle)
		f.append("a.log", "four\n")
		f.append("a.log.1", "other\n") // now it is a file of its own
		f.pass(idle)
		f.want("one\ntwo\nthree\nfour\nother\n")
	}, "*.log*")
}

func TestDeletedWhileOpen(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "one\n")
		f.step()
		f.append("a.log", "two\nlast")
		f.remove("a.log")
		f.step()
		f.want("one\ntwo\n")
		f.pass(idle)
		f.want("one\ntwo\nlast")
		if s := f.stats(); s.Files != 0 || s.Open != 0 || s.LostBytes != 0 {
			f.t.Errorf("stats: %+v", s)
		}
	}, "*.log")
}

func TestInodeReused(t *testing.T) {
	for _, down := range []bool{false, true} {
		follow(t, func(f *harness) {
			f.append("a.log", "one\ntwo\n")
			f.step()
			if !down {
				f.pass(idle) // closes it
			}
			reuse := func() {
				f.remove("a.log")
				f.tick()
				f.append("a.log", "new\nand more than before\n")
			}
			if down {
				f.restart(reuse)
			} else {
				reuse()
			}
			f.step()
			f.pass(6 * time.Second)
			f.want("one\ntwo\nnew\nand more than before\n")
		}, "*.log")
	}
}

func TestReplacedByCopy(t *testing.T) {
	for _, down := range []bool{false, true} {
		follow(t, func(f *harness) {
			f.append("a.log", "one\ntwo\n")
			f.step()
			replace := func() {
				f.copy("a.log", "tmp")
				f.append("tmp", "three\n")
				f.rename("tmp", "a.log")
			}
			if down {
				f.restart(replace)
			} else {
				replace()
			}
			f.step()
			f.want("one\ntwo\nthree\n")
			if s := f.stats(); s.Files != 1 {
				f.t.Errorf("stats: %+v", s)
			}
		}, "*.log")
	}
}

// A file is truncated without a copy, begins anew with the same header, and is
// renamed before anyone looks: its inode is no copy of what was in it before.
func TestHeaderAfterTruncation(t *testing.T) {
	follow(t, func(f *harness) {
		f.append("a.log", "# header\n")
		f.step()
		f.append("a.log", "one\n")
		f.step()
		f.restart(func() {
			f.truncate("a.log")
			f.append("a.log", "# header\n")
			f.rename("a.log", "a.log.1")
			f.tick()
			f.append("a.log", "# header\ntwo\n")
		})
		for range 6 {
			f.pass(idle)
		}
		f.wantStreams("# header\n", "# header\none\n", "# header\ntwo\n")
	}, "*.log*")
}
