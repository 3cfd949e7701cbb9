package agent

import (
	"log/slog"
	"testing"
	"time"

	"github.com/spoolship/spoolship/spool"
)

// An input with much in the spool is blocked while little of it is left, what is on
// its way counted; one with little is not, and nobody is once there is room.
func TestShareBlocksWhoHasMuch(t *testing.T) {
	sp, err := spool.Open(spool.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	coming := int64(0)
	h := newHealth(slog.New(slog.DiscardHandler))
	s := &share{
		spool: sp, health: h, inputs: []string{"much", "little"}, maxSize: 8_000_000,
		inFlight: func() int64 { return coming }, since: make([]time.Time, 2),
	}
	add := func(input string, size int) {
		t.Helper()
		b := spool.Block{Input: input, Name: "{queue}-{chunk}-{records}-{id}", Codec: "none", Limit: 1, Data: make([]byte, size), RawSize: int64(size), Records: 1}
		if err := sp.Append(&spool.Batch{Blocks: []spool.Block{b}}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(much, little bool) {
		t.Helper()
		s.look()
		if s.blocked(0) != much || s.blocked(1) != little || len(h.problems()) != map[bool]int{true: 1}[much]+map[bool]int{true: 1}[little] {
			t.Errorf("blocked %v and %v, want %v and %v; problems %+v", s.blocked(0), s.blocked(1), much, little, h.problems())
		}
		if s.blocks("much") != much {
			t.Error("the roller sees it in another way")
		}
	}
	want(false, false)
	add("much", 6_000_000) // chunk 1
	add("little", 100_000)
	want(false, false)
	coming = 900_000
	want(true, false)
	coming = 0
	add("much", 900_000)
	want(true, false)
	add("little", 400_000) // its part of the reserve is 500,000
	want(true, true)
	if err := sp.Ack(4); err != nil { // a little room is not enough to go on
		t.Fatal(err)
	}
	want(true, false)
	if err := sp.Ack(1); err != nil {
		t.Fatal(err)
	}
	want(false, false)
	var none *share
	if none.blocked(0) || none.blocks("much") || !none.blockedSince(0).IsZero() {
		t.Error("nothing is shared, and yet something is blocked")
	}
}
