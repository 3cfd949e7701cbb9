package config

import (
	"slices"
	"strconv"
)

// nearest returns the one of known that word was probably meant to be, or "".
// A quarter of the letters may differ: enough for typos and plurals, too
// little to make "bucket" of "socket".
func nearest(word string, known []string) string {
	const longest = 40 // no key is; the work grows with the square of it
	if len(word) > longest {
		return ""
	}
	best, least := "", (len(word)+1)/4+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// didYouMean is a hint that names the nearest known word, or "".
func didYouMean(word string, known []string) string {
	if k := nearest(word, known); k != "" {
		return "did you mean " + strconv.Quote(k) + "?"
	}
	return ""
}

// distance is the edit distance of a and b in bytes: insertions, deletions,
// changes, and swaps of neighbours count 1 each.
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// sortedKeys makes the order of problems independent of map order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
