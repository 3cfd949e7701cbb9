package power

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// file makes a file of a directory, as a create does.
func (d *Disk) file(dir uint64, name string) *node {
	n := d.add(0o100644, name)
	d.change(entryOp{set: []entry{{dir, name, n.ino}}})
	return n
}

// outcomes are the contents that a cut leaves of a file, over many seeds; nil:
// the file is gone.
func outcomes(way Way, prepare func(d *Disk)) map[string]bool {
	all := map[string]bool{}
	for seed := range uint64(200) {
		d := NewDisk()
		prepare(d)
		d.Cut(way, rand.New(rand.NewPCG(seed, 1)))
		var names []string
		for name := range d.nodes[rootNode].entries {
			names = append(names, name)
		}
		slices.Sort(names)
		text := ""
		for _, name := range names {
			text += name + "=" + string(bytes.ReplaceAll(slices.Compact(slices.Clone(d.nodes[d.nodes[rootNode].entries[name]].data)), []byte{0}, []byte("0"))) + ";"
		}
		all[text] = true
	}
	return all
}

func page(b byte) []byte { return bytes.Repeat([]byte{b}, pageSize) }

// What a cut may leave of two pages that were written after an fsync.
func TestWays(t *testing.T) {
	prepare := func(d *Disk) {
		n := d.file(rootNode, "f")
		n.write(0, append(page('a'), page('a')...))
		n.sync()
		d.syncDir(rootNode)
		n.write(0, page('b'))
		n.write(pageSize, page('c'))
		n.write(0, page('d'))
	}
	for way, want := range map[Way][]string{
		Dropped:   {"f=a;"},
		Kept:      {"f=dc;"},
		Prefix:    {"f=a;", "f=ba;", "f=bc;", "f=dc;"},
		Reordered: {"f=a;", "f=ba;", "f=da;", "f=ac;", "f=bc;", "f=dc;"},
	} {
		got := outcomes(way, prepare)
		for _, w := range want {
			if !got[w] {
				t.Errorf("%s: never %s", way, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", way, got, want)
		}
	}
	if n := len(outcomes(Torn, prepare)); n < 50 {
		t.Errorf("torn: %d outcomes only", n)
	}
}

// An entry is durable once its directory is, whatever was done to the file.
func TestEntries(t *testing.T) {
	rename := func(sync bool) func(d *Disk) {
		return func(d *Disk) {
			n := d.file(rootNode, "f")
			n.write(0, page('a'))
			n.sync()
			d.syncDir(rootNode)
			d.change(entryOp{set: []entry{{rootNode, "g", n.ino}}, gone: []entry{{rootNode, "f", n.ino}}})
			d.file(rootNode, "h")
			if sync {
				d.syncDir(rootNode)
			}
		}
	}
	for _, c := range []struct {
		way  Way
		sync bool
		want []string
	}{
		{Dropped, false, []string{"f=a;"}},
		{Dropped, true, []string{"g=a;h=;"}},
		{Prefix, false, []string{"f=a;", "g=a;", "g=a;h=;"}},
		{Reordered, false, []string{"f=a;", "g=a;", "g=a;h=;", "f=a;h=;"}},
		{Reordered, true, []string{"g=a;h=;"}},
	} {
		got := outcomes(c.way, rename(c.sync))
		for _, w := range c.want {
			if !got[w] {
				t.Errorf("%s, synced %v: never %s", c.way, c.sync, w)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s, synced %v: %v, want %v", c.way, c.sync, got, c.want)
		}
	}
}

// Operations are counted, and fail once the power is off.
func TestVerdicts(t *testing.T) {
	d := NewDisk()
	n := d.file(rootNode, "f")
	var seen []Event
	d.Before(func(e Event) Verdict {
		seen = append(seen, e)
		if e.Step == 2 {
			d.Off()
		}
		return Verdict{Lie: e.Op == OpSync}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, errno := d.ask(OpRead, n, false); errno != 0 {
		t.Error(errno)
	}
	if lie, errno := d.ask(OpSync, n, true); errno != 0 || !lie {
		t.Error(lie, errno)
	}
	if _, errno := d.ask(OpWrite, n, false); errno == 0 {
		t.Error("a write without power")
	}
	want := []Event{{OpRead, 1, 0, "f", false}, {OpSync, 1, 1, "f", true}, {OpWrite, 1, 2, "f", false}}
	if !slices.Equal(seen, want) {
		t.Errorf("%+v", seen)
	}
}
