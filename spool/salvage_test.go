package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// salvageDir is a stopped spool with chunks in a closed segment and in the
// head, and positions.
func salvageDir(t *testing.T) (dir string, want dumped) {
	t.Helper()
	dir = quickDir(t)
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 13 {
		b := Batch{
			Blocks:    []Block{testBlock("a", fmt.Sprint(i), 30_000, 100_000), testBlock("b", fmt.Sprint("b", i), 300, 2000)},
			Positions: []Position{{File: uint64(i), Data: content("p", 90)}},
		}
		if err := s.Append(&b); err != nil {
			t.Fatal(err)
		}
	}
	if s.head.number < 2 {
		t.Fatal("there is no closed segment")
	}
	// Losing the newest meta page means losing this transaction only.
	if err := s.Append(&Batch{Positions: []Position{{File: 1, Data: content("p", 90)}}}); err != nil {
		t.Fatal(err)
	}
	want = dump(t, s)
	closeTest(t, s)
	return dir, want
}

// headOf returns the path of the head.
func headOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, queueDir, "*"+segmentExt))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files[len(files)-1]
}

// blockPage returns the offset of a page of the head that only leads to blocks
// of an input, as a file offset.
func blockPage(t *testing.T, path string, input string) int64 {
	t.Helper()
	at := int64(-1)
	err := withFile(path, func(f *os.File, size int64) error {
		return carve(f, size, func(c *carved) error {
			if c.h.block.Input == input {
				at = c.at &^ 4095 // the blocks of a are larger than a page: their leaf starts here
			}
			return nil
		})
	})
	if err != nil || at < 0 {
		t.Fatal(at, err)
	}
	return at
}

func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Case: a sound head, an empty directory, and one in use.
func TestExamineSound(t *testing.T) {
	dir, want := salvageDir(t)
	r, err := Examine(dir)
	if err != nil || r.Damage != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = Salvage(Options{Dir: dir, SegmentSize: testSize}, true); err != nil || r.Damage != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	if got := dump(t, s); !reflect.DeepEqual(got, want) {
		t.Fatal("a sound spool was changed")
	}
	if _, err := Examine(dir); !errors.As(err, new(*LockedError)) {
		t.Fatalf("in use: %v", err)
	}
	if _, err := Examine(t.TempDir()); !errors.Is(err, ErrNoSpool) {
		t.Fatalf("empty: %v", err)
	}
	if _, err := Salvage(Options{Dir: t.TempDir()}, true); !errors.Is(err, ErrNoSpool) {
		t.Fatalf("empty: %v", err)
	}
}

// Case: a page that leads to blocks is damaged, the blocks themselves are not.
// The salvaged spool is what it was.
func TestSalvageHead(t *testing.T) {
	dir, want := salvageDir(t)
	head := headOf(t, dir)
	overwrite(t, head, blockPage(t, head, "a")+8, []byte{0xff, 0xff}) // type of the page
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrDamagedHead) {
		t.Fatalf("open: %v", err)
	}
	before, _ := os.ReadFile(head)
	r, err := Examine(dir)
	if err != nil || r.Damage == nil || len(r.Pages) != 1 || r.State != nil || r.Missing != 0 || r.Files != 13 || len(r.Chunks) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := Salvage(Options{Dir: dir, SegmentSize: testSize}, false); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	if got := dump(t, s); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v", got.Chunks)
	}
	aside := filepath.Join(dir, quarantineDir, filepath.Base(head))
	if b, err := os.ReadFile(aside); err != nil || !bytes.Equal(b, before) {
		t.Fatalf("the old head is not in quarantine: %v", err)
	}
	checkExport(t, strings.TrimSuffix(aside, segmentExt)+".blocks", r)
	mustAppend(t, s, testBlock("a", "more", 100, 1))
}

// checkExport reads a file of blocks and compares it with the report.
func checkExport(t *testing.T, path string, r *Report) {
	t.Helper()
	want, got := 0, 0
	for _, c := range r.Chunks {
		want += c.Intact
	}
	err := withFile(path, func(f *os.File, size int64) error {
		return carve(f, size, func(c *carved) error {
			if !c.sound {
				t.Error("a damaged block was exported")
			}
			got++
			return nil
		})
	})
	if err != nil || got != want || want == 0 {
		t.Fatalf("%d blocks in %s, want %d: %v", got, path, want, err)
	}
}

// Case: damage in the head's pages and in a block's data and in another one's
// header. The first is restored from its source, the chunk of the other set
// aside; the rest is there.
func TestSalvageDamagedBlocks(t *testing.T) {
	dir, want := salvageDir(t)
	head := headOf(t, dir)
	overwrite(t, head, blockPage(t, head, "a")+8, []byte{0xff, 0xff})
	var data, header *carved
	err := withFile(head, func(f *os.File, size int64) error {
		return carve(f, size, func(c *carved) error {
			if k := *c; k.h.block.Input == "a" && data == nil {
				data = &k
			} else if data != nil && k.h.block.Input == "a" && k.h.seq != data.h.seq {
				header = &k
			}
			return nil
		})
	})
	if err != nil || header == nil {
		t.Fatal("no two chunks of a in the head", err)
	}
	overwrite(t, head, data.at+int64(len(data.head)), []byte("spoilt"))
	overwrite(t, head, header.at+20, []byte("spoilt"))
	r, err := Salvage(Options{Dir: dir, SegmentSize: testSize}, false)
	if err != nil || r.State != nil || r.Missing != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	s, err := Open(Options{Dir: dir, SegmentSize: testSize})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, c := range want.Chunks {
		_, err := s.Restore(c.Seq, rebuildTest)
		if c.Seq == header.h.seq {
			if !errors.As(err, new(*DamageError)) {
				t.Fatalf("chunk with a lost header: %v", err)
			}
			if err := s.Bury(c.Seq, "lost"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, rerr := readChunk(s, c.Seq); err != nil || rerr != nil || string(got) != want.Contents[i] {
			t.Fatalf("chunk %d: %v, %v", c.Seq, err, rerr)
		}
	}
	if ps, err := s.Positions(); err != nil || !reflect.DeepEqual(ps, want.Positions) {
		t.Fatalf("positions: %v", err)
	}
}

// Case: the state is damaged. Nothing is changed before that is asked for;
// then everything is in quarantine, twice with the same names.
func TestStartAnew(t *testing.T) {
	dir, _ := salvageDir(t)
	for round := range 2 {
		files, _ := filepath.Glob(filepath.Join(dir, queueDir, "*"))
		if err := os.WriteFile(filepath.Join(dir, suspectName), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		spoilPages(t, headOf(t, dir))
		r, err := Salvage(Options{Dir: dir, SegmentSize: testSize}, false)
		if err != nil || r.Damage == nil || r.State == nil || len(r.Chunks) == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if now, _ := filepath.Glob(filepath.Join(dir, queueDir, "*")); !reflect.DeepEqual(now, files) {
			t.Fatalf("changed: %v", now)
		}
		if _, err = Salvage(Options{Dir: dir, SegmentSize: testSize}, true); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, quarantineDir, "00000000000000000001")
		if round == 1 {
			name += "-2"
		}
		if _, err := os.Stat(name + segmentExt); err != nil {
			t.Fatal(err)
		}
		if len(files) == 1 {
			checkExport(t, name+".blocks", r)
		}
		s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
		if len(s.Chunks()) != 0 {
			t.Fatalf("chunks: %+v", s.Chunks())
		}
		mustAppend(t, s, testBlock("a", "0", 5000, 1))
		closeTest(t, s)
	}
}

// Case: bytes are flipped anywhere in the head. Whatever repair says and does,
// a spool that opens afterwards has exactly the state it had, and each chunk
// is right or known to be damaged.
func TestSalvageAnyDamage(t *testing.T) {
	origin, want := salvageDir(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	salvaged, anew := 0, 0
	for range 500 {
		dir := quickDir(t)
		copyDir(t, origin, dir)
		flip(t, headOf(t, dir), rnd)
		if rnd.IntN(2) == 0 {
			flip(t, headOf(t, dir), rnd)
		}
		r, err := Salvage(Options{Dir: dir, SegmentSize: testSize}, false)
		switch {
		case err != nil: // the format's version, or the segment's own number
			if msg := err.Error(); !strings.Contains(msg, "of format") && !strings.Contains(msg, "says of itself") {
				t.Fatal(err)
			}
			continue
		case r.Damage == nil:
			continue
		case r.State != nil:
			anew++
			continue
		}
		salvaged++
		s, err := Open(Options{Dir: dir, SegmentSize: testSize, ReadOnly: true})
		if err != nil {
			t.Fatalf("after the repair of %v: %v", r.Damage, err)
		}
		if ps, err := s.Positions(); err != nil || !reflect.DeepEqual(ps, want.Positions) || !reflect.DeepEqual(s.Chunks(), want.Chunks) {
			t.Fatalf("after the repair of %v: another state, %v", r.Damage, err)
		}
		for i, c := range want.Chunks {
			data, err := readChunk(s, c.Seq)
			if !errors.As(err, new(*DamageError)) && string(data) != want.Contents[i] {
				t.Fatalf("chunk %d: wrong data, %v", c.Seq, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if salvaged < 10 || anew < 10 {
		t.Fatalf("%d salvaged, %d with lost state: too few to mean anything", salvaged, anew)
	}
}

// Case: a salvage is cut off at each of its steps, and done again.
func TestSalvageAgain(t *testing.T) {
	for _, step := range []string{"handover.created", "handover.renamed", "handover.done"} {
		dir, want := salvageDir(t)
		head := headOf(t, dir)
		overwrite(t, head, blockPage(t, head, "a")+8, []byte{0xff, 0xff})
		fault := errors.New("fault")
		_, err := Salvage(Options{Dir: dir, SegmentSize: testSize, Hook: func(at string) error {
			if at == step {
				return fault
			}
			return nil
		}}, false)
		if !errors.Is(err, fault) {
			t.Fatalf("%s: %v", step, err)
		}
		if _, err := Salvage(Options{Dir: dir, SegmentSize: testSize}, true); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
		if got := dump(t, s); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %+v", step, got.Chunks)
		}
		if _, err := os.Stat(filepath.Join(dir, quarantineDir, filepath.Base(head))); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
}

// Case: the head that is salvaged has restored blocks: of closed segments whose
// data or pages are damaged, and of its own. They come along, whether its pages
// lead to them or not.
func TestSalvageKeepsRestored(t *testing.T) {
	for name, damage := range map[string]func(c *carved) bool{
		"page of blocks":          func(c *carved) bool { return c.h.seq == 12 },
		"page of restored blocks": func(c *carved) bool { return c.h.seq == 1 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := quickDir(t)
			s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
			for i := range 13 {
				mustAppend(t, s, testBlock("a", fmt.Sprint(i), 30_000, 1))
			}
			want := dump(t, s)
			spoilAll(t, s, 1)  // data in the first closed segment
			spoilAll(t, s, 13) // data in the head
			if s.idx.chunks[12].in(s.head.number) == 0 || s.idx.chunks[13].in(s.head.number) == 0 || s.idx.chunks[1].in(s.head.number) != 0 {
				t.Fatal("the chunks are elsewhere")
			}
			for _, seq := range []uint64{1, 13} {
				if n, err := s.Restore(seq, rebuildTest); err != nil || n != 1 {
					t.Fatal(n, err)
				}
			}
			head := s.head.path
			closeTest(t, s)
			at := int64(-1)
			err := withFile(head, func(f *os.File, size int64) error {
				return carve(f, size, func(c *carved) error {
					if damage(c) {
						at = c.at &^ 4095
					}
					return nil
				})
			})
			if err != nil || at < 0 {
				t.Fatal(at, err)
			}
			overwrite(t, head, at+8, []byte{0xff, 0xff}) // type of the page
			r, err := Salvage(Options{Dir: dir, SegmentSize: testSize}, false)
			if err != nil || r.Damage == nil || r.State != nil || r.Missing != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			s = openTest(t, Options{Dir: dir, SegmentSize: testSize})
			if got := dump(t, s); !reflect.DeepEqual(got, want) {
				t.Fatalf("differs: %v", verifyTest(s))
			}
		})
	}
}
