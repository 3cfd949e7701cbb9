package tailer

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// gen is one generation of a path, as its writer knows it.
type gen struct {
	text   string
	w      *os.File // nil once nobody writes to it
	lines  int      // that no other generation has
	packed string   // the ending it was compressed to
	late   bool     // written to after it was rotated
}

// history is a random life of two log files under a tailer that is killed and
// started again. The oracle knows the bytes of each generation: in the end each
// must have been handed on exactly once, as one file.
type history struct {
	*fixture
	rt        *rapid.T
	mode      string
	committed int
	all       []*gen
	home      map[string]*gen
	old       map[string][]*gen // rotated ones, .1 first
	n         int
}

// glances counts the steps of histories that did without a scan.
var glances atomic.Int64

func TestHistories(t *testing.T) {
	defer func() { t.Logf("%d glances", glances.Load()) }()
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		defer h.close()
		rt.Repeat(map[string]func(*rapid.T){
			"append":       func(*rapid.T) { h.appendSome(h.pick()) },
			"append more":  func(*rapid.T) { h.appendSome(h.pick()) },
			"late append":  func(*rapid.T) { h.lateAppend(h.pick()) },
			"rename":       func(*rapid.T) { h.rotate(h.pick()) },
			"copytruncate": func(*rapid.T) { h.copytruncate(h.pick()) },
			"replace":      func(*rapid.T) { h.replaceByCopy(h.pick()) },
			"delete":       func(*rapid.T) { h.deleteOldest(h.pick()) },
			"truncate":     func(*rapid.T) { h.truncateOnly(h.pick()) },
			"step":         func(*rapid.T) { h.maybeStep() },
			"quiet":        func(*rapid.T) { h.quiet(h.pick()) },
			"commit":       func(*rapid.T) { h.commit() },
			"crash":        func(*rapid.T) { h.crash() },
			"stop":         func(*rapid.T) { h.kill() },
			"start":        func(*rapid.T) { h.up() },
			"deny":         func(*rapid.T) { h.denyOne(h.pick()) },
			"compress":     func(*rapid.T) { h.compressOne(h.pick()) },
		})
		h.finish()
	})
}

func newHistory(t *testing.T, rt *rapid.T) *history {
	pattern := rapid.SampledFrom([]string{"*.log", "*.log*"}).Draw(rt, "pattern")
	dir, err := os.MkdirTemp(t.TempDir(), "h")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir, c: newCollector(testLine), clock: &clock{time.Now()}}
	f.o = Options{Inputs: []Input{{Name: "app", Include: []string{filepath.Join(dir, pattern)}, MaxLineSize: testLine}}, Poll: true}
	f.o.MaxOpenFiles = rapid.SampledFrom([]int{1, 512}).Draw(rt, "max open")
	f.o.Inputs[0].Fit = rapid.SampledFrom([]func(string, []byte) int{nil, oneLine}).Draw(rt, "fit")
	h := &history{fixture: f, rt: rt, home: map[string]*gen{}, old: map[string][]*gen{}}
	h.mode = rapid.SampledFrom([]string{"unique", "header", "identical"}).Draw(rt, "mode")
	h.start()
	// What was rotated away before the very first scan is nobody's business.
	h.current("a.log")
	h.current("b.log")
	h.step()
	h.commit()
	return h
}

func (h *history) close() {
	h.kill()
	for _, g := range h.all {
		if g.w != nil {
			g.w.Close()
		}
	}
	os.RemoveAll(h.dir)
}

func (h *history) pick() string {
	return rapid.SampledFrom([]string{"a.log", "b.log"}).Draw(h.rt, "path")
}

func (h *history) write(g *gen, text string) {
	_, err := g.w.WriteString(text)
	h.must(err)
	g.text += text
}

// current returns the generation at path, made if there is none.
func (h *history) current(path string) *gen {
	g := h.home[path]
	if g == nil {
		h.tick()
		w, err := os.OpenFile(h.path(path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		h.must(err)
		g = &gen{w: w}
		h.home[path] = g
		h.all = append(h.all, g)
	}
	return g
}

func (h *history) line(g *gen) string {
	h.n++
	switch {
	case h.mode == "identical":
		return "the same\n"
	case h.mode == "header" && g.lines == 0 && len(g.text) < 30:
		return "# the same header\n"
	}
	g.lines++
	return fmt.Sprintf("%04d %s\n", h.n, strings.Repeat("x", rapid.IntRange(0, 2*testLine).Draw(h.rt, "length")))
}

func (h *history) appendSome(path string) {
	g := h.current(path)
	for range rapid.IntRange(0, 4).Draw(h.rt, "lines") {
		line := h.line(g)
		if h.mode == "unique" && rapid.Bool().Draw(h.rt, "in two") {
			k := rapid.IntRange(4, len(line)-1).Draw(h.rt, "first") // with its number
			h.write(g, line[:k])
			h.maybeStep()
			if rapid.Bool().Draw(h.rt, "left so") {
				return // the next line goes on here
			}
			line = line[k:]
		}
		h.write(g, line)
	}
}

// lateAppend is a writer that has not noticed the rotation yet.
func (h *history) lateAppend(path string) {
	for _, g := range h.old[path] {
		if g.w != nil {
			h.write(g, h.line(g))
			g.late = true
			return
		}
	}
}

// shift moves app.log.1 to app.log.2 and so on.
func (h *history) shift(path string, g *gen) {
	for i := len(h.old[path]); i > 0; i-- {
		h.rename(h.oldName(path, i), fmt.Sprintf("%s.%d%s", path, i+1, h.old[path][i-1].packed))
	}
	h.old[path] = append([]*gen{g}, h.old[path]...)
}

func (h *history) rotate(path string) {
	g := h.home[path]
	if g == nil {
		return
	}
	h.shift(path, g)
	h.rename(path, path+".1")
	delete(h.home, path)
	if rapid.Bool().Draw(h.rt, "create") {
		h.current(path)
	}
	if rapid.Bool().Draw(h.rt, "reopen") {
		h.must(g.w.Close())
		g.w = nil
	}
}

// copytruncate copies and truncates. What can't be told apart by content must
// be seen while it happens.
func (h *history) copytruncate(path string) {
	g := h.home[path]
	if g == nil || h.mode != "identical" && g.lines == 0 {
		return
	}
	seen := h.mode == "identical"
	if seen && h.Tailer == nil {
		return
	}
	if seen {
		h.settle()
	}
	h.shift(path, g)
	h.tick()
	h.copy(path, path+".1")
	h.tick()
	if rapid.Bool().Draw(h.rt, "look between") {
		h.maybeStep()
	}
	h.truncate(path)
	next := &gen{w: g.w}
	g.w = nil
	h.home[path] = next
	h.all = append(h.all, next)
	if seen {
		h.settle()
	}
}

// replaceByCopy is what editors and sed -i do.
func (h *history) replaceByCopy(path string) {
	g := h.home[path]
	if g == nil || h.mode == "header" {
		// With a truncation before it, of a file of which only a header was
		// read, that is more than contents can tell.
		return
	}
	h.must(g.w.Close())
	h.tick()
	h.copy(path, "tmp")
	h.rename("tmp", path)
	w, err := os.OpenFile(h.path(path), os.O_APPEND|os.O_WRONLY, 0o644)
	h.must(err)
	g.w = w
}

// settle has everything read and committed, what could not be read until now, too.
func (h *history) settle() {
	h.up()
	h.pass(2 * time.Minute)
	h.openFD = openRead
	for range 6 {
		h.pass(2 * time.Minute)
	}
	h.commit()
}

// deleteOldest destroys a rotated file, once all of it is safe.
func (h *history) deleteOldest(path string) {
	n := len(h.old[path])
	if n == 0 || h.mode == "identical" || h.mode == "header" && h.old[path][n-1].lines == 0 {
		return
	}
	h.current(path) // what has no successor may be the live file, whatever its name
	h.settle()
	h.remove(h.oldName(path, n))
	if g := h.old[path][n-1]; g.w != nil {
		h.must(g.w.Close())
		g.w = nil
	}
	h.old[path] = h.old[path][:n-1]
	h.settle()
}

// truncateOnly truncates without a copy, once all of it is safe.
func (h *history) truncateOnly(path string) {
	g := h.home[path]
	if g == nil || g.text == "" || !strings.HasSuffix(g.text, "\n") || h.mode == "header" && g.lines == 0 {
		return
	}
	h.settle()
	h.truncate(path)
	next := &gen{w: g.w}
	g.w = nil
	h.home[path] = next
	h.all = append(h.all, next)
	h.settle()
}

// denyOne makes the next openings of one name fail.
func (h *history) denyOne(path string) {
	if h.Tailer == nil || h.mode != "unique" {
		return
	}
	if n := rapid.IntRange(0, 3).Draw(h.rt, "sibling"); n > 0 {
		path = fmt.Sprintf("%s.%d", path, n)
	}
	left := rapid.IntRange(1, 5).Draw(h.rt, "times")
	h.openFD = func(p string) (int, error) {
		if p == h.path(path) && left > 0 {
			left--
			return -1, unix.EACCES
		}
		return openRead(p)
	}
	h.maybeStep()
}

func (h *history) up() {
	if h.Tailer == nil {
		h.start()
	}
}

// must ends the history, so that it can be repeated and made shorter.
func (h *history) must(err error) {
	if err != nil {
		h.rt.Fatal(err)
	}
}

func (h *history) maybeStep() {
	if h.Tailer != nil {
		if rapid.Bool().Draw(h.rt, "long after") {
			h.age()
		}
		h.asked = h.asked || h.mode == "header" || rapid.Bool().Draw(h.rt, "by event")
		h.timed(rapid.SampledFrom([]int{0, 1, 6, 90}).Draw(h.rt, "seconds"))
	}
}

// timed lets time pass, and has the timer find out what has happened.
func (h *history) timed(seconds int) {
	if h.Tailer == nil {
		return
	}
	h.clock.t = h.clock.t.Add(time.Duration(seconds) * time.Second)
	verified := h.verified
	h.must(h.Tailer.step(h.t.Context()))
	if verified.Equal(h.verified) && h.scanned.After(verified) {
		glances.Add(1)
	}
}

// quiet is a time without changes of names, then one change.
func (h *history) quiet(path string) {
	if h.mode == "header" {
		return // several generations of a mere header, unseen, are more than contents can tell
	}
	h.age()
	h.timed(1)
	h.timed(1)
	switch rapid.IntRange(0, 3).Draw(h.rt, "change") {
	case 0:
		h.appendSome(path)
	case 1:
		h.lateAppend(path)
	case 2:
		h.copytruncate(path)
	case 3:
		h.rotate(path)
	}
	h.timed(1)
	h.timed(rapid.SampledFrom([]int{1, 6}).Draw(h.rt, "seconds"))
}

func (h *history) commit() { h.committed = len(h.c.log) }

// crash loses what was handed on after some batch border.
func (h *history) crash() {
	h.kill()
	h.committed = rapid.IntRange(h.committed, len(h.c.log)).Draw(h.rt, "durable")
	h.c.log = h.c.log[:h.committed]
}

// finish ends all lines and compares.
func (h *history) finish() {
	for _, g := range h.all {
		if g.w != nil && g.text != "" && !strings.HasSuffix(g.text, "\n") {
			h.write(g, "\n")
		}
	}
	h.current("a.log")
	h.current("b.log")
	h.up()
	h.openFD = openRead
	h.settle()
	streams, err := h.c.streams()
	h.must2(err)
	var want []string
	for _, g := range h.all {
		want = append(want, g.text)
	}
	got := slices.Sorted(maps.Values(streams))
	slices.Sort(want)
	empty := func(s string) bool { return s == "" }
	got, want = slices.DeleteFunc(got, empty), slices.DeleteFunc(want, empty)
	if !slices.Equal(got, want) {
		h.rt.Fatalf("generations handed on, not written:\n%s\nwritten, not handed on:\n%s\nspans:\n%s", minus(got, want), minus(want, got), h.c.dump())
	}
	// Which of two generations of which nothing was read had the copy can't be
	// told: the bytes are right, but the other one counts as lost.
	doubt := slices.ContainsFunc(h.c.log, func(e event) bool {
		var p Position
		return p.UnmarshalBinary(e.Position) == nil && p.Lost && p.Offset == 0
	})
	if s := h.stats(); s.Lag != 0 || s.LostBytes != 0 && !doubt || len(s.Errors) != 0 {
		h.rt.Fatalf("stats: %+v\nspans:\n%s", s, h.c.dump())
	}
}

func (h *history) must2(err error) {
	if err != nil {
		h.rt.Fatal(err)
	}
}

// minus returns what a has and b has not.
func minus(a, b []string) string {
	b = slices.Clone(b)
	var only []string
	for _, s := range a {
		if i := slices.Index(b, s); i >= 0 {
			b = slices.Delete(b, i, i+1)
		} else {
			only = append(only, s)
		}
	}
	return strings.Join(only, "--\n")
}
