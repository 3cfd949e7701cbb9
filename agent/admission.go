package agent

import (
	"sync"
	"time"
)

// admission bounds how many partitions an input begins: each costs an object and
// pages of the spool, however few records it has, and whoever can write a log
// can write any value into a field. Any goroutine may use it.
type admission struct {
	mu    sync.Mutex
	begun map[string]uint64 // admitted keys, by their last use
	uses  uint64
	room  float64 // partitions that may begin now
	at    time.Time
}

// partitionCost is what a partition takes of the spool, however short its records.
const partitionCost = 8 << 10

// newPartitions returns how many partitions an input may begin a minute: perMinute,
// but no more than fill a spool of that size, as all may be begun by one batch,
// which is committed as a whole.
func newPartitions(perMinute int, spoolSize int64) int {
	return int(max(1, min(int64(perMinute), spoolSize/partitionCost)))
}

// admit reports whether records may go under key at a time. Keys that were used
// lately may, up to one fewer than open, which leaves one for the rest; of others,
// perMinute a minute.
func (a *admission) admit(key string, now time.Time, open, perMinute int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uses++
	if _, known := a.begun[key]; known {
		a.begun[key] = a.uses
		return true
	}
	switch most := float64(perMinute); {
	case a.begun == nil:
		a.begun, a.room, a.at = make(map[string]uint64), most, now
	case now.After(a.at): // batches of one time are encoded in any order
		a.room, a.at = min(most, a.room+now.Sub(a.at).Minutes()*most), now
	}
	if a.room < 1 {
		return false
	}
	a.room--
	a.begun[key] = a.uses
	for len(a.begun) > max(1, open-1) {
		a.forgetIdlest()
	}
	return true
}

// forgetIdlest forgets the key that was used longest ago, whose chunk the spool
// closes first.
func (a *admission) forgetIdlest() {
	var idlest string
	least := a.uses + 1
	for key, use := range a.begun {
		if use < least {
			idlest, least = key, use
		}
	}
	delete(a.begun, idlest)
}
