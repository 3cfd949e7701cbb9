package spool

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// benchBatch is seven blocks of 100 KB, as a commit under load has them.
func benchBatch() *Batch {
	b := &Batch{Positions: []Position{{File: 1, Data: content("p", 600)}}}
	for i := range 7 {
		b.Blocks = append(b.Blocks, testBlock("a", fmt.Sprint(i), 100_000, 8<<20))
	}
	return b
}

// BenchmarkAppend appends batches of 700 KB and acks full chunks.
func BenchmarkAppend(b *testing.B) {
	s := openTest(b, Options{Dir: b.TempDir()})
	batch := benchBatch()
	b.SetBytes(batch.size())
	b.ReportAllocs()
	before := diskWrites(b)
	for b.Loop() {
		if err := s.Append(batch); err != nil {
			b.Fatal(err)
		}
		for _, c := range s.Chunks() {
			if c.State == StateSealed {
				if err := s.Ack(c.Seq); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.ReportMetric(float64(diskWrites(b)-before)/float64(b.N)/float64(batch.size()), "written/payload")
}

// diskWrites is what this process has written so far. It is /proc/self/io's
// wchar, not its write_bytes: that counts a whole large folio of the page cache
// for each page of it that is written.
func diskWrites(b *testing.B) (n int64) {
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("only Linux counts what a process writes: ", err)
	}
	_, rest, _ := strings.Cut(string(io), "wchar: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkRead reads a chunk of 8 MiB from a closed segment.
func BenchmarkRead(b *testing.B) {
	s := openTest(b, Options{Dir: b.TempDir(), SegmentSize: 8 << 20})
	for range 14 {
		if err := s.Append(benchBatch()); err != nil {
			b.Fatal(err)
		}
	}
	c := s.Chunks()[0]
	b.SetBytes(c.StoredSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.OpenChunk(c.Seq)
		if err != nil {
			b.Fatal(err)
		}
		for i := range r.Len() {
			if _, err := r.Block(i); err != nil {
				b.Fatal(err)
			}
		}
	}
}
