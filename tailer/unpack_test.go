package tailer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// pack compresses text the way the ending of name says, in the given number of
// members or frames.
func pack(t testing.TB, name, text string, parts int) []byte {
	t.Helper()
	var b bytes.Buffer
	for i := range parts {
		piece := text[len(text)*i/parts : len(text)*(i+1)/parts]
		var w io.WriteCloser = gzip.NewWriter(&b)
		if packingOf(name) == zstandard {
			z, err := zstd.NewWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			w = z
		}
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// unpack reads all of b as if it were in a file of this name.
func unpack(t testing.TB, name string, b []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := openRead(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	u, err := newUnpacker(fd, packingOf(name))
	if err != nil {
		return "", err
	}
	defer u.close()
	got := make([]byte, 1<<20)
	n, err := u.fill(got)
	return string(got[:n]), err
}

// noise is text that does not compress to nothing.
func noise(seed uint64, lines int) string {
	r, b := rand.New(rand.NewPCG(seed, 1)), strings.Builder{}
	for i := range lines {
		fmt.Fprintf(&b, "%06d %x\n", i, r.Uint64())
	}
	return b.String()
}

func TestUnpack(t *testing.T) {
	text := noise(1, 3000)
	for _, name := range []string{"a.gz", "a.zst"} {
		for _, parts := range []int{1, 2, 7} {
			if got, err := unpack(t, name, pack(t, name, text, parts)); got != text || !errors.Is(err, io.EOF) {
				t.Errorf("%s in %d parts: %d bytes of %d, %v", name, parts, len(got), len(text), err)
			}
		}
		wrong := pack(t, name, text, 1)
		wrong[len(wrong)-3] ^= 1 // the checksum or length at the end
		if _, err := unpack(t, name, wrong); !errors.Is(err, errDamaged) {
			t.Errorf("%s with a wrong checksum: %v", name, err)
		}
		if _, err := unpack(t, name, []byte("plain text")); !errors.Is(err, errMisnamed) {
			t.Errorf("%s that is plain: %v", name, err)
		}
		if _, err := unpack(t, name, append(pack(t, name, text, 1), "rubbish that follows"...)); !errors.Is(err, errDamaged) {
			t.Errorf("%s with rubbish behind it: %v", name, err)
		}
	}
	if got, err := unpack(t, "a.gz", append(pack(t, "a.gz", text, 1), make([]byte, 100_000)...)); got != text || !errors.Is(err, io.EOF) {
		t.Errorf("padded gzip: %d bytes, %v", len(got), err)
	}
	skipped := append([]byte("\x53\x2a\x4d\x18\x04\x00\x00\x00skip"), pack(t, "a.zst", text, 1)...)
	if got, err := unpack(t, "a.zst", skipped); got != text || !errors.Is(err, io.EOF) {
		t.Errorf("zstd with a skippable frame: %d bytes, %v", len(got), err)
	}
}

// bzipText is "hello\n" as bzip2 -9 packs it: the library has no writer.
const bzipText = "425a6839314159265359c1c080e2000001410000100244a00030cd00c3462997177245385090c1c080e2"

func TestUnpackBzip2(t *testing.T) {
	one, err := hex.DecodeString(bzipText)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := unpack(t, "a.bz2", append(one, one...)); got != "hello\nhello\n" || !errors.Is(err, io.EOF) {
		t.Errorf("two streams: %q, %v", got, err)
	}
	for cut := 1; cut < len(one); cut++ {
		if _, err := unpack(t, "a.bz2", one[:cut]); !errors.Is(err, errUnfinished) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// Wherever a file is cut, what was read is a beginning of what was written, and
// it is never taken for whole.
func TestUnpackCut(t *testing.T) {
	text := noise(2, 20)
	for _, name := range []string{"a.gz", "a.zst"} {
		whole, first := pack(t, name, text, 2), len(pack(t, name, text[:len(text)/2], 1))
		for cut := 1; cut < len(whole); cut++ {
			got, err := unpack(t, name, whole[:cut])
			want := errUnfinished
			if cut == first {
				want = io.EOF
			}
			if !errors.Is(err, want) || !strings.HasPrefix(text, got) {
				t.Errorf("%s cut at %d of %d: %v, %d bytes", name, cut, len(whole), err, len(got))
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(1, pack(f, "a.gz", "a line\nanother\n", 2))
	f.Add(2, pack(f, "a.zst", "a line\nanother\n", 2))
	f.Add(3, []byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, kind int, b []byte) {
		p := packing(1 + uint(kind)%3)
		got, err := unpack(t, "a"+packings[p].ext, b)
		again, err2 := unpack(t, "a"+packings[p].ext, b)
		if got != again || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("read twice: %d bytes, %v; then %d bytes, %v", len(got), err, len(again), err2)
		}
		if err == nil && len(got) < 1<<20 {
			t.Fatalf("%d bytes without an end", len(got))
		}
		var no unix.Errno
		if errors.As(err, &no) {
			t.Fatal(err)
		}
	})
}
