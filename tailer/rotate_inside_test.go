package tailer

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const idle = 2 * time.Minute // longer than CloseInactive

// After a boot, devices may have other numbers: content decides.
func TestDeviceRenumbered(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "one\n")
	f.step()
	f.kill()
	for i := range f.c.log {
		var p Position
		f.must(p.UnmarshalBinary(f.c.log[i].Position))
		p.Dev, p.Boot = p.Dev+1, [16]byte{1}
		f.c.log[i].Position, _ = p.MarshalBinary()
	}
	f.append("a.log", "two\n")
	f.start()
	f.step()
	f.want("one\ntwo\n")
}

// Case: of a file only an unfinished line was seen when it was copied, truncated
// and written to beyond that: reading it on tells, if nothing else does.
func TestUnfinishedLineRegrown(t *testing.T) {
	f := newFixture(t, "*.log")
	f.append("a.log", "begun")
	f.step()
	f.tick()
	f.copy("a.log", "a.log.1")
	f.truncate("a.log")
	f.append("a.log", "another line\n")
	grant := f.deny("a.log", unix.EACCES) // the scan can't compare it with its copy
	f.step()
	grant()
	f.pass(idle)
	f.pass(idle)
	f.wantStreams("another line\n", "begun")
	if s := f.stats(); s.LostBytes != 0 || s.Lag != 0 {
		t.Errorf("stats: %+v", s)
	}
}
