package tailer

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
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

// matches reports whether the patterns want path.
func (in *input) matches(path string) bool {
	return slices.ContainsFunc(in.Include, func(p string) bool { return matchOne(p, path) && !passing(p, path) }) && !matchAny(in.Exclude, path)
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchOne(p, path) })
}

func matchOne(pattern, path string) bool { return doublestar.MatchUnvalidated(pattern, path) }

// passingEnds are those of names that editors and copying programs give to files
// that are not complete yet, or not for long.
var passingEnds = [...]string{"~", ".swp", ".tmp"}

// hiddenPattern matches patterns that ask for names that begin with a dot.
var hiddenPattern = regexp.MustCompile(`(^|/)[{[\\\\]*\.|,\.`)

// passing reports whether a path that pattern matches is hidden, or has a name for
// a time only: wildcards don't match such names, a pattern has to have them.
func passing(pattern, path string) bool {
	base, rest := doublestar.SplitPattern(pattern)
	last := rest[strings.LastIndexByte(rest, '/')+1:]
	for _, end := range passingEnds {
		if strings.HasSuffix(path, end) && !strings.Contains(last, strings.TrimPrefix(end, ".")) {
			return true
		}
	}
	return strings.Contains(strings.TrimPrefix(path, base), "/.") && !hiddenPattern.MatchString(rest)
}
