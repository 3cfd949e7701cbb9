package agent

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryLimit is what the runtime may use before it collects. Nearly all of
	// the heap is buffers that are used again and pages that bbolt throws away,
	// so using the room up to here saves most collections, and the peak stays
	// where it is known.
	memoryLimit = 50 << 20
	// calmCheck is how often it is looked whether the agent has become calm.
	calmCheck = time.Second
	// calmAllocs is what a calm agent may allocate between two looks: a glance
	// at quiet files and questions of an operator.
	calmAllocs = 512 << 10
	// busyAllocs is how much has to be allocated before giving back is worth
	// the full collection that it takes, about 10 ms with 10,000 files.
	busyAllocs = 6 << 20
)

// heap is what the memory's keeper sees of the runtime, and does to it.
type heap struct {
	usage func() (allocated, live uint64) // bytes since the start, and at the last collection
	free  func()                          // collects, and returns free memory to the system
	limit func(bytes int64)               // from which on it collects; MaxInt64: each time the heap has doubled
}

// runtimeHeap is the real one. What the environment says of the collector is
// left alone.
func runtimeHeap() heap {
	h := heap{usage: heapUsage, free: debug.FreeOSMemory, limit: limitHeap}
	if os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" {
		h.limit = func(int64) {}
	}
	return h
}

func limitHeap(n int64) {
	percent := -1
	if n == math.MaxInt64 {
		percent = 100
	}
	debug.SetMemoryLimit(n)
	debug.SetGCPercent(percent)
}

// keepMemory bounds what the runtime takes and returns free memory to the
// system each time the agent becomes calm, until ctx ends. A start or a scan
// leaves as much garbage as is live, and without allocations no collection
// would come to take it.
func keepMemory(ctx context.Context, h heap) {
	h.limit(memoryLimit)
	defer h.limit(math.MaxInt64)
	tick := time.NewTicker(calmCheck)
	defer tick.Stop()
	var freed, last uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, live := h.usage()
		// Where more is live, as with very many files, a limit near it would
		// only make the runtime collect all the time.
		h.limit(max(memoryLimit, int64(live+live/2)))
		if now-last < calmAllocs && now-freed >= busyAllocs {
			h.free()
			freed = now
		}
		last = now
	}
}

func heapUsage() (allocated, live uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
