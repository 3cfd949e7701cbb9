package audit

import "slices"

// Names are the keys beside gaps and those of duplicates. An Audit does not keep
// keys, so a caller who wants them lists the bucket once more, where there is
// anything to name.
type Names struct {
	report *Report
	wanted map[place][]string
}

// place is a chunk number, of records or of tombstones.
type place struct {
	streamID
	number uint64
	buried bool
}

// maxKeys bounds how many keys of one chunk number are named.
const maxKeys = 20

// Names returns what a second listing has to look for; nil if there is nothing.
func (r *Report) Names() *Names {
	n := &Names{r, make(map[place][]string)}
	n.visit(func(p place) []string {
		n.wanted[p] = nil
		return nil
	})
	if len(n.wanted) == 0 {
		return nil
	}
	return n
}

// Add takes an object of the second listing in. One goroutine.
func (n *Names) Add(o *Object) {
	p := place{streamID{o.Input, o.Queue}, o.Chunk, o.Cause != ""}
	if keys, ok := n.wanted[p]; ok && len(keys) < maxKeys {
		n.wanted[p] = append(keys, o.Name)
	}
}

// Done puts the keys into the report.
func (n *Names) Done() {
	for _, keys := range n.wanted {
		slices.Sort(keys)
	}
	n.visit(func(p place) []string { return n.wanted[p] })
}

// visit asks for the keys of each place that a finding of the report names.
func (n *Names) visit(keys func(place) []string) {
	for i := range n.report.Streams {
		s := &n.report.Streams[i]
		id := streamID{s.Input, s.Queue}
		either := func(number uint64) []string {
			return append(slices.Clip(keys(place{id, number, false})), keys(place{id, number, true})...)
		}
		for j := range s.Gaps {
			g := &s.Gaps[j]
			if g.hole.first > 1 {
				if k := either(g.hole.first - 1); len(k) > 0 {
					g.After = k[len(k)-1]
				}
			}
			if g.hole.last < s.Newest {
				if k := either(g.hole.last + 1); len(k) > 0 {
					g.Before = k[0]
				}
			}
		}
		for j := range s.Duplicates {
			d := &s.Duplicates[j]
			d.Keys = keys(place{id, d.Chunk, d.buried})
		}
	}
}
