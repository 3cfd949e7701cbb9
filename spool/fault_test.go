package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Case: an injected failure at each step of a commit leaves the outcome
// unknown; after a reopen as suspect the workload goes on and loses nothing.
func TestOutcomeUnknown(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			dir := filepath.Join(quickDir(t), "state")
			fault, count := errors.New("fault"), 0
			err := work(dir, workBlocks, func(s string) error {
				if s == step {
					if count++; count == 2 {
						return fault
					}
				}
				return nil
			})
			unlink := strings.HasPrefix(step, "unlink.") // only leaves a file behind
			if !unlink && (!errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, fault)) || unlink && err != nil {
				t.Fatalf("error: %v", err)
			}
			s, err := Open(Options{Dir: dir, SegmentSize: workSegment, Suspect: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(workOn(s, dir, workBlocks), errors.Join(verifyTest(s)...), s.Close()); err != nil {
				t.Fatal(err)
			}
			if n := checkWork(t, dir); n != workBlocks {
				t.Fatalf("position %d at the end", n)
			}
		})
	}
}

// Case: once a commit has failed, nothing more is written.
func TestPoisoned(t *testing.T) {
	fail := false
	s := openTest(t, Options{Dir: t.TempDir(), Hook: func(step string) error {
		if fail && step == "append.commit" {
			return unix.EIO
		}
		return nil
	}})
	mustAppend(t, s, testBlock("a", "0", 5, 1))
	fail = true
	b := Batch{Blocks: []Block{testBlock("a", "1", 5, 1)}}
	if err := s.Append(&b); !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, unix.EIO) {
		t.Fatalf("append: %v", err)
	}
	fail = false
	_, serr := s.Seal(func(Chunk) bool { return true })
	for i, err := range []error{s.Append(&b), s.Ack(1), s.Bury(1, ""), serr} {
		if !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if got, err := readChunk(s, 1); err != nil || !bytes.Equal(got, content("0", 5)) {
		t.Errorf("what was there before: %v", err)
	}
}

// Case: a suspect head is replaced by a new file that has all live blocks.
func TestSuspect(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 9 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 50_000, 120_000))
	}
	want := dump(t, s)
	old := s.head.path
	closeTest(t, s)
	s = openTest(t, Options{Dir: dir, SegmentSize: testSize, Suspect: true})
	if got := dump(t, s); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) || s.head.path == old {
		t.Fatalf("the suspect head is still there: %v", err)
	}
}

// Case: the process ends after a failed commit. The next one knows nothing of
// it, but finds the mark.
func TestSuspectMark(t *testing.T) {
	dir, fail := t.TempDir(), false
	s := openTest(t, Options{Dir: dir, Hook: func(step string) error {
		if fail && step == "seal.committed" {
			return unix.EIO
		}
		return nil
	}})
	mustAppend(t, s, testBlock("a", "0", 5000, 1<<20))
	fail = true
	if _, err := s.Seal(func(Chunk) bool { return true }); !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // replaced once, not every time
		s = openTest(t, Options{Dir: dir})
		if s.head.number != 2 || s.Chunks()[0].State != StateSealed {
			t.Fatalf("head %d, chunks %+v", s.head.number, s.Chunks())
		}
		closeTest(t, s)
	}
}

func TestVanish(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"head removed":       func(dir string) error { return os.Remove(filepath.Join(dir, queueDir, segmentName(1))) },
		"directory removed":  os.RemoveAll,
		"directory replaced": func(dir string) error { return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o750)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s, err := Open(Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			mustAppend(t, s, testBlock("a", "0", 5, 1))
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			err = s.Append(&Batch{Blocks: []Block{testBlock("a", "1", 5, 1)}})
			if !errors.Is(err, ErrVanished) || errors.Is(err, ErrOutcomeUnknown) {
				t.Errorf("append: %v", err)
			}
			if err := s.Ack(1); !errors.Is(err, ErrVanished) {
				t.Errorf("ack: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Case: a second process gets a clear error, with the holder's id.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	for _, readOnly := range []bool{false, true} {
		_, err := Open(Options{Dir: dir, ReadOnly: readOnly})
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Fatalf("second open: %v", err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childStep+"=none")
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("in use by process %d", os.Getpid()); err == nil || !strings.Contains(string(out), want) {
		t.Fatalf("second process: %v, %s", err, out)
	}
	closeTest(t, s)
	one := openTest(t, Options{Dir: dir, ReadOnly: true})
	openTest(t, Options{Dir: dir, ReadOnly: true})
	if err := one.Append(&Batch{Forget: []uint64{1}}); err == nil {
		t.Fatal("a spool open for reading was written")
	}
	if _, err := Open(Options{Dir: dir}); !errors.As(err, new(*LockedError)) {
		t.Fatalf("open while readers are there: %v", err)
	}
}

// Case: the state directory is copied while chunks are open, twice.
func TestCopiedDirectory(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	mustAppend(t, s, testBlock("a", "0", 500, 1))      // sealed
	mustAppend(t, s, testBlock("a", "1", 500, 10_000)) // open
	first := s.Stats().Queue
	closeTest(t, s)
	queues := []string{first}
	for i := range 2 {
		dup := t.TempDir()
		copyDir(t, dir, dup)
		dir = dup
		s = openTest(t, Options{Dir: dir})
		queues = append(queues, s.Stats().Queue)
		if i == 0 {
			mustAppend(t, s, testBlock("a", "2", 500, 10_000))
			closeTest(t, s)
		}
	}
	if queues[0] == queues[1] || queues[1] == queues[2] {
		t.Fatalf("queue ids %v", queues)
	}
	sealAll(t, s)
	cs := s.Chunks()
	if len(cs) != 2 || cs[0].Queue != first || cs[1].Queue != queues[2] || cs[1].Number != 1 || !strings.Contains(cs[1].Name, queues[2]) {
		t.Fatalf("chunks: %+v", cs)
	}
	got, err := readChunk(s, cs[1].Seq)
	if want := append(content("1", 500), content("2", 500)...); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("content: %v", err)
	}
	mustAppend(t, s, testBlock("a", "3", 5, 1))
	if c := s.Chunks()[2]; c.Number != 2 || c.Queue != queues[2] {
		t.Fatalf("next chunk: %+v", c)
	}
	closeTest(t, s)
	s = openTest(t, Options{Dir: dir})
	if s.Stats().Queue != queues[2] {
		t.Fatal("another queue id although nothing moved")
	}
}

// Case: a copied segment under another number, and a foreign file.
func TestMisnamed(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 12 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 50_000, 10<<20))
	}
	head := s.head.number
	closeTest(t, s)
	path := func(n uint64) string { return filepath.Join(dir, queueDir, segmentName(n)) }
	copyFile(t, path(head), path(head+3))
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), path(head)) || !strings.Contains(err.Error(), path(head+3)) {
		t.Fatalf("two heads: %v", err)
	}
	if err := os.Rename(path(head+3), filepath.Join(dir, queueDir, "7.seg")); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "7.seg") {
		t.Fatalf("foreign name: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, queueDir, "7.seg")); err != nil {
		t.Fatal(err)
	}
	openTest(t, Options{Dir: dir, SegmentSize: testSize})
}

// Case: the head is of a newer format.
func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	path := s.head.path
	closeTest(t, s)
	db, err := bolt.Open(path, 0, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte{0, 0, 0, 2}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "format 2") || !strings.Contains(err.Error(), "format 1") ||
		!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "damaged") {
		t.Fatalf("newer format: %v", err)
	}
}
