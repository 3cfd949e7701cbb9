package tailer

import (
	"maps"
	"slices"
)

// Match returns the paths of the files that in would follow now, in order,
// and what can't be looked into. It follows nothing.
func Match(in Input) ([]string, []FileError, error) {
	t, err := New(Options{Inputs: []Input{in}}, nil)
	if err != nil {
		return nil, nil, err
	}
	it := t.inputs[0]
	l := t.list(it)
	paths := slices.Sorted(maps.Keys(l.matched))
	paths = slices.DeleteFunc(paths, func(p string) bool { return t.look(it, p, l.matched[p]) == nil })
	return paths, it.snapshot(&it.mu).Errors, nil
}
