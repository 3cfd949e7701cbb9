package audit

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// runs is a set of chunk numbers: runs of them without a gap, ascending. It takes
// 16 bytes for each run, however long that is. The zero value is empty.
type runs []run

// run is the numbers from first to last.
type run struct{ first, last uint64 }

// add takes n in and reports whether it was not there before.
func (r *runs) add(n uint64) bool {
	s := *r
	i := len(s) - 1 // mostly the newest
	if i < 0 || s[i].first > n {
		i = sort.Search(len(s), func(i int) bool { return s[i].first > n }) - 1
	}
	if i >= 0 && n <= s[i].last {
		return false
	}
	grows := i >= 0 && s[i].last == n-1
	joins := i+1 < len(s) && s[i+1].first-1 == n
	switch {
	case grows && joins:
		s[i].last = s[i+1].last
		*r = slices.Delete(s, i+1, i+2)
	case grows:
		s[i].last = n
	case joins:
		s[i+1].first = n
	default:
		*r = slices.Insert(s, i+1, run{n, n})
	}
	return true
}

// has reports whether n is there.
func (r runs) has(n uint64) bool {
	i := sort.Search(len(r), func(i int) bool { return r[i].last >= n })
	return i < len(r) && r[i].first <= n
}

// last returns the greatest number, 0 if there is none.
func (r runs) last() uint64 {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].last
}

// len returns how many numbers there are, at most the greatest uint64.
func (r runs) len() (n uint64) {
	for _, x := range r {
		n = plus(n, x.last-x.first+1)
	}
	return n
}

// gaps returns the numbers from 1 to end that are not there.
func (r runs) gaps(end uint64) (missing runs) {
	next := uint64(1)
	for _, x := range r {
		if x.first > end {
			break
		}
		if x.first > next {
			missing = append(missing, run{next, x.first - 1})
		}
		if x.last == math.MaxUint64 {
			return missing
		}
		next = x.last + 1
	}
	if next <= end {
		missing = append(missing, run{next, end})
	}
	return missing
}

// union returns the numbers that are in a or b.
func union(a, b runs) runs {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y run) int { return cmp.Compare(x.first, y.first) })
	joined := all[:1]
	for _, x := range all[1:] {
		if end := &joined[len(joined)-1].last; x.first-1 <= *end {
			*end = max(*end, x.last)
		} else {
			joined = append(joined, x)
		}
	}
	return joined
}

// plus adds up to the greatest uint64.
func plus(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
