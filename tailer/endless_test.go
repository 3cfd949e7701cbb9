package tailer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// endless are compressed files that have little to read and much to do.
var endless = map[string]struct {
	make  func(t *testing.T, w *os.File)
	error error
}{
	"a hole behind a member.gz": {func(t *testing.T, w *os.File) {
		_, _ = w.Write(pack(t, ".gz", "one\n", 1))
		if err := w.Truncate(15 << 40); err != nil && err != unix.EFBIG {
			t.Fatal(err)
		} else if err != nil {
			_ = w.Truncate(15 << 39)
		}
	}, nil},
	"members of nothing.gz": {func(t *testing.T, w *os.File) {
		_, _ = w.Write(pack(t, ".gz", "one\n", 1))
		_, _ = w.Write(bytes.Repeat(pack(t, ".gz", "", 1), 4<<20))
	}, errEmpty},
	"frames to skip.zst": {func(t *testing.T, w *os.File) {
		_, _ = w.Write(pack(t, ".zst", "one\n", 1))
		for n := range int64(4) {
			_, _ = w.WriteAt([]byte("\x50\x2a\x4d\x18\xff\xff\xff\x7f"), 100+n*(1<<31+7))
		}
		at := int64(len(pack(t, ".zst", "one\n", 1)))
		_, _ = w.WriteAt([]byte("\x50\x2a\x4d\x18\xff\xff\xff\x7f"), at)
	}, errEmpty},
}

// Each step of reading them is short, and so is the whole.
func TestEndlessUnpacker(t *testing.T) {
	for name, c := range endless {
		t.Run(name, func(t *testing.T) {
			w, err := os.Create(t.TempDir() + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			c.make(t, w)
			u, err := newUnpacker(int(w.Fd()), packingOf(name))
			if err != nil {
				t.Fatal(err)
			}
			defer u.close()
			b, text, steps := make([]byte, quantum), "", 0
			for {
				before := u.raw.at
				var n int
				n, err = u.fill(b)
				text += string(b[:n])
				if read := u.raw.at - before; read > unpackBudget+64<<10 && c.error != nil {
					t.Fatalf("a step read %d bytes", read)
				}
				if err != nil {
					break
				}
				if steps++; steps > 2*maxEmpty/unpackBudget {
					t.Fatal("it has no end")
				}
			}
			if text != "one\n" || c.error != nil && !errors.Is(err, c.error) || c.error == nil && err.Error() != "EOF" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// A small file that decompresses to more than anybody reads, beside a log: what is
// at home is read, and so is the next generation.
func TestBombBesideLog(t *testing.T) {
	var bomb bytes.Buffer
	z, err := zstd.NewWriter(&bomb, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write(bytes.Repeat([]byte("one\n"), headSize))
	for zeros, n := make([]byte, 1<<20), 0; n < 90; n++ {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	f := newFixture(t, "*.log")
	text := string(bytes.Repeat([]byte("one\n"), headSize))
	f.append("a.log", text)
	f.step()
	f.tick()
	f.must(os.WriteFile(f.path("a.log.1.zst"), bomb.Bytes(), 0o644))
	f.pass(time.Second)
	f.rename("a.log", "a.log.9")
	f.append("a.log", "three\n")
	f.clock.t = f.clock.t.Add(10 * time.Second)
	for turn := range 90 {
		if turn%10 == 0 {
			f.must(f.scan(t.Context()))
		}
		_, err := f.round(t.Context())
		f.must(err)
		if strings.HasSuffix(f.c.text(), "three\n") {
			return
		}
	}
	t.Errorf("the next generation waits, after %d bytes", len(f.c.text()))
}

// Compressed files that wait for their turn need no descriptors.
func TestDescriptorsOfManyCompressed(t *testing.T) {
	f := newFixture(t, "*.gz")
	f.kill()
	f.o.MaxOpenFiles = 20
	f.start()
	for i := range 300 {
		f.packed(fmt.Sprintf("%d.gz", i), fmt.Sprintf("line %d\n", i), 1)
	}
	most := 0
	f.c.onSpan = func(*Span) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		most = max(most, len(fds))
	}
	f.pass(time.Minute)
	f.pass(time.Minute)
	if n := bytes.Count([]byte(f.c.text()), []byte("\n")); n != 300 || most > 60 {
		t.Errorf("%d lines, %d descriptors", n, most)
	}
}
