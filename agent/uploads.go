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
