package rotation

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	length  = flag.Int("length", 3, "operations of the longest history that is tried")
	slack   = flag.Int("slack", 1, "how many more a twin may have")
	long    = flag.Int("long", 2000, "random histories of a dozen operations")
	show    = flag.Int("show", 0, "failures without a twin that are shown")
	showAll = flag.Bool("twins", false, "show those with a twin instead")
	history = flag.String("history", "", "one history to follow")
)

// state is a world and the agent in it after a history.
type state struct {
	w world
	a agent
}

func (x *state) clone() *state { return &state{x.w, x.a.clone()} }

func begin(s *settings) *state {
	x := &state{w: newWorld(), a: agent{s: s}}
	x.a.scan(&x.w, false)
	return x
}

// do does one operation on x.
func (x *state) do(op byte) bool {
	if !x.a.s.coarse {
		x.w.clock++
	}
	switch op {
	case opScan, opLongScan:
		x.a.scan(&x.w, op == opLongScan)
	case opRestart:
		x.a.restart(&x.w)
	default:
		return x.w.do(op)
	}
	return true
}

// end is how a history ended: everything could be read, and time passed.
type end struct {
	lost, doubled uint32
	// decided is what had been seen when the first line went wrong; 0: none did.
	decided uint64
	seen    [3]uint64 // after each of the last scans
	last    [maxLines]uint8
}

func (x *state) bad() bool {
	for line := 1; line < x.w.lines; line++ {
		if x.a.shipped[line] > 1 {
			return true
		}
	}
	return false
}

// outcome ends a history.
func (x *state) outcome(signed bool) (e end) {
	y := x.clone()
	for i := range y.w.used {
		y.w.inodes[i].deny = false
	}
	for n := range e.seen {
		y.a.scan(&y.w, n > 0)
		if signed {
			e.seen[n] = y.a.signature()
			if e.decided == 0 && y.bad() {
				e.decided = e.seen[n]
			}
		}
	}
	for line := 1; line < y.w.lines; line++ {
		switch n := y.a.shipped[line]; {
		case n > 1:
			e.doubled |= 1 << line
		case n == 0 && y.a.must&(1<<line) != 0:
			e.lost |= 1 << line
		}
	}
	e.last = y.a.last
	if e.decided == 0 {
		e.decided = e.seen[2]
	}
	return e
}

func (e *end) failed() bool { return e.lost|e.doubled != 0 }

type failure struct {
	history string
	end
}

type search struct {
	s        *settings
	worlds   int
	failures []failure
	history  []byte
	wanted   map[uint64]string // signatures that a twin is looked for, and the twins
	path     []uint64          // those of them that the history has had
}

// redundant reports whether a shorter or another history says the same.
func redundant(h []byte, op byte) bool {
	if len(h) == 0 {
		return op == opScan || op == opLongScan || op == opRestart || op == opTruncate || op == opHole
	}
	last := h[len(h)-1]
	switch op {
	case opScan:
		return last == opScan || last == opLongScan
	case opLongScan:
		return last == opLongScan
	case opRestart, opDenyFirst, opDenyHome:
		return last == op
	}
	return false
}

func (s *search) from(x *state, depth int) {
	if depth == 0 {
		return
	}
	for i := range len(alphabet) {
		op := alphabet[i]
		if redundant(s.history, op) {
			continue
		}
		y := x.clone()
		if !y.do(op) {
			continue
		}
		s.history = append(s.history, op)
		if s.wanted == nil {
			s.try(y, depth)
		} else {
			s.pair(y, op, depth)
		}
		s.history = s.history[:len(s.history)-1]
	}
}

func (s *search) try(y *state, depth int) {
	s.worlds++
	e := y.outcome(false)
	if !e.failed() {
		s.from(y, depth-1)
		return
	}
	s.failures = append(s.failures, failure{history: string(s.history), end: s.decision(string(s.history))})
}

// decision repeats a history that failed, and finds when.
func (s *search) decision(history string) end {
	x := begin(s.s)
	sigs := []uint64{x.a.signature()}
	for i := range len(history) {
		x.do(history[i])
		if x.a.scans > len(sigs) {
			sigs = append(sigs, x.a.signature())
		}
		if x.bad() {
			e := x.outcome(true)
			e.decided = sigs[len(sigs)-1]
			return e
		}
	}
	e := x.outcome(true)
	for line := 1; line < x.w.lines; line++ {
		if e.lost&(1<<line) != 0 && e.last[line] < uint8(len(sigs)) {
			e.decided = sigs[e.last[line]]
			break
		}
	}
	return e
}

// pair looks for twins of what failed.
func (s *search) pair(y *state, op byte, depth int) {
	at := len(s.path)
	if op == opScan || op == opLongScan {
		s.note(y.a.signature())
	}
	own := len(s.path)
	if e := y.outcome(true); !e.failed() {
		for _, sig := range e.seen {
			s.note(sig)
		}
		for _, sig := range s.path {
			if s.wanted[sig] == "" {
				s.wanted[sig] = string(s.history)
			}
		}
	}
	s.path = s.path[:own]
	if !y.bad() {
		s.from(y, depth-1)
	}
	s.path = s.path[:at]
}

func (s *search) note(sig uint64) {
	if twin, ok := s.wanted[sig]; ok && twin == "" {
		s.path = append(s.path, sig)
	}
}

// fileSystems are the worlds: what a file system tells of times.
var fileSystems = []struct {
	name string
	settings
}{
	{"births, a fine clock", settings{births: true, heavy: 2 * Light}},
	{"births, a coarse clock", settings{births: true, coarse: true, heavy: 2 * Light}},
	{"no births", settings{heavy: 2 * Light}},
}

// TestWorlds tries every history, and looks for a twin of each that fails. Up to
// three operations none fails that has no twin, where files have births and the clock
// is fine.
func TestWorlds(t *testing.T) {
	if *history != "" {
		follow(t, *history)
		return
	}
	for n := range fileSystems {
		fsys := &fileSystems[n]
		begun := time.Now()
		s := &search{s: &fsys.settings}
		s.from(begin(s.s), *length)
		twins := s.twins(*length + *slack)
		lost, doubled, shown := 0, 0, 0
		for _, f := range s.failures {
			twin := twins[f.decided]
			switch {
			case twin != "":
			case f.lost != 0:
				lost++
			default:
				doubled++
			}
			if (twin != "") == *showAll && shown < *show {
				t.Logf("%-8s lost %b doubled %b twin %s", f.history, f.lost, f.doubled, twin)
				shown++
			}
		}
		t.Logf("%s: %d worlds of up to %d operations, %d fail, %d of these with a twin of up to %d; without: %d lose, %d double; %v",
			fsys.name, s.worlds, *length, len(s.failures), len(s.failures)-lost-doubled, *length+*slack, lost, doubled, time.Since(begun).Round(time.Second/10))
		if n == 0 && *length <= 3 && lost+doubled > 0 {
			t.Error("a history failed that has no twin")
		}
	}
}

// twins returns a twin for each failure that has one of up to so many operations, by
// what had been seen when it was decided.
func (s *search) twins(length int) map[uint64]string {
	p := &search{s: s.s, wanted: map[uint64]string{}}
	for _, f := range s.failures {
		p.wanted[f.decided] = ""
	}
	p.from(begin(s.s), length)
	return p.wanted
}

// TestLongWorlds tries random histories, and makes those that fail shorter.
func TestLongWorlds(t *testing.T) {
	cfg := &fileSystems[0].settings
	r := rand.New(rand.NewPCG(1, 2))
	begun, failed, shortest := time.Now(), 0, map[string]int{}
	for range *long {
		var h []byte
		for x := begin(cfg); len(h) < 12; {
			if op := alphabet[r.IntN(len(alphabet))]; !redundant(h, op) && x.do(op) {
				h = append(h, op)
			}
		}
		if fails(cfg, string(h)) {
			failed++
			shortest[shrink(cfg, string(h))]++
		}
	}
	t.Logf("%d random histories of 12 operations, %d fail, in %d ways; %v", *long, failed, len(shortest), time.Since(begun).Round(time.Second/10))
	for h := range shortest {
		if !fails(cfg, h) {
			t.Errorf("%s was made too short", h)
		}
		if *show > 0 {
			t.Logf("%-12s %d times", h, shortest[h])
		}
	}
}

// fails reports whether a history ends with a line lost or doubled.
func fails(cfg *settings, h string) bool {
	x := begin(cfg)
	for i := range len(h) {
		if !x.do(h[i]) {
			return false
		}
	}
	e := x.outcome(false)
	return e.failed()
}

// shrink leaves out operations as long as a history fails without them.
func shrink(cfg *settings, h string) string {
	for i := 0; i < len(h); {
		if without := h[:i] + h[i+1:]; fails(cfg, without) {
			h, i = without, 0
			continue
		}
		i++
	}
	return h
}

// follow shows what becomes of one history.
func follow(t *testing.T, h string) {
	x := begin(&fileSystems[0].settings)
	for i := range len(h) {
		t.Log(string(h[i]), x.do(h[i]), "shipped", x.a.shipped[1:x.w.lines])
		for _, f := range x.a.files {
			t.Logf("   %+v", f.File)
		}
		for _, s := range x.w.look(nil, true) {
			t.Logf("   name %d inode %d birth %d mtime %d unreadable %v %v", s.name, s.inode, s.birth, s.mtime, s.deny, []byte(s.lines))
		}
	}
	e := x.outcome(false)
	t.Logf("lost %b doubled %b", e.lost, e.doubled)
}
