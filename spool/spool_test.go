package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir, os.Getenv(childStep))
		return
	}
	goleak.VerifyTestMain(m)
}

// testSize makes hand-overs happen after a handful of small batches.
const testSize = 256 << 10

// openTest opens a spool that is verified and closed when the test ends.
func openTest(t testing.TB, o Options) *Spool {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeTest(t, s) })
	return s
}

// closeTest verifies and closes s, if it is still open.
func closeTest(t interface {
	Helper()
	Error(...any)
}, s *Spool) {
	t.Helper()
	for _, err := range verifyTest(s) {
		if !errors.Is(err, ErrClosed) {
			t.Error("verify:", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error("close:", err)
	}
}

// memoryDir is a place where fsync costs nothing, for tests that make
// thousands of commits and are about their logic. "" is the usual place.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// quickDir is t.TempDir in memoryDir.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "spool-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// content makes n bytes that can be told from those of any other tag.
func content(tag string, n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for i := 0; len(b) < n; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", tag, i))
		b = append(b, sum[:]...)
	}
	return b[:n]
}

const nameTemplate = "app/{queue}-{chunk}-{records}-{id}.ndjson"

func testBlock(input, tag string, n int, limit int64) Block {
	data := content(tag, n)
	return Block{
		Input: input, Name: nameTemplate, Codec: "none", Limit: limit,
		Encoding: Raw, Data: data, RawSize: int64(n), RawCRC: crc32.ChecksumIEEE(data),
		Records: int64(n%7 + 1), First: 100, Last: 200 + int64(n),
		Ranges: []Range{{File: 3, From: 10, To: 10 + int64(n), Records: int64(n%7 + 1), Time: 5}},
	}
}

func mustAppend(t testing.TB, s *Spool, blocks ...Block) {
	t.Helper()
	if err := s.Append(&Batch{Blocks: blocks}); err != nil {
		t.Fatal(err)
	}
}

func sealAll(t testing.TB, s *Spool) {
	t.Helper()
	if _, err := s.Seal(func(Chunk) bool { return true }); err != nil {
		t.Fatal(err)
	}
}

// readChunk returns the data of all blocks of a chunk.
func readChunk(s *Spool, seq uint64) ([]byte, error) {
	r, err := s.OpenChunk(seq)
	if err != nil {
		return nil, err
	}
	var all []byte
	for i := range r.Len() {
		b, err := r.Block(i)
		if err != nil {
			return nil, err
		}
		if crc32.ChecksumIEEE(b.Data) != b.RawCRC {
			return nil, errors.New("data is not what was appended, and nobody noticed")
		}
		all = append(all, b.Data...)
	}
	return all, nil
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	blocks := []Block{testBlock("a", "1", 5000, 1<<20), testBlock("b", "2", 300, 1<<20), testBlock("a", "3", 100, 1<<20)}
	err := s.Append(&Batch{Blocks: blocks, Positions: []Position{{File: 3, Data: []byte("three")}, {File: 9, Data: nil}}})
	if err != nil {
		t.Fatal(err)
	}
	check := func(s *Spool, state ChunkState) {
		t.Helper()
		cs := s.Chunks()
		if len(cs) != 2 || cs[0].Input != "a" || cs[1].Input != "b" || cs[0].Number != 1 || cs[1].Number != 1 {
			t.Fatalf("chunks: %+v", cs)
		}
		if cs[0].State != state || cs[0].Blocks != 2 || cs[0].StoredSize != 5100 || cs[0].First != 100 || cs[0].Last != 5200 {
			t.Fatalf("chunk: %+v", cs[0])
		}
		got, err := readChunk(s, cs[0].Seq)
		if want := append(content("1", 5000), content("3", 100)...); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("content differs: %v", err)
		}
		ps, err := s.Positions()
		if err != nil || len(ps) != 2 || ps[0].File != 3 || string(ps[0].Data) != "three" || ps[1].File != 9 || len(ps[1].Data) != 0 {
			t.Fatalf("positions: %+v, %v", ps, err)
		}
	}
	check(s, StateOpen)
	closeTest(t, s)

	s = openTest(t, Options{Dir: dir})
	check(s, StateOpen)
	if n := s.NextFile(); n != 10 {
		t.Fatalf("next file %d", n)
	}
	sealAll(t, s)
	check(s, StateSealed)
	c := s.Chunks()[0]
	want := fmt.Sprintf("app/%s-%020d-%d-%s.ndjson", s.Stats().Queue, 1, c.Records, c.ID)
	if c.Name != want || len(c.ID) != 16 || c.Sealed.Before(c.Opened) {
		t.Fatalf("name %s, want %s", c.Name, want)
	}
	r, err := s.OpenChunk(c.Seq)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Block(0)
	if err != nil || len(b.Ranges) != 1 || b.Ranges[0] != blocks[0].Ranges[0] || b.Records != blocks[0].Records || b.Name != nameTemplate {
		t.Fatalf("block: %+v, %v", b, err)
	}
	if err := s.Ack(c.Seq, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Block(1); !errors.Is(err, ErrNoChunk) {
		t.Fatalf("block of an acked chunk: %v", err)
	}
	if err := s.Ack(c.Seq); !errors.Is(err, ErrNoChunk) {
		t.Fatalf("ack twice: %v", err)
	}
	if st := s.Stats(); st.Unacked != 0 || st.SealedChunks != 0 || st.OpenChunks != 0 || st.Batch != 1 {
		t.Fatalf("stats: %+v", st)
	}
	mustAppend(t, s, testBlock("a", "4", 10, 1))
	if c := s.Chunks()[0]; c.Number != 2 || c.State != StateSealed {
		t.Fatalf("number after all was acked, full chunk: %+v", c)
	}
}

// Case: a chunk is sealed before a block that would make it too big, and at
// once by one that reaches the limit.
func TestLimit(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir()})
	for i, n := range []int{400, 400, 400, 2000, 1000, 5} {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), n, 1000))
	}
	var got []string
	for _, c := range s.Chunks() {
		got = append(got, fmt.Sprint(c.Blocks, c.StoredSize, c.State))
	}
	if want := "2 800 1,1 400 1,1 2000 1,1 1000 1,1 5 0"; strings.Join(got, ",") != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}

// Case: segments come and go with the chunks that need them.
func TestHandOver(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir, SegmentSize: testSize})
	for i := range 30 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 50_000, 200_000))
	}
	sealAll(t, s)
	before := s.Stats()
	if before.Segments < 4 {
		t.Fatalf("%d segments", before.Segments)
	}
	closeTest(t, s)
	s = openTest(t, Options{Dir: dir, SegmentSize: testSize})
	if st := s.Stats(); st.Unacked != before.Unacked || st.Segments != before.Segments {
		t.Fatalf("reopened: %+v, was %+v", st, before)
	}
	var all []byte
	for _, c := range s.Chunks() {
		b, err := readChunk(s, c.Seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
		if err := s.Ack(c.Seq); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		if !bytes.Equal(all[i*50_000:][:50_000], content(fmt.Sprint(i), 50_000)) {
			t.Fatalf("block %d differs", i)
		}
	}
	files, _ := os.ReadDir(filepath.Join(dir, queueDir))
	if st := s.Stats(); st.Segments != 1 || len(files) != 1 || st.Unacked != 0 {
		t.Fatalf("after the last ack: %+v, %d files", st, len(files))
	}
}

// Case: all of a large head is acked. Its disk space comes back, and what is
// still to be known is in the new head.
func TestAckedHead(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir()})
	if err := s.Append(&Batch{Positions: []Position{{File: 1, Data: []byte("kept")}}}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustAppend(t, s, testBlock("a", fmt.Sprint(i), 500_000, 20*500_000))
	}
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.DiskBytes > 1<<20 || st.Segments != 1 {
		t.Fatalf("stats: %+v", st)
	}
	if ps, err := s.Positions(); err != nil || len(ps) != 1 || string(ps[0].Data) != "kept" {
		t.Fatalf("positions: %+v, %v", ps, err)
	}
	mustAppend(t, s, testBlock("a", "x", 5, 1))
	if c := s.Chunks()[0]; c.Number != 2 || c.Seq != 2 {
		t.Fatalf("next chunk: %+v", c)
	}
}

func TestFull(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir(), MaxSize: 1000})
	mustAppend(t, s, testBlock("a", "0", 5000, 1)) // an empty spool takes anything
	err := s.Append(&Batch{Blocks: []Block{testBlock("a", "1", 1, 1)}})
	if !errors.Is(err, ErrFull) {
		t.Fatalf("append to a full spool: %v", err)
	}
	if err := s.Append(&Batch{Positions: []Position{{File: 1}}}); err != nil {
		t.Fatalf("positions take no room: %v", err)
	}
	ch := s.Changed()
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
	<-ch
	mustAppend(t, s, testBlock("a", "1", 1, 1))

	s = openTest(t, Options{Dir: t.TempDir(), MinFree: 1 << 60})
	if err := s.Append(&Batch{Blocks: []Block{testBlock("a", "1", 1, 1)}}); !errors.Is(err, ErrFull) {
		t.Fatalf("append with too little free: %v", err)
	}
}

func TestBury(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, Options{Dir: dir})
	mustAppend(t, s, testBlock("a/b", "0", 500, 1), testBlock("c", "1", 500, 1000))
	for _, c := range s.Chunks() {
		if err := s.Bury(c.Seq, "test"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range s.Chunks() {
		if c.State != StateTombstone || c.Records != 0 || c.Blocks != 0 || c.Number != 1 || c.Reason != "test" ||
			!strings.Contains(c.Name, "-0.damaged-"+c.ID) {
			t.Fatalf("tombstone: %+v", c)
		}
		path := filepath.Join(dir, quarantineDir, c.Queue+"-"+strings.ReplaceAll(c.Input, "/", "%2F")+"-00000000000000000001")
		raw, err := os.ReadFile(path + ".blocks")
		if err != nil {
			t.Fatal(err)
		}
		_, data, err := splitBlock(raw)
		if err != nil || !bytes.Equal(data, content(fmt.Sprint(c.Seq-1), 500)) {
			t.Fatalf("quarantined block: %v", err)
		}
		if note, err := os.ReadFile(path + ".txt"); err != nil || !strings.Contains(string(note), "1 of 1 blocks") {
			t.Fatalf("note: %s, %v", note, err)
		}
	}
	mustAppend(t, s, testBlock("c", "2", 5, 1000))
	if st := s.Stats(); st.Quarantined != 2 || st.SealedChunks != 2 || st.OpenChunks != 1 || st.Unacked != 5 {
		t.Fatalf("stats: %+v", st)
	}
	if cs := s.Chunks(); cs[2].Number != 2 {
		t.Fatalf("number after a burial: %+v", cs[2])
	}
	if err := s.Bury(1, "again"); err == nil {
		t.Fatal("a tombstone was buried")
	}
}

func TestForgetInput(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir()})
	mustAppend(t, s, testBlock("a", "0", 5, 1))
	if s.ForgetInput("a") == nil || s.ForgetInput("b") == nil {
		t.Fatal("forgot an input that has chunks, or one that was never there")
	}
	if err := s.Ack(1); err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetInput("a"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, testBlock("a", "0", 5, 1))
	if n := s.Chunks()[0].Number; n != 1 {
		t.Fatalf("number %d", n)
	}
}

func TestClosed(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir()})
	mustAppend(t, s, testBlock("a", "0", 5, 1))
	r, err := s.OpenChunk(1)
	if err != nil {
		t.Fatal(err)
	}
	closeTest(t, s)
	_, perr := s.Positions()
	_, serr := s.Seal(func(Chunk) bool { return true })
	_, berr := r.Block(0)
	for i, err := range []error{s.Append(&Batch{}), s.Ack(1), s.Bury(1, ""), perr, serr, berr, s.ForgetInput("a")} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Case: readers, an appender, an acker and a sealer at the same time.
func TestConcurrent(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir(), SegmentSize: testSize})
	const total = 120
	done := make(chan error, 1)
	go func() {
		for i := range total {
			b := Batch{Blocks: []Block{testBlock("a", fmt.Sprint(i), 20_000, 60_000)}}
			if err := s.Append(&b); err != nil {
				done <- err
				return
			}
			if i%10 == 9 {
				if _, err := s.Seal(func(c Chunk) bool { return c.Blocks > 1 }); err != nil {
					done <- err
					return
				}
			}
		}
		_, err := s.Seal(func(Chunk) bool { return true })
		done <- err
	}()
	deadline := time.After(30 * time.Second)
	for got := 0; got < total; {
		changed := s.Changed()
		for _, c := range s.Chunks() {
			if c.State == StateOpen {
				continue
			}
			b, err := readChunk(s, c.Seq)
			if err != nil {
				t.Fatal(err)
			}
			for ; len(b) > 0; b = b[20_000:] {
				if !bytes.Equal(b[:20_000], content(fmt.Sprint(got), 20_000)) {
					t.Fatalf("block %d differs", got)
				}
				got++
			}
			if err := s.Ack(c.Seq); err != nil {
				t.Fatal(err)
			}
		}
		if got == total {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%d of %d blocks after 30 s", got, total)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Case: a reason of any bytes. It becomes a header of an HTTP request.
func TestReason(t *testing.T) {
	s := openTest(t, Options{Dir: t.TempDir()})
	for reason, want := range map[string]string{
		"damaged: page 3":              "damaged: page 3",
		" a\nb\x00c\xffd\u00e9\u20ac ": "a?b?c?d??",
		strings.Repeat("x", 900):       strings.Repeat("x", 200),
		strings.Repeat("\u20ac", 300):  strings.Repeat("?", 200),
	} {
		mustAppend(t, s, testBlock("a", "0", 5, 1))
		c := s.Chunks()[s.Len()-1]
		if err := s.Bury(c.Seq, reason); err != nil {
			t.Fatal(err)
		}
		if c, _ := s.NextSealed(c.Seq - 1); c.Reason != want {
			t.Errorf("%q became %q", reason, c.Reason)
		}
	}
	if n := s.Stats().Quarantined; n != 4 {
		t.Errorf("%d quarantined", n)
	}
}

// verifyTest returns all damage that Verify finds.
func verifyTest(s *Spool) (found []error) {
	add := func(err error) { found = append(found, err) }
	if err := s.Verify(context.Background(), add, func(int64) {}); err != nil {
		add(err)
	}
	return found
}
