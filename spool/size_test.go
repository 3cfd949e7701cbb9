package spool

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"testing"
)

// Whatever the sizes of segments, chunks and blocks, and however many of each: the
// files of what is not shipped take at most twice what MaxSize counts, a segment
// and a batch, and at least a third of it.
func TestMaxSizeCountsTheDisk(t *testing.T) {
	for seed := range int64(12) {
		r := rand.New(rand.NewSource(seed))
		segment := [...]int64{64 << 10, 1 << 20}[r.Intn(2)]
		limit := [...]int64{1, 8 << 10, 1 << 20}[r.Intn(3)]
		partitions := 1 << r.Intn(9)
		sizes := [...]int{100, 1500, 6000, 60_000}
		first, kinds := r.Intn(len(sizes)), 1+r.Intn(2)
		s := openTest(t, Options{Dir: t.TempDir(), SegmentSize: segment})
		var taken, batch int64
		for i := 0; taken < 8<<20; {
			var b Batch
			most := sizes[(first+r.Intn(kinds))%len(sizes)]
			for range 1 + r.Intn(min(100, 2_000_000/most)) {
				k := testBlock("a", fmt.Sprint(i), 1+r.Intn(most), limit)
				k.Name = fmt.Sprintf("%d/%s", r.Intn(partitions), nameTemplate)
				b.Blocks = append(b.Blocks, k)
				i++
			}
			if err := s.Append(&b); err != nil {
				t.Fatal(err)
			}
			before := taken
			taken = s.Stats().Taken
			batch = max(batch, taken-before)
		}
		var disk int64
		files, err := filepath.Glob(filepath.Join(s.segs.dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			used, err := diskUsage(f)
			if err != nil {
				t.Fatal(err)
			}
			disk += used
		}
		of := fmt.Sprintf("seed %d: %d segments of %d, %d partitions, %d chunks of %d, blocks up to %d: %d bytes of disk, %d taken, %d by a batch",
			seed, len(files), segment, partitions, s.Len(), limit, sizes[first], disk, taken, batch)
		t.Log(of)
		if disk > 2*taken+segment+batch || 3*disk < taken {
			t.Error(of)
		}
		closeTest(t, s)
	}
}
