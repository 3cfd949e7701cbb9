package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const (
	childDir  = "SPOOL_TEST_DIR"
	childStep = "SPOOL_TEST_STEP" // name of the step to die at, colon, how many times it is passed before
)

// steps are all durable steps, in the words of Options.Hook.
var steps = []string{
	"append.commit", "append.committed", "seal.commit", "seal.committed", "ack.commit", "ack.committed",
	"handover.created", "handover.renamed", "handover.done", "unlink.before", "unlink.after",
	"bury.quarantined", "bury.commit", "bury.committed", "drop.commit", "drop.committed", "restore.commit", "restore.committed",
}

// The workload appends numbered blocks of two inputs, with a position that
// says how many there are, and "ships" every sealed chunk to a directory. It
// can be killed anywhere and goes on where the spool says.
const (
	workBlocks    = 60
	workBlockSize = 9000
	workSegment   = 96 << 10
)

func workInput(i int) string {
	if i%3 == 2 {
		return "b"
	}
	return "a"
}

func work(dir string, blocks int, hook func(string) error) error {
	s, err := Open(Options{Dir: dir, SegmentSize: workSegment, Hook: hook})
	if err != nil {
		return err
	}
	err = workOn(s, dir, blocks)
	return errors.Join(err, s.Close())
}

func workOn(s *Spool, dir string, blocks int) error {
	at, err := position(s)
	if err != nil {
		return err
	}
	for ; at < blocks; at++ {
		batches := []*Batch{workBatch(at)}
		if at%4 == 1 && at+1 < blocks { // two at once
			at++
			batches = append(batches, workBatch(at))
		}
		if err := s.Append(batches...); err != nil {
			return err
		}
		if at%7 == 6 {
			if _, err := s.Seal(func(c Chunk) bool { return c.Input == "a" }); err != nil {
				return err
			}
		}
		if at%10 == 9 { // now and then, so that there is a backlog over several segments
			if err := shipAll(s, dir); err != nil {
				return err
			}
		}
	}
	if _, err := s.Seal(func(Chunk) bool { return true }); err != nil {
		return err
	}
	return shipAll(s, dir)
}

func workBatch(at int) *Batch {
	return &Batch{
		Blocks:    []Block{testBlock(workInput(at), strconv.Itoa(at), workBlockSize, 3*workBlockSize)},
		Positions: []Position{{File: 1, Data: []byte(strconv.Itoa(at + 1))}},
	}
}

func position(s *Spool) (int, error) {
	ps, err := s.Positions()
	if err != nil || len(ps) == 0 {
		return 0, err
	}
	return strconv.Atoi(string(ps[0].Data))
}

// shipAll puts sealed chunks into the bucket directory and acks them. Every
// fifth chunk of input b is buried first, and every fifth of input a dropped.
func shipAll(s *Spool, dir string) error {
	for _, c := range s.Chunks() {
		if c.State == StateSealed && c.Input == "b" && c.Number%5 == 2 {
			if err := s.Bury(c.Seq, "test"); err != nil {
				return err
			}
		}
	}
	if err := dropSome(s, dir); err != nil {
		return err
	}
	for _, c := range s.Chunks() {
		if c.State == StateOpen {
			continue
		}
		if c.State == StateSealed && c.Number == 9 {
			if err := damageAndRestore(s, c.Seq); err != nil {
				return err
			}
		}
		data, err := readChunk(s, c.Seq)
		if err != nil {
			return err
		}
		if err := put(bucketOf(dir), c.Name, data); err != nil {
			return err
		}
		if err := s.Ack(c.Seq); err != nil {
			return err
		}
	}
	return nil
}

// dropSome drops two chunks of input a at once, if it has them. What they hold
// is noted before, so that it can be accounted for.
func dropSome(s *Spool, dir string) error {
	var seqs []uint64
	for _, c := range s.Chunks() {
		if c.State != StateSealed || c.Input != "a" || c.Number%5 != 3 && c.Number%5 != 1 {
			continue
		}
		data, err := readChunk(s, c.Seq)
		if err != nil {
			return err
		}
		if err := put(droppedOf(dir), fmt.Sprintf("%s-%s-%020d", c.Queue, c.Input, c.Number), data); err != nil {
			return err
		}
		seqs = append(seqs, c.Seq)
	}
	_, err := s.Drop("test", seqs...)
	return err
}

func droppedOf(dir string) string { return filepath.Join(filepath.Dir(dir), "dropped") }

// damageAndRestore spoils the data of a chunk's blocks where they lie, and
// has them restored.
func damageAndRestore(s *Spool, seq uint64) error {
	s.pub.RLock()
	m := s.idx.chunks[seq]
	s.pub.RUnlock()
	for _, e := range m.extents {
		if err := spoil(s, e.segment, m); err != nil {
			return err
		}
	}
	_, err := s.Restore(seq, rebuildWork)
	return err
}

// spoil overwrites the data of a chunk's blocks in a segment's file, in every
// copy there is of them.
func spoil(s *Spool, segment uint64, m *manifest) error {
	f, err := os.OpenFile(s.segs.path(segment), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = s.carveFile(segment, func(c *carved) error {
		if c.h.seq != m.seq {
			return nil
		}
		at := max(c.at+int64(len(c.head)), c.at+int64(len(c.value))-6)
		_, err := f.WriteAt([]byte("spoilt")[:min(6, c.h.stored)], at)
		return err
	})
	return errors.Join(err, f.Close())
}

// rebuildWork finds out which block of the workload it is.
func rebuildWork(_ *Block, fits func([]byte) bool) ([]byte, error) {
	for i := range workBlocks {
		if data := content(strconv.Itoa(i), workBlockSize); fits(data) {
			return data, nil
		}
	}
	return nil, errors.New("no such block")
}

func bucketOf(dir string) string { return filepath.Join(filepath.Dir(dir), "bucket") }

// put refuses a second object of the same name and other content.
func put(bucket, name string, data []byte) error {
	if err := os.MkdirAll(bucket, 0o750); err != nil {
		return err
	}
	path := filepath.Join(bucket, strings.ReplaceAll(name, "/", "_"))
	if old, err := os.ReadFile(path); err == nil {
		if !bytes.Equal(old, data) {
			return fmt.Errorf("object %s was put twice, with different contents", name)
		}
		return nil
	}
	tmp := filepath.Join(filepath.Dir(bucket), "put.tmp")
	return errors.Join(os.WriteFile(tmp, data, 0o640), os.Rename(tmp, path))
}

// runChild does the workload and dies by SIGKILL at the step it was told.
func runChild(dir, at string) {
	step, count, _ := strings.Cut(at, ":")
	left, _ := strconv.Atoi(count)
	err := work(dir, workBlocks, func(s string) error {
		if s == step {
			if left == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			left--
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// crash runs the workload in a child until it kills itself at a step.
func crash(t *testing.T, dir, at string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childStep+"="+at)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	return false
}

// Case: the process is killed at each durable step, three times in one
// directory, each time a little later, and then finishes.
func TestCrash(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(quickDir(t), "state")
			for i := range 3 {
				if !crash(t, dir, fmt.Sprintf("%s:%d", step, i)) && i == 0 {
					t.Fatal("the workload never came to this step")
				}
				checkWork(t, dir)
			}
			if err := work(dir, workBlocks, nil); err != nil {
				t.Fatal(err)
			}
			if n := checkWork(t, dir); n != workBlocks {
				t.Fatalf("position %d at the end", n)
			}
		})
	}
}

// checkWork opens what a crash left and checks that every block up to the
// position is there exactly once, in order, and that no number is missing.
func checkWork(t *testing.T, dir string) int {
	t.Helper()
	s, err := Open(Options{Dir: dir, SegmentSize: workSegment})
	if err != nil {
		t.Fatal(err)
	}
	defer closeTest(t, s)
	if files, _ := os.ReadDir(filepath.Join(dir, queueDir)); len(files) != s.Stats().Segments {
		t.Errorf("%d files, %d segments", len(files), s.Stats().Segments)
	}
	objects := map[string][]byte{} // name or, while open, seq -> content
	for _, c := range s.Chunks() {
		data, err := readChunk(s, c.Seq)
		if errors.As(err, new(*DamageError)) { // killed between the damage and its repair
			if _, err = s.Restore(c.Seq, rebuildWork); err == nil {
				data, err = readChunk(s, c.Seq)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.ReplaceAll(c.Name, "/", "_"); c.State == StateOpen {
			objects[fmt.Sprintf("app_%s-%020d-open-%d", c.Queue, c.Number, c.Seq)] = data
		} else {
			objects[name] = data
		}
	}
	collect(t, bucketOf(dir), func(name string, data []byte) {
		if old, ok := objects[name]; ok && !bytes.Equal(old, data) {
			t.Errorf("object %s differs from the chunk of that name", name)
		}
		objects[name] = data
	})
	collectQuarantine(t, s, dir, objects)
	collectDropped(t, s, dir, objects)
	at, err := position(s)
	if err != nil {
		t.Fatal(err)
	}
	checkBlocks(t, objects, at)
	return at
}

func collect(t *testing.T, dir string, f func(string, []byte)) {
	files, _ := os.ReadDir(dir)
	for _, e := range files {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		f(e.Name(), data)
	}
}

// collectQuarantine adds what was buried. A file of a chunk that is still
// there is from a burial that did not get to its end.
func collectQuarantine(t *testing.T, s *Spool, dir string, objects map[string][]byte) {
	alive := map[string]bool{}
	for _, c := range s.Chunks() {
		if c.State == StateSealed {
			alive[fmt.Sprintf("%s-%s-%020d", c.Queue, c.Input, c.Number)] = true
		}
	}
	collect(t, filepath.Join(dir, quarantineDir), func(name string, raw []byte) {
		chunk, ok := strings.CutSuffix(name, ".blocks")
		if !ok || alive[chunk] {
			return
		}
		var all []byte
		for len(raw) > 0 {
			head, data, err := splitBlock(raw)
			if err != nil {
				t.Fatal(err)
			}
			h, err := decodeHeader(head, &Block{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, data[:h.stored]...)
			raw = data[h.stored:]
		}
		objects["quarantine "+chunk] = all
	})
}

// collectDropped adds what was dropped, checks that its tombstones say so, and
// that the spool has counted it. A note of a chunk that is still there is from
// a drop that did not get to its end.
func collectDropped(t *testing.T, s *Spool, dir string, objects map[string][]byte) {
	t.Helper()
	alive := map[string]bool{}
	for _, c := range s.Chunks() {
		alive[fmt.Sprintf("%s-%s-%020d", c.Queue, c.Input, c.Number)] = c.State == StateSealed
	}
	var want int64
	collect(t, droppedOf(dir), func(name string, data []byte) {
		if alive[name] {
			return
		}
		want++
		_, number, _ := strings.Cut(name, "-a-")
		queue, _, _ := strings.Cut(name, "-")
		if !slices.ContainsFunc(sortedNames(objects), func(o string) bool {
			return strings.HasPrefix(o, "app_"+queue+"-"+number+"-0.dropped-")
		}) {
			t.Errorf("%s was dropped and has no tombstone", name)
		}
		objects["dropped "+name] = data
	})
	if got := s.Stats().Dropped.Chunks; got != want {
		t.Errorf("%d dropped chunks are counted, want %d", got, want)
	}
}

// checkBlocks looks for each block in the objects.
func checkBlocks(t *testing.T, objects map[string][]byte, want int) {
	t.Helper()
	tags := map[string]int{}
	for i := range workBlocks {
		tags[string(content(strconv.Itoa(i), workBlockSize))] = i
	}
	seen := map[int]string{}
	for _, name := range sortedNames(objects) {
		last := -1
		for data := objects[name]; len(data) > 0; data = data[workBlockSize:] {
			i, ok := tags[string(data[:workBlockSize])]
			if !ok || i <= last {
				t.Fatalf("%s: unknown block, or out of order: %d after %d", name, i, last)
			}
			if other, ok := seen[i]; ok {
				t.Fatalf("block %d is in %s and in %s", i, other, name)
			}
			seen[i], last = name, i
		}
	}
	for i := range want {
		if seen[i] == "" {
			t.Fatalf("block %d is missing, position is %d", i, want)
		}
	}
	if len(seen) != want {
		t.Fatalf("%d blocks, position is %d", len(seen), want)
	}
}

func sortedNames(objects map[string][]byte) []string {
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
