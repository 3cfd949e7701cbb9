package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Case: a closed segment is gone. Its chunks are damaged and can be buried,
// the others and the appends go on.
func TestMissingSegment(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 14 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 50_000, 100_000))
	}
	closeTest(t, s)
	if err := os.Remove(filepath.Join(dir, queueDir, segmentName(1))); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Dir: dir, SegmentSize: testSize})
	var damaged, sound int
	for _, c := range s.Chunks() {
		_, err := readChunk(s, c.Seq)
		if errors.Is(err, fs.ErrNotExist) { // the first look is not enough
			if errors.As(err, new(*DamageError)) && damaged == 0 {
				t.Fatalf("given up at once: %v", err)
			}
			s.segs.missed[1] = time.Now().Add(-goneAfter)
			_, err = readChunk(s, c.Seq)
		}
		var d *DamageError
		switch {
		case err == nil:
			sound++
		case errors.As(err, &d) && d.Segment == segmentName(1) && d.Chunk == c.Seq && errors.Is(err, fs.ErrNotExist):
			damaged++
			if err := s.Bury(c.Seq, "segment is missing"); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatal(err)
		}
	}
	if damaged == 0 || sound == 0 {
		t.Fatalf("%d damaged, %d sound", damaged, sound)
	}
	mustAppend(t, s, testBlock("a", "x", 50_000, 100_000))
}

// Case: both meta pages of the head are gone. It is refused, with a way out,
// and not touched.
func TestDamagedHead(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	mustAppend(t, s, testBlock("a", "0", 500, 1))
	path := s.head.path
	closeTest(t, s)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 8192), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	for _, suspect := range []bool{false, true} {
		_, err = Open(Options{Dir: dir, Suspect: suspect})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "spool repair") || !errors.Is(err, ErrDamagedHead) {
			t.Fatalf("open: %v", err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Fatal("the head was changed")
	}
}

// Case: sound pages, but a closed segment's blocks are not those that the
// manifest counts: one is missing, one is another's, two are exchanged.
func TestExchangedBlocks(t *testing.T) {
	for name, change := range map[string]func(b *bolt.Bucket) error{
		"missing": func(b *bolt.Bucket) error { return b.Delete([]byte{0, 0, 0, 1}) },
		"exchanged": func(b *bolt.Bucket) error {
			one, two := bytes.Clone(b.Get([]byte{0, 0, 0, 1})), bytes.Clone(b.Get([]byte{0, 0, 0, 2}))
			return errors.Join(b.Put([]byte{0, 0, 0, 1}, two), b.Put([]byte{0, 0, 0, 2}, one))
		},
		"another's": func(b *bolt.Bucket) error {
			v := bytes.Clone(b.Tx().Bucket(bucketBlocks).Bucket(be64(2)).Bucket(be64(1)).Get([]byte{0, 0, 0, 3}))
			return b.Put([]byte{0, 0, 0, 1}, v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openTest(t, Options{Dir: dir})
			var blocks []Block
			for i, input := range []string{"a", "a", "a", "b"} {
				blocks = append(blocks, testBlock(input, fmt.Sprint(i), 5000, 1<<20))
			}
			mustAppend(t, s, blocks...)
			path := s.head.path
			closeTest(t, s)
			db, err := bolt.Open(path, 0, &bolt.Options{NoFreelistSync: true})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error {
				return change(tx.Bucket(bucketBlocks).Bucket(be64(1)).Bucket(be64(1)))
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(Options{Dir: dir}); err != nil {
				t.Fatal(err)
			}
			var d *DamageError
			if _, err := readChunk(s, 1); !errors.As(err, &d) || d.Chunk != 1 {
				t.Errorf("read: %v", err)
			}
			if _, err := readChunk(s, 2); err != nil {
				t.Errorf("the other chunk: %v", err)
			}
			if err := errors.Join(s.Bury(1, "exchanged"), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Case: an entry of the head's state is lost, or is an older version of
// itself, both with sound checksums.
func TestLostState(t *testing.T) {
	for name, change := range map[string]func(old, now *bolt.Bucket) error{
		"lost":  func(_, now *bolt.Bucket) error { return now.Delete(be64(1)) },
		"stale": func(old, now *bolt.Bucket) error { return now.Put(be64(1), old.Get(be64(1))) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, before := t.TempDir(), t.TempDir()
			s := openTest(t, Options{Dir: dir})
			for i := range 2 {
				if i == 1 {
					copyDir(t, dir, before)
				}
				if err := s.Append(&Batch{Positions: []Position{{File: 1, Data: []byte{byte(i)}}}}); err != nil {
					t.Fatal(err)
				}
			}
			rel := filepath.Join(queueDir, segmentName(1))
			closeTest(t, s)
			open := func(dir string) *bolt.DB {
				db, err := bolt.Open(filepath.Join(dir, rel), 0, &bolt.Options{NoFreelistSync: true})
				if err != nil {
					t.Fatal(err)
				}
				return db
			}
			old, now := open(before), open(dir)
			err := old.View(func(a *bolt.Tx) error {
				return now.Update(func(b *bolt.Tx) error {
					return change(a.Bucket(bucketPositions), b.Bucket(bucketPositions))
				})
			})
			if err := errors.Join(err, old.Close(), now.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Fatalf("open: %v", err)
			}
		})
	}
}

// Case: closed segments that the head does not list. One is a leftover, one is
// damaged and one says it is another.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize, Hook: func(step string) error {
		if step == "unlink.before" {
			return errors.New("not now")
		}
		return nil
	}})
	for i := range 20 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 50_000, 1))
	}
	for _, c := range s.Chunks()[:16] {
		if err := s.Ack(c.Seq); err != nil {
			t.Fatal(err)
		}
	}
	closeTest(t, s)
	path := func(n uint64) string { return filepath.Join(dir, queueDir, segmentName(n)) }
	if err := os.Truncate(path(1), 5000); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, Options{Dir: dir, SegmentSize: testSize})
	files, _ := os.ReadDir(filepath.Join(dir, queueDir))
	if len(files) != s.Stats().Segments || len(files) > 2 {
		t.Fatalf("%d files, %d segments", len(files), s.Stats().Segments)
	}
	if _, err := os.Stat(filepath.Join(dir, quarantineDir, segmentName(1))); err != nil {
		t.Fatalf("a damaged segment was not set aside: %v", err)
	}
	head := s.head.path
	closeTest(t, s)
	copyFile(t, head, path(1))
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), path(1)) || !strings.Contains(err.Error(), head) {
		t.Fatalf("two of one number: %v", err)
	}
}

// dumped is everything the spool has for its callers, or the errors instead.
type dumped struct {
	Chunks    []Chunk
	Contents  []string
	Positions []Position
}

func dump(t testing.TB, s *Spool) (d dumped) {
	t.Helper()
	d.Chunks = s.Chunks()
	for i, c := range d.Chunks {
		data, err := readChunk(s, c.Seq)
		if err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
		d.Contents = append(d.Contents, string(data))
	}
	ps, err := s.Positions()
	if err != nil {
		t.Fatal(err)
	}
	d.Positions = ps
	return d
}

// Case: bytes are flipped anywhere. Whatever is still returned is right, and
// the process lives.
func TestFlippedBytes(t *testing.T) {
	dir := quickDir(t)
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 30 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 30_000+100*i, 70_000), testBlock("b", fmt.Sprint("b", i), 200, 1000))
		if err := s.Append(&Batch{Positions: []Position{{File: uint64(i), Data: content("p", 90)}}}); err != nil {
			t.Fatal(err)
		}
	}
	// Losing the newest meta page means losing this transaction only.
	if err := s.Append(&Batch{Positions: []Position{{File: 1, Data: content("p", 90)}}}); err != nil {
		t.Fatal(err)
	}
	want := dump(t, s)
	closeTest(t, s)
	files, err := filepath.Glob(filepath.Join(dir, queueDir, "*"+segmentExt))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 400 {
		path := files[rnd.IntN(len(files))]
		if rnd.IntN(3) == 0 {
			path = files[len(files)-1]
		}
		undo := flip(t, path, rnd)
		found += readDamaged(t, dir, want)
		undo()
	}
	if found < 40 {
		t.Fatalf("only %d of 400 flips were noticed", found)
	}
	s = openTest(t, Options{Dir: dir, ReadOnly: true})
	if got := dump(t, s); !reflect.DeepEqual(got, want) {
		t.Fatal("the test changed the spool")
	}
}

// flip changes one to four bytes, half of the time where pages have their
// headers, and returns a function that changes them back.
func flip(t *testing.T, path string, rnd *rand.Rand) (undo func()) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at := rnd.Int64N(info.Size() - 4)
	if rnd.IntN(2) == 0 {
		at = at&^4095 + rnd.Int64N(120)
	}
	old := make([]byte, 1+rnd.IntN(4))
	if _, err := f.ReadAt(old, at); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(old)
	for i := range bad {
		bad[i] ^= byte(1 + rnd.IntN(255))
	}
	write := func(b []byte) {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	write(bad)
	return func() {
		write(old)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// readDamaged reads all it can and returns 1 if anything was noticed.
func readDamaged(t *testing.T, dir string, want dumped) int {
	t.Helper()
	s, err := Open(Options{Dir: dir, ReadOnly: true})
	if err != nil {
		return 1
	}
	noticed := 0
	if cs := s.Chunks(); !reflect.DeepEqual(cs, want.Chunks) {
		t.Error("chunks differ")
	}
	if ps, err := s.Positions(); err != nil {
		noticed = 1
	} else if !reflect.DeepEqual(ps, want.Positions) {
		t.Error("positions differ")
	}
	for i, c := range want.Chunks {
		var d *DamageError
		data, err := readChunk(s, c.Seq)
		switch {
		case errors.As(err, &d):
			noticed = 1
		case err != nil:
			t.Errorf("error is not of the right kind: %v", err)
		case string(data) != want.Contents[i]:
			t.Errorf("chunk %d: wrong data", c.Seq)
		}
	}
	if noticed == 1 && verifyTest(s) == nil {
		t.Error("verify did not notice")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return noticed
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		if e.Name() != ballastName {
			copyFile(t, path, filepath.Join(to, rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}
