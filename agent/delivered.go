package agent

import (
	"time"

	"github.com/spoolship/spoolship/spool"
)

// deliveries says of finished files whether all of them is in the bucket: when
// everything of their input that was read before is durable, it lies in the
// chunks that there are then, and once these are acked it has arrived. One
// goroutine uses it, the tailer's.
type deliveries struct {
	spool *spool.Spool
	waits *waits
	lost  int64 // lostChunks when this process began
	files map[uint64]*delivery

	inputs map[string]bool // that are configured
}

// lostChunks counts the chunks that were set aside or dropped.
func lostChunks(sp *spool.Spool) int64 {
	st := sp.Stats()
	return st.Quarantined + st.Dropped.Chunks
}

// delivery is what is known of one file.
type delivery struct {
	asked time.Time // first
	known bool      // what follows is
	until uint64    // Seq of the newest chunk that can hold lines of it; 0: there was none
}

// of returns those files of an input that are delivered. Once a chunk was lost there
// are none until a restart: a file may be the last that has its lines.
func (d *deliveries) of(input int, name string, files []uint64) (delivered []uint64) {
	if lostChunks(d.spool) > d.lost {
		return nil
	}
	waiting := d.waits.since(input) // before looking at the chunks: what is durable is there
	var oldest, newest uint64
	for _, c := range d.spool.Chunks() {
		if c.Input == name || d.inputs != nil && !d.inputs[c.Input] { // it may be what the input was called
			if oldest == 0 {
				oldest = c.Seq
			}
			newest = c.Seq
		}
	}
	now := time.Now()
	for _, id := range files {
		f := d.files[id]
		if f == nil {
			f = &delivery{asked: now}
			d.files[id] = f
		}
		if !f.known && (waiting.IsZero() || waiting.After(f.asked)) {
			f.known, f.until = true, newest
		}
		if f.known && (oldest == 0 || oldest > f.until) {
			delivered = append(delivered, id)
			delete(d.files, id)
		}
	}
	return delivered
}
