package tailer

import (
	"hash/crc32"
	"slices"
	"testing"
)

// One file of every writer has its turn before the second of any, and those of one
// writer keep their order.
func TestByWriters(t *testing.T) {
	a, b := &input{}, &input{}
	of := func(in *input, owner uint32) *file { return &file{in: in, pos: Position{Owner: owner}} }
	x, y, z := of(a, 1), of(a, 1), of(a, 1)
	o, p, q := of(a, 2), of(b, 1), of(b, 1)
	if got, want := byWriters([]*file{x, y, z, o, p, q}), []*file{x, o, p, y, q, z}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := byWriters([]*file{x, y, z}), []*file{x, y, z}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCRCOfNULs(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 255, 4096, 1<<20 + 3} {
		for _, text := range []string{"", "x", "some text\n"} {
			sum := crc32.Checksum([]byte(text), castagnoli)
			if got, want := crcOfNULs(sum, int64(n)), crc32.Update(sum, castagnoli, make([]byte, n)); got != want {
				t.Errorf("%q and %d NULs: %08x, want %08x", text, n, got, want)
			}
		}
	}
}
