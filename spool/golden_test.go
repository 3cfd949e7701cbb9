package spool

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden directory of the current format anew")

const goldenDir = "testdata/format1"

// Case: the directory that this format was released with stays readable. It
// has a closed segment, open and sealed chunks of both, a tombstone and
// positions. golden.json says what is to be found in it.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	want, err := os.ReadFile(filepath.Join(goldenDir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyDir(t, goldenDir, dir)
	s := openTest(t, Options{Dir: dir, ReadOnly: true})
	if got := goldenJSON(t, s); !bytes.Equal(got, want) {
		t.Fatalf("got %s\nwant %s", got, want)
	}
	closeTest(t, s)
	// It is a copy, so it goes on under an id of its own.
	s = openTest(t, Options{Dir: dir})
	for _, c := range s.Chunks() {
		if _, err := readChunk(s, c.Seq); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, s, testBlock("a", "new", 100, 1<<20))
}

func goldenJSON(t *testing.T, s *Spool) []byte {
	type item struct {
		Chunk  Chunk
		Blocks []Block
	}
	var items []item
	for _, c := range s.Chunks() {
		c.Opened, c.Sealed = c.Opened.UTC(), c.Sealed.UTC()
		it := item{Chunk: c}
		r, err := s.OpenChunk(c.Seq)
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Len() {
			b, err := r.Block(i)
			if err != nil {
				t.Fatal(err)
			}
			k := *b
			k.Data, k.Ranges = bytes.Clone(k.Data), append([]Range{}, k.Ranges...)
			it.Blocks = append(it.Blocks, k)
		}
		items = append(items, it)
	}
	ps, err := s.Positions()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(map[string]any{"Chunks": items, "Positions": ps, "Queue": s.Stats().Queue}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func writeGolden(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, SegmentSize: 24 << 10})
	for i := range 12 {
		b := testBlock([]string{"a", "b"}[i%2], fmt.Sprint(i), 2500, 8000)
		b.Codec = []string{"gzip", "zstd"}[i%2]
		b.Encoding = Encoding(i % 2)
		if err := s.Append(&Batch{Blocks: []Block{b}, Positions: []Position{{File: uint64(i % 3), Data: fmt.Append(nil, i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Bury(1, "for the record"); err != nil {
		t.Fatal(err)
	}
	if s.head.number < 2 {
		t.Fatal("only one segment")
	}
	closeTest(t, s)
	if err := os.RemoveAll(goldenDir); err != nil {
		t.Fatal(err)
	}
	copyDir(t, filepath.Join(dir, queueDir), filepath.Join(goldenDir, queueDir))
	copyFile(t, filepath.Join(dir, lockName), filepath.Join(goldenDir, lockName))
	s = openTest(t, Options{Dir: dir, ReadOnly: true})
	if err := os.WriteFile(filepath.Join(goldenDir, "golden.json"), goldenJSON(t, s), 0o640); err != nil {
		t.Fatal(err)
	}
}
