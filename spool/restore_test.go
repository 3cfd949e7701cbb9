package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
)

// restoreSpool has chunks of a few blocks each over several segments. It
// returns what they hold.
func restoreSpool(t *testing.T, dir string) (*Spool, dumped) {
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 16 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 40_000, 1<<20), testBlock("b", fmt.Sprint("b", i), 300+i, 1<<20))
		if i%5 == 4 {
			sealAll(t, s)
		}
	}
	sealAll(t, s)
	return s, dump(t, s)
}

// rebuildTest knows the contents of restoreSpool.
func rebuildTest(b *Block, fits func([]byte) bool) ([]byte, error) {
	for i := range 16 {
		for _, tag := range []string{fmt.Sprint(i), fmt.Sprint("b", i)} {
			if data := content(tag, int(b.RawSize)); fits(data) {
				return data, nil
			}
		}
	}
	return nil, errors.New("no such block")
}

func noRebuild(*Block, func([]byte) bool) ([]byte, error) {
	return nil, errors.New("the source is gone")
}

// spoilAll damages the data of every block of a chunk.
func spoilAll(t *testing.T, s *Spool, seq uint64) {
	t.Helper()
	m := s.idx.chunks[seq]
	for _, e := range m.extents {
		if err := spoil(s, e.segment, m); err != nil {
			t.Fatal(err)
		}
	}
}

// spoilPages damages a closed segment so that no page of it can be trusted.
func spoilPages(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 8192), 0); err != nil {
		t.Fatal(err)
	}
}

func wantSame(t *testing.T, s *Spool, want dumped) {
	t.Helper()
	if got := dump(t, s); fmt.Sprint(got.Chunks) != fmt.Sprint(want.Chunks) || fmt.Sprint(got.Contents) != fmt.Sprint(want.Contents) {
		t.Fatalf("the spool differs from what it was")
	}
}

// Case: the data of every block is damaged, in closed segments and in the
// head. Restored, the chunks are what they were, name and id included, and stay
// so over a restart, a hand-over and the replacement of a suspect head.
func TestRestoreData(t *testing.T) {
	dir := quickDir(t)
	s, want := restoreSpool(t, dir)
	if s.head.number < 3 {
		t.Fatal("too few segments")
	}
	for _, c := range want.Chunks {
		spoilAll(t, s, c.Seq)
		var d *DamageError
		if _, err := readChunk(s, c.Seq); !errors.As(err, &d) || len(d.Ranges) == 0 {
			t.Fatalf("chunk %d: %v", c.Seq, err)
		}
		if n, err := s.Restore(c.Seq, rebuildTest); err != nil || n != c.Blocks {
			t.Fatalf("chunk %d: %d of %d blocks restored, %v", c.Seq, n, c.Blocks, err)
		}
	}
	wantSame(t, s, want)
	for _, suspect := range []bool{false, true, true} {
		closeTest(t, s)
		s = openTest(t, Options{Dir: dir, SegmentSize: testSize, Suspect: suspect})
		wantSame(t, s, want)
	}
	if err := s.handOver(false); err != nil {
		t.Fatal(err)
	}
	wantSame(t, s, want)
	ackAll(t, s)
}

// ackAll acks everything and looks for what stays behind.
func ackAll(t *testing.T, s *Spool) {
	t.Helper()
	for _, c := range s.Chunks() {
		if err := s.Ack(c.Seq); err != nil {
			t.Fatal(err)
		}
		if keys, err := s.restoredKeys(1, c.Seq); err != nil || len(keys) > 0 {
			t.Fatalf("restored blocks of an acked chunk: %v, %v", keys, err)
		}
	}
	if n := s.Stats().Segments; n != 1 {
		t.Fatalf("%d segments", n)
	}
}

// Case: the pages of a closed segment are damaged, and some of the data. The
// blocks are found in the file by their magic.
func TestRestorePages(t *testing.T) {
	for _, spoilt := range []bool{false, true} {
		t.Run(fmt.Sprint("data too ", spoilt), func(t *testing.T) {
			dir := quickDir(t)
			s, want := restoreSpool(t, dir)
			if spoilt {
				spoilAll(t, s, 1)
			}
			path := s.segs.path(1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			spoilPages(t, path)
			s, err := Open(Options{Dir: dir, SegmentSize: testSize})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() // verify goes on to complain about the segment
			var d *DamageError
			if _, err := readChunk(s, 1); !errors.As(err, &d) {
				t.Fatalf("read: %v", err)
			}
			for _, c := range want.Chunks {
				rebuild := Rebuild(noRebuild)
				if spoilt {
					rebuild = rebuildTest
				}
				if _, err := s.Restore(c.Seq, rebuild); err != nil {
					t.Fatal(err)
				}
			}
			wantSame(t, s, want)
			if err := s.handOver(false); err != nil {
				t.Fatal(err)
			}
			wantSame(t, s, want)
			ackAll(t, s)
		})
	}
}

// Case: a chunk can't be made whole. It stays damaged, can be buried with all
// that is to be found of it, and the others are not touched.
func TestRestoreFails(t *testing.T) {
	for name, rebuild := range map[string]Rebuild{
		"gone":  noRebuild,
		"other": func(b *Block, _ func([]byte) bool) ([]byte, error) { return content("x", int(b.RawSize)), nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := quickDir(t)
			s, want := restoreSpool(t, dir)
			spoilAll(t, s, 1)
			var d *DamageError
			if n, err := s.Restore(1, rebuild); !errors.As(err, &d) || n != 0 || d.Chunk != 1 {
				t.Fatalf("%d restored: %v", n, err)
			}
			if err := s.Bury(1, "damaged"); err != nil {
				t.Fatal(err)
			}
			for i, c := range want.Chunks[1:] {
				if data, err := readChunk(s, c.Seq); err != nil || string(data) != want.Contents[i+1] {
					t.Fatal(err)
				}
			}
			if _, err := s.Restore(99, rebuild); !errors.Is(err, ErrNoChunk) {
				t.Fatalf("unknown chunk: %v", err)
			}
		})
	}
}

// Case: a block's header is damaged, so nothing says what its data was.
func TestRestoreHeader(t *testing.T) {
	dir := quickDir(t)
	s, _ := restoreSpool(t, dir)
	m := s.idx.chunks[1]
	ps, err := s.places(m.extents[0].segment, m)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.segs.path(m.extents[0].segment), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, ps[1].at+20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var d *DamageError
	if _, err := s.Restore(1, rebuildTest); !errors.As(err, &d) || d.Ranges != nil {
		t.Fatalf("restored: %v", err)
	}
	if err := s.Bury(1, "damaged"); err != nil {
		t.Fatal(err)
	}
}

// Case: what is set aside of a segment with damaged pages.
func TestBuryDamagedPages(t *testing.T) {
	dir := quickDir(t)
	s, want := restoreSpool(t, dir)
	path := s.segs.path(1)
	closeTest(t, s)
	spoilPages(t, path)
	s, err := Open(Options{Dir: dir, SegmentSize: testSize})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Bury(1, "pages"); err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	collectQuarantine(t, s, dir, found)
	var all []byte
	for name, data := range found {
		if strings.Contains(name, "-a-") {
			all = data
		}
	}
	if string(all) != want.Contents[0] {
		t.Fatalf("%d bytes set aside, want %d", len(all), len(want.Contents[0]))
	}
}

// Case: blocks anywhere in a file, damaged ones, and bytes that only look like
// one; the file has unreadable sectors.
func TestCarve(t *testing.T) {
	value := func(n int) []byte {
		b := testBlock("a", fmt.Sprint(n), n, 1)
		h := header{queue: "0123456789abcdef", seq: 1, number: 1, batch: uint64(n), stored: uint64(n), dataCRC: crc32.Checksum(b.Data, castagnoli), block: &b}
		return append(appendHeader(nil, &h), b.Data...)
	}
	var file []byte
	file = append(file, "noise"...)
	file = append(file, value(100)...)
	file = append(file, blockMagic[:]...)
	file = append(file, value(3000)...)
	file = append(file, make([]byte, carveWindow-len(file)-3)...) // the next magic lies across the border
	file = append(file, value(200)...)
	spoilt := value(5000)
	spoilt[len(spoilt)-1]++
	file = append(file, spoilt...)
	file = append(file, value(64)...)
	file = append(file, value(777)[:400]...)
	var got []string
	err := carve(bytes.NewReader(file), int64(len(file)), func(c *carved) error {
		got = append(got, fmt.Sprint(c.h.batch, c.sound))
		return nil
	})
	if want := "[100 true 3000 true 200 true 5000 false 64 true]"; err != nil || fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s, %v", got, want, err)
	}
	got = nil
	bad := &badDisk{bytes.NewReader(file), sector, 2 * sector}
	err = carve(bad, int64(len(file)), func(c *carved) error {
		got = append(got, fmt.Sprint(c.h.batch, c.sound))
		return nil
	})
	if want := "[100 true 3000 true 200 true 5000 false 64 true]"; err != nil || fmt.Sprint(got) != want {
		t.Fatalf("with a bad sector: got %v, want %s, %v", got, want, err)
	}
}

// badDisk cannot read some of its bytes.
type badDisk struct {
	*bytes.Reader
	from, to int64
}

func (d *badDisk) ReadAt(b []byte, at int64) (int, error) {
	if at < d.to && at+int64(len(b)) > d.from {
		return 0, errors.New("bad sector")
	}
	return d.Reader.ReadAt(b, at)
}

// Any file can be carved, and what comes out is a block.
func FuzzCarve(f *testing.F) {
	b := testBlock("a", "seed", 100, 1)
	h := header{queue: "0123456789abcdef", seq: 1, number: 1, batch: 1, stored: 100, dataCRC: crc32.Checksum(b.Data, castagnoli), block: &b}
	value := append(appendHeader(nil, &h), b.Data...)
	f.Add(value)
	f.Add(append(bytes.Clone(value[:30]), value...))
	f.Add(blockMagic[:])
	f.Fuzz(func(t *testing.T, file []byte) {
		last := int64(-1)
		err := carve(bytes.NewReader(file), int64(len(file)), func(c *carved) error {
			if c.at <= last || !bytes.Equal(c.value, file[c.at:c.at+int64(len(c.value))]) || uint64(len(c.value)-len(c.head)) != c.h.stored {
				t.Fatalf("block at %d after %d", c.at, last)
			}
			last = c.at
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Case: a segment whose pages get damaged was the head when blocks of earlier
// segments were restored, so copies of these lie in it too.
func TestRestoreTwice(t *testing.T) {
	dir := quickDir(t)
	s, want := restoreSpool(t, dir)
	split := false
	for _, c := range want.Chunks {
		for _, e := range s.idx.chunks[c.Seq].extents {
			if e.segment == s.head.number {
				split = split || e.blocks < uint64(c.Blocks)
				continue
			}
			if err := spoil(s, e.segment, s.idx.chunks[c.Seq]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Restore(c.Seq, rebuildTest); err != nil {
			t.Fatal(err)
		}
	}
	if !split {
		t.Fatal("no chunk is in the head and before it")
	}
	path := s.head.path
	if err := errors.Join(s.handOver(false), s.Close()); err != nil {
		t.Fatal(err)
	}
	spoilPages(t, path)
	s, err := Open(Options{Dir: dir, SegmentSize: testSize})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range want.Chunks {
		if _, err := s.Restore(c.Seq, rebuildTest); err != nil {
			t.Fatal(err)
		}
	}
	wantSame(t, s, want)
}

// Case: a file has a batch that a crash took back, its second try, and one
// that was never committed; and blocks of a chunk that had the number before.
func TestPlaces(t *testing.T) {
	s := openTest(t, Options{Dir: quickDir(t)})
	mustAppend(t, s, testBlock("a", "0", 100, 1<<20))
	mustAppend(t, s, testBlock("a", "1", 100, 1<<20))
	m := s.idx.chunks[1].clone()
	m.extents = []extent{{segment: 9, blocks: 3}}
	value := func(queue string, batch uint64, committed int64, tag string) []byte {
		b := testBlock("a", tag, 100, 1)
		h := header{queue: queue, seq: 1, number: 1, batch: batch, committed: committed, stored: 100, dataCRC: crc32.Checksum(b.Data, castagnoli), block: &b}
		return append(appendHeader(nil, &h), b.Data...)
	}
	queue := m.own().queue
	spoilt := value(queue, 1, 5, "one")
	spoilt[len(spoilt)-1]++
	file := slices.Concat(value(queue, 2, 8, "two"), value(queue, 2, 7, "taken back"), value(queue, 2, 8, "two, too"),
		spoilt, value(queue, 1, 5, "one"), value(queue, 1, 5, "one"), value(queue, 3, 9, "never"), value("fedcba9876543210", 1, 6, "another queue"))
	if err := os.WriteFile(s.segs.path(9), file, 0o600); err != nil {
		t.Fatal(err)
	}
	ps, err := s.places(9, m)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range ps {
		v, err := s.placed(9, &ps[i])
		if err != nil || !ps[i].sound {
			t.Fatal(err)
		}
		for _, tag := range []string{"one", "two", "two, too"} {
			if bytes.HasSuffix(v, content(tag, 100)) {
				got = append(got, fmt.Sprint(tag, ps[i].blockKey))
			}
		}
	}
	if want := "[one{1 0} two{2 0} two, too{2 1}]"; fmt.Sprint(got) != want {
		t.Fatalf("got %v, want %s", got, want)
	}
	if err := os.Remove(s.segs.path(9)); err != nil {
		t.Fatal(err)
	}
}
