package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/spoolship/spoolship/spool"
)

// A file is delivered once its lines are durable and every chunk that may hold
// some of them is acked, whatever comes after.
func TestDeliveries(t *testing.T) {
	in, sp, closeAll := newTestIntake(t, newSite(t), time.Hour)
	defer closeAll()
	d := &deliveries{spool: sp, waits: in.waits, lost: lostChunks(sp), files: make(map[uint64]*delivery)}
	want := func(when string, want ...uint64) {
		t.Helper()
		if got := d.of(0, "app", []uint64{1}); !slices.Equal(got, want) {
			t.Errorf("%s: delivered %v, want %v", when, got, want)
		}
	}
	durable := func() uint64 {
		t.Helper()
		in.mu.Lock()
		err := in.cut()
		in.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "all is durable", func() bool { return in.waits.since(0).IsZero() })
		if _, err := sp.Seal(func(spool.Chunk) bool { return true }); err != nil {
			t.Fatal(err)
		}
		chunks := sp.Chunks()
		return chunks[len(chunks)-1].Seq
	}
	ack := func(seq uint64) {
		t.Helper()
		if err := sp.Ack(seq); err != nil {
			t.Fatal(err)
		}
	}
	give(t, in, 0, "{}\n")
	before := durable()
	give(t, in, 3, "{}\n")
	want("its last line is in a batch")
	ack(before)
	want("what is durable has arrived, and more is in a batch")
	last := durable()
	want("its last line is spooled")
	give(t, in, 6, "{}\n")
	later := durable()
	ack(last)
	want("it has arrived, later lines have not", 1)
	want("asked about anew while something is on its way")
	ack(later)
	want("all has arrived", 1)

	give(t, in, 9, "{}\n")
	if err := sp.Bury(durable(), "damaged"); err != nil {
		t.Fatal(err)
	}
	chunks := sp.Chunks()
	ack(chunks[0].Seq) // its tombstone
	want("a chunk was lost")
}
