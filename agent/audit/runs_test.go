package audit

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What is in a set, and what is not, is what was added.
func TestRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.SampledFrom([]uint64{1, 7, math.MaxUint64 - 40}).Draw(t, "base")
		draw := rapid.SliceOf(rapid.Uint64Range(base, base+40))
		var r, other runs
		want := map[uint64]bool{}
		for _, n := range draw.Draw(t, "numbers") {
			if r.add(n) == want[n] {
				t.Fatalf("adding %d: it is new: %v", n, want[n])
			}
			want[n] = true
		}
		both := map[uint64]bool{}
		for n := range want {
			both[n] = true
		}
		for _, n := range draw.Draw(t, "others") {
			other.add(n)
			both[n] = true
		}
		check := func(r runs, want map[uint64]bool) {
			last := uint64(0)
			for n := range want {
				last = max(last, n)
			}
			if r.len() != uint64(len(want)) || r.last() != last {
				t.Fatalf("%v: len %d, last %d; want %d, %d", r, r.len(), r.last(), len(want), last)
			}
			missing := r.gaps(base + 40)
			for n := base; ; n++ {
				if r.has(n) != want[n] || missing.has(n) == want[n] {
					t.Fatalf("%v has %d: %v, is missing: %v; want %v", r, n, r.has(n), missing.has(n), want[n])
				}
				if n == base+40 {
					break
				}
			}
			for i := 1; i < len(r); i++ {
				if r[i].first <= r[i-1].last+1 {
					t.Fatalf("%v: runs %d and %d are one", r, i-1, i)
				}
			}
		}
		check(r, want)
		check(union(r, other), both)
	})
}

// An audit that keeps every key, and looks at each number on its own, finds the same.
func TestReportIsThatOfAllKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var keys []string
		all := map[streamID]map[uint64][2][]string{} // keys of records and of tombstones
		for i := range rapid.IntRange(0, 60).Draw(t, "keys") {
			id := streamID{rapid.SampledFrom([]string{"app", "web"}).Draw(t, "input"), rapid.SampledFrom([]string{queueA, queueB}).Draw(t, "queue")}
			n := rapid.Uint64Range(1, 25).Draw(t, "number")
			buried := rapid.IntRange(0, 4).Draw(t, "buried") == 0
			records, kind := fmt.Sprint(i+1), 0
			if buried {
				records, kind = "0.dropped", 1
			}
			k := key(id.input, id.queue, n, records)
			k = k[:len(k)-len("0.ndjson.gz")] + fmt.Sprintf("%x.ndjson.gz", i%16) // another id
			if slices.Contains(keys, k) {
				continue
			}
			keys = append(keys, k)
			if all[id] == nil {
				all[id] = map[uint64][2][]string{}
			}
			both := all[id][n]
			both[kind] = append(both[kind], k)
			all[id][n] = both
		}
		var states []State
		for _, queue := range []string{queueA, queueB} {
			if rapid.Bool().Draw(t, "state") {
				s := State{Input: "app", Queue: queue, Next: rapid.Uint64Range(1, 30).Draw(t, "next")}
				for n := uint64(1); n < s.Next; n++ {
					if rapid.IntRange(0, 3).Draw(t, "waits") == 0 {
						s.Waiting = append(s.Waiting, n)
					}
				}
				states = append(states, s)
			}
		}
		got := reportOf(t, states, keys...)
		want := naive(all, states)
		if a, b := fmt.Sprintf("%+v", summary(got)), fmt.Sprintf("%+v", want); a != b {
			t.Fatalf("got  %s\nwant %s", a, b)
		}
	})
}

// verdict is what a report says of a stream, as text.
type verdict struct {
	Stream      streamID
	Newest      uint64
	Gaps, Twice []string
	Tombs       []string
}

func summary(r *Report) (list []verdict) {
	for i := range r.Streams {
		s := &r.Streams[i]
		v := verdict{Stream: streamID{s.Input, s.Queue}, Newest: s.Newest}
		for _, g := range s.Gaps {
			v.Gaps = append(v.Gaps, fmt.Sprint(g.First, g.Last, g.After, g.Before))
		}
		for _, d := range s.Duplicates {
			v.Twice = append(v.Twice, fmt.Sprint(d.Chunk, d.Keys))
		}
		slices.Sort(v.Twice)
		for _, tomb := range s.Tombstones {
			v.Tombs = append(v.Tombs, fmt.Sprint(tomb.Chunk, tomb.Key, tomb.Arrived))
		}
		list = append(list, v)
	}
	return list
}

func naive(all map[streamID]map[uint64][2][]string, states []State) (list []verdict) {
	ends, waits := map[streamID]uint64{}, map[streamID][]uint64{}
	for _, s := range states {
		id := streamID{s.Input, s.Queue}
		ends[id], waits[id] = s.Next-1, s.Waiting
		if all[id] == nil && s.Next > 1 {
			all[id] = map[uint64][2][]string{}
		}
	}
	for id, numbers := range all {
		v := verdict{Stream: id}
		for n := range numbers {
			v.Newest = max(v.Newest, n)
		}
		at := func(n uint64) []string {
			both := numbers[n]
			keys := slices.Concat(both[0], both[1])
			slices.Sort(both[0])
			slices.Sort(both[1])
			if len(keys) > 0 {
				keys = slices.Concat(both[0], both[1])
			}
			return keys
		}
		after, first := "", uint64(0)
		end := max(v.Newest, ends[id])
		for n := uint64(1); n <= end+1; n++ {
			missing := n <= end && len(at(n)) == 0 && !slices.Contains(waits[id], n)
			if missing && first == 0 {
				first = n
			}
			if !missing && first > 0 {
				before := ""
				for m := n; m <= end && before == ""; m++ {
					if keys := at(m); len(keys) > 0 {
						before = keys[0]
					}
				}
				v.Gaps = append(v.Gaps, fmt.Sprint(first, n-1, after, before))
				first = 0
			}
			if keys := at(n); len(keys) > 0 {
				after = keys[len(keys)-1]
			}
			for kind, keys := range numbers[n] {
				if len(keys) > 1 {
					v.Twice = append(v.Twice, fmt.Sprint(n, keys))
				}
				for _, k := range keys {
					if kind == 1 {
						v.Tombs = append(v.Tombs, fmt.Sprint(n, k, len(numbers[n][0]) > 0))
					}
				}
			}
		}
		slices.Sort(v.Twice)
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b verdict) int {
		return cmp.Or(cmp.Compare(a.Stream.input, b.Stream.input), cmp.Compare(a.Stream.queue, b.Stream.queue))
	})
	return list
}

// A bucket in which every other chunk of a million is missing, and each of the others
// is there twice, is counted in full and named in part.
func TestReportIsBounded(t *testing.T) {
	a := &Audit{}
	o := Object{Name: "k"}
	o.Input, o.Queue = "app", queueA
	for range 2 {
		for n := uint64(2); n <= 1_000_000; n += 2 {
			o.Chunk = n
			a.Add(&o)
		}
	}
	r := a.Report(nil)
	if s := r.Streams[0]; r.Missing != 500_000 || r.Duplicates != 500_000 || len(s.Gaps) != maxFindings || len(s.Duplicates) != maxFindings {
		t.Errorf("%d missing, %d twice, %d gaps and %d duplicates named", r.Missing, r.Duplicates, len(s.Gaps), len(s.Duplicates))
	}
}
