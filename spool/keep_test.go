package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// damagePage flips one byte in the header of a page that is in use, so that
// the segment's pages lead nowhere, and returns the file's bytes.
func damagePage(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for p := 2; p < len(b)/4096; p++ {
		b[p*4096+7] ^= 0xff
		if checkPages(bytes.NewReader(b), int64(len(b))) != nil {
			if err := os.WriteFile(path, b, 0o640); err != nil {
				t.Fatal(err)
			}
			return b
		}
		b[p*4096+7] ^= 0xff
	}
	t.Fatal("no page is in use")
	return nil
}

// keptSegments returns the contents of all segments in quarantine/.
func keptSegments(t *testing.T, dir string) (all [][]byte) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, quarantineDir, "*"+segmentExt))
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// Case: one bad byte in a page header of a closed segment, and nothing can be
// restored. When the last of its chunks is buried, the segment leaves the
// queue, but not the disk: not after a failure at any step of the burials
// either.
func TestBuryKeepsSegment(t *testing.T) {
	for _, step := range []string{"", "bury.quarantined", "bury.commit", "bury.committed", "unlink.before", "unlink.after"} {
		t.Run(step, func(t *testing.T) {
			s := closedSegments(t)
			path, o := s.segs.path(1), s.opts
			closeTest(t, s)
			want := damagePage(t, path)
			o.Hook = func(at string) error {
				if at == step && s.idx.needed[1] <= 1 {
					return errors.New("fault")
				}
				return nil
			}
			for range 2 {
				var err error
				if s, err = Open(o); err != nil {
					t.Fatal(err)
				}
				for _, c := range s.Chunks() {
					if _, err := readChunk(s, c.Seq); err == nil {
						continue
					}
					if err := s.Bury(c.Seq, "damaged"); err != nil && !errors.Is(err, ErrOutcomeUnknown) {
						t.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				o.Hook = nil
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("still in the queue: %v", err)
			}
			if all := keptSegments(t, o.Dir); len(all) != 1 || !bytes.Equal(all[0], want) {
				t.Errorf("%d segments are kept, or with other contents", len(all))
			}
			saved, n := map[string][]byte{}, 0
			collectQuarantineBlocks(t, o.Dir, saved)
			for i := range len(saved) { // the segment's blocks are the first ones
				want := content(fmt.Sprint(i), 30_000)
				for _, data := range saved {
					if bytes.Equal(data, want) {
						n++
					}
				}
			}
			if n < 5 || n != len(saved) {
				t.Errorf("%d blocks of %d chunks were set aside", n, len(saved))
			}
		})
	}
}

// Case: a segment is away for so long that its chunks are buried, and is put
// back: before the last of them is, or before the next start.
func TestGoneSegmentReturns(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			s := closedSegments(t)
			path, o, last := s.segs.path(1), s.opts, uint64(0)
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for seq, m := range s.idx.chunks {
				if m.in(1) > 0 {
					last = max(last, seq)
				}
			}
			if err := os.Rename(path, path+".away"); err != nil {
				t.Fatal(err)
			}
			for seq := uint64(1); seq <= last; seq++ {
				if seq == last && !late {
					if err := os.Rename(path+".away", path); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Bury(seq, "gone"); err != nil {
					t.Fatal(err)
				}
			}
			closeTest(t, s)
			if late {
				if err := os.Rename(path+".away", path); err != nil {
					t.Fatal(err)
				}
			}
			openTest(t, o)
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("still in the queue: %v", err)
			}
			if all := keptSegments(t, o.Dir); len(all) != 1 || !bytes.Equal(all[0], want) {
				t.Errorf("%d segments are kept, or with other contents", len(all))
			}
		})
	}
}

// Case: a block is missing in the head itself. The head is handed over, so
// that what is there is not written over.
func TestBuryKeepsHead(t *testing.T) {
	dir := quickDir(t)
	s := openTest(t, Options{Dir: dir})
	mustAppend(t, s, testBlock("a", "0", 5000, 1<<20), testBlock("a", "1", 5000, 1<<20))
	err := s.head.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketBlocks).Bucket(be64(1)).Bucket(be64(1)).Delete([]byte{0, 0, 0, 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bury(1, "missing"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, testBlock("a", "2", 5000, 1<<20))
	all := keptSegments(t, dir)
	if len(all) != 1 || !bytes.Contains(all[0], content("1", 5000)) || s.head.number != 2 {
		t.Fatalf("%d segments are kept, head %d", len(all), s.head.number)
	}
	if _, err := os.Stat(s.segs.path(1)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the old head is still in the queue: %v", err)
	}
}

// Case: a suspect head with a block that cannot be read is replaced.
func TestRescueKeepsHead(t *testing.T) {
	dir := quickDir(t)
	s := openTest(t, Options{Dir: dir})
	mustAppend(t, s, testBlock("a", "0", 5000, 1<<20), testBlock("a", "1", 5000, 1<<20))
	err := s.head.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketBlocks).Bucket(be64(1)).Bucket(be64(1)).Delete([]byte{0, 0, 0, 1})
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(Options{Dir: dir, Suspect: true}); err != nil {
		t.Fatal(err)
	}
	if all := keptSegments(t, dir); len(all) != 1 || !bytes.Contains(all[0], content("1", 5000)) {
		t.Errorf("%d segments are kept", len(all))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Case: the file system has no links.
func TestCopySegment(t *testing.T) {
	s := closedSegments(t)
	to := filepath.Join(t.TempDir(), "copy")
	if err := s.copySegment(1, to); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(s.segs.path(1))
	if got, rerr := os.ReadFile(to); err != nil || rerr != nil || !bytes.Equal(got, want) {
		t.Fatalf("copy of %d bytes, want %d: %v %v", len(got), len(want), err, rerr)
	}
}

// collectQuarantineBlocks adds the data of every *.blocks file.
func collectQuarantineBlocks(t *testing.T, dir string, into map[string][]byte) {
	t.Helper()
	collect(t, filepath.Join(dir, quarantineDir), func(name string, raw []byte) {
		if filepath.Ext(name) != ".blocks" {
			return
		}
		_, data, err := splitBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		into[name] = data
	})
}
