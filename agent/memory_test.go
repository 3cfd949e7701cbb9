package agent

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

// keep runs keepMemory over the given looks.
func keep(t *testing.T, looks int, usage func(look int) (allocated, live uint64)) (frees []int, limits []int64) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(looks)*calmCheck+calmCheck/2)
		defer cancel()
		look := 0
		keepMemory(ctx, heap{
			usage: func() (uint64, uint64) { look++; return usage(look) },
			free:  func() { frees = append(frees, look) },
			limit: func(n int64) { limits = append(limits, n) },
		})
		if look != looks {
			t.Errorf("looked %d times, want %d", look, looks)
		}
	})
	return frees, limits
}

func TestGiveBack(t *testing.T) {
	cases := []struct {
		name   string
		allocs []uint64 // between the looks
		frees  []int    // the looks that give back
	}{
		{"calm after a start", []uint64{20 * mib, 0, 0, 0}, []int{2}},
		{"small start", []uint64{5 * mib, 0, 0}, nil},
		{"always busy", []uint64{20 * mib, 20 * mib, 2 * mib, calmAllocs}, nil},
		{"a few lines are calm", []uint64{20 * mib, calmAllocs - 1}, []int{2}},
		{"calm twice", []uint64{20 * mib, 0, 0, 17 * mib, 0, 0}, []int{2, 5}},
		{"small things add up", slices.Repeat([]uint64{mib / 4}, 28), []int{24}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var sum uint64
			frees, _ := keep(t, len(c.allocs), func(look int) (uint64, uint64) {
				sum += c.allocs[look-1]
				return sum, 0
			})
			if !slices.Equal(frees, c.frees) {
				t.Errorf("gave back at looks %v, want %v", frees, c.frees)
			}
		})
	}
}

// The limit leaves room above what is live, and ends with the keeper.
func TestMemoryLimit(t *testing.T) {
	live := []uint64{10 * mib, 30 * mib, 100 * mib, 20 * mib}
	_, limits := keep(t, len(live), func(look int) (uint64, uint64) { return 0, live[look-1] })
	want := []int64{memoryLimit, memoryLimit, memoryLimit, 150 * mib, memoryLimit, math.MaxInt64}
	if !slices.Equal(limits, want) {
		t.Errorf("limits %v, want %v", limits, want)
	}
}

// sunk keeps an allocation on the heap.
var sunk []byte

func TestHeapUsage(t *testing.T) {
	before, _ := heapUsage()
	sunk = make([]byte, 8*mib)
	runtime.GC()
	if now, live := heapUsage(); now-before < 8*mib || live < 8*mib {
		t.Errorf("%d bytes allocated and %d live, of 8 MiB", now-before, live)
	}
	sunk = nil
}
