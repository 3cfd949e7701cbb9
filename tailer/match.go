package tailer

import (
	"maps"
	"slices"
)

// Match returns the paths of the files that in would follow now, in order,
// and what can't be looked into: at most 20 of these, and how many more there are.
// It follows nothing. private is as in Options.
func Match(in Input, private []string) (paths []string, problems []FileError, more int, err error) {
	t, err := New(Options{Inputs: []Input{in}, Private: private}, nil)
	if err != nil {
		return nil, nil, 0, err
	}
	it := t.inputs[0]
	t.private.load()
	l := t.list(it)
	paths = slices.Sorted(maps.Keys(l.matched))
	paths = slices.DeleteFunc(paths, func(p string) bool { return t.look(it, p, l.matched[p]) == nil })
	s := it.snapshot(&it.mu)
	return paths, s.Errors, s.MoreErrors, nil
}
