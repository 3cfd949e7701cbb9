package agent

import (
	"context"
	"runtime/metrics"
	"time"
)

const (
	// calmCheck is how often it is looked whether the agent has become calm.
	calmCheck = 3 * time.Second
	// calmAllocs is what a calm agent may allocate between two looks: glances
	// at 10,000 quiet files and questions of an operator.
	calmAllocs = 1 << 20
	// busyAllocs is how much has to be allocated before giving back is worth
	// the full collection that it takes, about 10 ms with 10,000 files.
	busyAllocs = 16 << 20
)

// giveBack returns free memory to the system each time the agent becomes calm,
// until ctx ends. A start or a scan leaves as much garbage as is live, and
// without allocations no collection would come to take it. allocated counts
// the bytes allocated so far.
func giveBack(ctx context.Context, allocated func() uint64, free func()) {
	tick := time.NewTicker(calmCheck)
	defer tick.Stop()
	var freed, last uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := allocated()
		if now-last < calmAllocs && now-freed >= busyAllocs {
			free()
			freed = now
		}
		last = now
	}
}

// allocated is what the process has allocated on its heap since its start, in bytes.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
