package agent

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestGiveBack(t *testing.T) {
	const mib = 1 << 20
	cases := []struct {
		name   string
		allocs []uint64 // between the looks
		frees  []int    // the looks that give back
	}{
		{"calm after a start", []uint64{20 * mib, 0, 0, 0}, []int{2}},
		{"small start", []uint64{8 * mib, 0, 0}, nil},
		{"always busy", []uint64{20 * mib, 20 * mib, 2 * mib, mib}, nil},
		{"a few lines are calm", []uint64{20 * mib, mib - 1}, []int{2}},
		{"calm twice", []uint64{20 * mib, 0, 0, 17 * mib, 0, 0}, []int{2, 5}},
		{"small things add up", slices.Repeat([]uint64{mib / 2}, 40), []int{32}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(c.allocs))*calmCheck+calmCheck/2)
				defer cancel()
				var sum uint64
				var frees []int
				look := 0
				giveBack(ctx, func() uint64 {
					sum += c.allocs[look]
					look++
					return sum
				}, func() { frees = append(frees, look) })
				if look != len(c.allocs) || !slices.Equal(frees, c.frees) {
					t.Errorf("gave back at looks %v of %d, want %v of %d", frees, look, c.frees, len(c.allocs))
				}
			})
		})
	}
}

// sunk keeps an allocation on the heap.
var sunk []byte

func TestAllocated(t *testing.T) {
	before := allocated()
	sunk = make([]byte, 8<<20)
	if n := allocated() - before; n < 8<<20 {
		t.Errorf("%d bytes counted of 8 MiB", n)
	}
	sunk = nil
}
