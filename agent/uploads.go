package agent

import (
	"maps"
	"sync"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
)

// UploadStats are the figures of the uploads since the start.
type UploadStats struct {
	Objects    int64 `json:"objects"`
	Bytes      int64 `json:"bytes"`     // of objects, compressed
	RawBytes   int64 `json:"raw_bytes"` // of records
	Records    int64 `json:"records"`
	Tombstones int64 `json:"tombstones"`
	Failures   int64 `json:"failures"` // attempts
	// The same by class: "config" waits for the operator.
	FailuresByClass map[string]int64 `json:"failures_by_class,omitempty"`
	Rebuilt         int64            `json:"rebuilt"` // damaged blocks that were restored
	LastKey         string           `json:"last_key,omitempty"`
	LastTime        time.Time        `json:"last_time,omitzero"`

	Durations Durations `json:"-"` // of attempts that were confirmed
}

// durationBounds are the upper bounds that Durations sorts by, in seconds.
var durationBounds = [...]float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

// Durations says how long something took.
type Durations struct {
	Count  uint64
	Sum    float64                     // seconds
	AtMost [len(durationBounds)]uint64 // how many took at most as long as each bound
}

func (d *Durations) add(took time.Duration) {
	s := took.Seconds()
	d.Count++
	d.Sum += s
	for i, bound := range durationBounds {
		if s <= bound {
			d.AtMost[i]++
		}
	}
}

// uploadLog keeps UploadStats. Any goroutine may use it.
type uploadLog struct {
	mu    sync.Mutex
	stats UploadStats
}

func (l *uploadLog) update(f func(*UploadStats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.stats)
}

func (l *uploadLog) snapshot() UploadStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := l.stats
	st.FailuresByClass = maps.Clone(st.FailuresByClass)
	return st
}

// took counts how long a confirmed attempt took.
func (l *uploadLog) took(d time.Duration) {
	l.update(func(st *UploadStats) { st.Durations.add(d) })
}

// failed counts a failed attempt.
func (l *uploadLog) failed(c sink.Class) {
	l.update(func(st *UploadStats) {
		st.Failures++
		if st.FailuresByClass == nil {
			st.FailuresByClass = make(map[string]int64)
		}
		st.FailuresByClass[c.String()]++
	})
}
