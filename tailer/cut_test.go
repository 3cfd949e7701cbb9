package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// reboot stops the tailer, has the machine go down, and starts it again; down
// is what happened to the files. They look untouched since the boot unless
// written says otherwise.
func (f *fixture) reboot(written bool, down func()) {
	f.t.Helper()
	f.kill()
	for i := range f.c.log {
		var p Position
		f.must(p.UnmarshalBinary(f.c.log[i].Position))
		p.Boot, p.Dev = [16]byte{1}, p.Dev+1
		f.c.log[i].Position, _ = p.MarshalBinary()
	}
	down()
	f.start()
	if !written {
		f.booted = time.Now().Add(time.Hour).UnixNano()
	} else {
		f.booted = 1
	}
}

// numbered are the lines from to to, of 20 bytes each.
func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %014d\n", i)
	}
	return b.String()
}

// The end of a file is gone after a loss of power, or NULs are in its place.
func TestPowerLoss(t *testing.T) {
	zero := func(f *fixture, from, to int64) {
		w, err := os.OpenFile(f.path("a.log"), os.O_WRONLY, 0)
		f.must(err)
		_, err = w.WriteAt(make([]byte, to-from), from)
		f.must(err)
		f.must(w.Close())
	}
	for _, c := range []struct {
		name    string
		written bool
		down    func(f *fixture)
		more    string // of what was there: lines that are read twice
		nuls    int64
	}{
		{name: "shorter", down: func(f *fixture) { f.must(os.Truncate(f.path("a.log"), 19990)) }},
		{name: "shorter, renamed since", down: func(f *fixture) {
			f.must(os.Truncate(f.path("a.log"), 19990))
			f.rename("a.log", "a.log.1")
		}},
		{name: "shorter, written to since", written: true, more: numbered(980, 985), down: func(f *fixture) {
			f.must(os.Truncate(f.path("a.log"), 985*20))
		}},
		{name: "ends in NULs", nuls: 4000, down: func(f *fixture) { zero(f, 16000, 20000) }},
		{name: "ends in NULs, written to since", written: true, nuls: 4000, down: func(f *fixture) { zero(f, 16000, 20000) }},
		{name: "ends in NULs, shorter", nuls: 1000, written: true, down: func(f *fixture) {
			zero(f, 16000, 20000)
			f.must(os.Truncate(f.path("a.log"), 17000))
		}},
		{name: "ends in more NULs", nuls: 9000, down: func(f *fixture) { zero(f, 16000, 25000) }},
		{name: "a hole before the end", nuls: 4000, down: func(f *fixture) { zero(f, 12000, 16000) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, "*.log")
			for i := range 50 {
				f.append("a.log", numbered(20*i, 20*i+20))
				f.step()
			}
			f.reboot(c.written, func() { c.down(f) })
			if !c.written {
				f.step()
			}
			name := "a.log"
			if _, err := os.Stat(f.path(name)); err != nil {
				name = "a.log.1"
			}
			f.append(name, "new\n")
			f.booted = 1
			for range 3 {
				f.pass(6 * time.Second)
			}
			f.want(numbered(0, 1000) + c.more + "new\n")
			if s := f.stats(); s.LostBytes != 0 || s.Lag != 0 || s.Files != 1 || s.SkippedNULs != c.nuls {
				t.Errorf("stats: %+v", s)
			}
			f.restart(func() {})
			f.append("b.log", "b\n")
			f.step()
			f.want(numbered(0, 1000) + c.more + "new\nb\n")
		})
	}
}

// A file was truncated before the machine went down: what is there now begins
// with other bytes, or its rest is in a copy.
func TestTruncatedBeforePowerLoss(t *testing.T) {
	for _, copied := range []bool{false, true} {
		f := newFixture(t, "*.log")
		f.append("a.log", numbered(0, 100))
		f.step()
		f.reboot(false, func() {
			f.append("a.log", numbered(100, 101))
			if copied {
				f.copy("a.log", "a.log.1")
			}
			f.tick()
			f.truncate("a.log")
			f.append("a.log", numbered(500, 560))
		})
		for range 3 {
			f.pass(6 * time.Second)
		}
		if copied {
			f.want(numbered(0, 101) + numbered(500, 560))
		} else {
			f.want(numbered(0, 100) + numbered(500, 560))
		}
	}
}
