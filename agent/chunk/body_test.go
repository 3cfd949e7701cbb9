package chunk

import (
	"bytes"
	stdgzip "compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// volatile is a source whose data is gone with the next call, as the contract
// of Piece allows. It counts calls.
type volatile struct {
	pieces
	buf   []byte
	calls int
}

func (v *volatile) Piece(i int) (Piece, error) {
	v.calls++
	for k := range v.buf {
		v.buf[k] = 0xAA
	}
	p := v.pieces[i]
	v.buf = append(v.buf[:0], p.Data...)
	p.Data = v.buf
	return p, nil
}

// compressors are kept, because making one costs more than most tests.
var compressors = map[[2]int]*Compressor{}

// store makes pieces of blocks as the agent stores them.
func store(t interface{ Fatalf(string, ...any) }, codec Codec, level int, blocks ...[]byte) pieces {
	c := compressors[[2]int{int(codec), level}]
	if c == nil {
		var err error
		if c, err = NewCompressor(codec, level); err != nil {
			t.Fatalf("%v", err)
		}
		compressors[[2]int{int(codec), level}] = c
	}
	var ps pieces
	for _, raw := range blocks {
		data, enc := c.Block(nil, raw)
		ps = append(ps, Piece{enc, data, int64(len(raw)), crc32.ChecksumIEEE(raw)})
	}
	return ps
}

// unpackObject decompresses a whole object as a consumer does.
func unpackObject(t interface{ Fatalf(string, ...any) }, codec Codec, object []byte) []byte {
	var out []byte
	var err error
	switch codec {
	case None:
		return object
	case Gzip:
		var z *stdgzip.Reader
		left := bytes.NewReader(object)
		if z, err = stdgzip.NewReader(left); err == nil {
			z.Multistream(false)
			out, err = io.ReadAll(z)
		}
		if left.Len() > 0 {
			t.Fatalf("%d bytes behind the first gzip member", left.Len())
		}
	case Zstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(object), zstd.WithDecoderConcurrency(1)); err == nil {
			out, err = io.ReadAll(d)
			d.Close()
		}
	}
	if err != nil {
		t.Fatalf("%s: %v", codec, err)
	}
	return out
}

// checkBody checks everything that a body promises of blocks.
func checkBody(t interface{ Fatalf(string, ...any) }, codec Codec, level int, blocks ...[]byte) []byte {
	src := &volatile{pieces: store(t, codec, level, blocks...)}
	b, err := NewBody(codec, level, src)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if src.calls != len(blocks) {
		t.Fatalf("first pass: %d calls for %d blocks", src.calls, len(blocks))
	}
	object, err := io.ReadAll(b)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if src.calls > 2*len(blocks) {
		t.Fatalf("both passes: %d calls for %d blocks", src.calls, len(blocks))
	}
	if b.Size() != int64(len(object)) || b.SHA256() != sha256.Sum256(object) {
		t.Fatalf("size %d, sha %x of %d bytes", b.Size(), b.SHA256(), len(object))
	}
	raw := bytes.Join(blocks, nil)
	if b.RawCRC() != crc32.ChecksumIEEE(raw) {
		t.Fatalf("raw CRC %08x", b.RawCRC())
	}
	if !bytes.Equal(unpackObject(t, codec, object), raw) {
		t.Fatalf("records differ")
	}
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		t.Fatalf("%v", err)
	}
	if len(object) < 4<<10 { // it reads byte by byte
		if err := iotest.TestReader(b, object); err != nil {
			t.Fatalf("%v", err)
		}
	}
	return object
}

func TestBodyModel(t *testing.T) {
	for _, codec := range []Codec{None, Gzip, Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				level := rapid.SampledFrom([]int{1, 6}).Draw(t, "level")
				var blocks [][]byte
				for range rapid.IntRange(0, 6).Draw(t, "blocks") {
					blocks = append(blocks, drawRaw(t, "size"))
				}
				object := checkBody(t, codec, level, blocks...)
				b, err := NewBody(codec, level, &volatile{pieces: store(t, codec, level, blocks...)})
				if err != nil {
					t.Fatal(err)
				}
				for range 10 {
					at := rapid.IntRange(0, len(object)).Draw(t, "seek")
					if _, err := b.Seek(int64(at-len(object)), io.SeekEnd); err != nil {
						t.Fatal(err)
					}
					p := make([]byte, min(rapid.IntRange(0, 9999).Draw(t, "read"), len(object)-at))
					if _, err := io.ReadFull(b, p); err != nil || !bytes.Equal(p, object[at:at+len(p)]) {
						t.Fatalf("read of %d at %d: %v", len(p), at, err)
					}
				}
			})
		})
	}
}

// Any bytes in any blocks make an object that gives them back.
func FuzzBody(f *testing.F) {
	f.Add([]byte("{}\n{\"a\":1}\n"), uint8(1), uint16(3), uint8(0))
	f.Add(eventSample[:17<<10], uint8(1), uint16(17<<10), uint8(2))
	f.Add(eventSample[:9<<10], uint8(2), uint16(999), uint8(1))
	f.Add([]byte{}, uint8(0), uint16(0), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, codec uint8, size uint16, repeat uint8) {
		data = bytes.Repeat(data, int(repeat%8)+1)
		if len(data) > 256<<10 {
			t.Skip("too long")
		}
		step := max(int(size), len(data)/64, 1)
		checkBody(t, Codec(codec%3), 1, slices.Collect(slices.Chunk(data, step))...)
	})
}

// Runs of small blocks are compressed together, 1 MiB at most.
func TestBodyJoinsRawBlocks(t *testing.T) {
	blocks := slices.Collect(slices.Chunk(bytes.Repeat(eventSample, 3), MinBlock-1))
	together := checkBody(t, Gzip, 1, blocks...)
	var alone int
	for _, raw := range blocks[:10] {
		alone += (len(checkBody(t, Gzip, 1, raw)) - 20) * len(blocks) / 10
	}
	if len(together) > alone*9/10 {
		t.Errorf("%d bytes together, about %d alone", len(together), alone)
	}
	b, err := NewBody(Gzip, 1, &volatile{pieces: store(t, Gzip, 1, blocks...)})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.fragments) - 2; n != 4 || cap(b.run) > 2*maxRun {
		t.Errorf("%d fragments, buffer of %d bytes", n, cap(b.run))
	}
}

// Blocks of codec none are of any size.
func TestBodyLargeRawBlock(t *testing.T) {
	checkBody(t, None, 0, eventSample[:10], bytes.Repeat(eventSample, 2), eventSample[:10])
}

// A tombstone has no records, but is a valid object.
func TestBodyEmpty(t *testing.T) {
	for codec, want := range map[Codec]string{
		None: "",
		Gzip: "1f8b08000000000000ff" + "0300" + "00000000" + "00000000",
		Zstd: "28b52ffd" + "2000" + "010000",
	} {
		if got := fmt.Sprintf("%x", checkBody(t, codec, 1)); got != want {
			t.Errorf("%s: got %s, want %s", codec, got, want)
		}
	}
}

// The tools that people have take the objects.
func TestBodyTools(t *testing.T) {
	blocks := [][]byte{eventSample[:100], eventSample[100:500], eventSample[500:200_000], eventSample[200_000:200_100], eventSample[200_100:]}
	const python = "import gzip, hashlib, sys\nprint(hashlib.sha256(gzip.open(sys.argv[1]).read()).hexdigest(), end='')"
	sum := fmt.Sprintf("%x", sha256.Sum256(eventSample))
	for _, tt := range []struct {
		codec  Codec
		blocks [][]byte
		want   string
		tool   []string
	}{
		{Gzip, blocks, "", []string{"gzip", "-t"}},
		{Gzip, nil, "", []string{"gzip", "-t"}},
		{Gzip, blocks, string(eventSample), []string{"gzip", "-dc"}},
		{Gzip, blocks, sum, []string{"python3", "-c", python}},
		{Zstd, blocks, string(eventSample), []string{"zstd", "-dcq"}},
		{Zstd, nil, "", []string{"zstd", "-dcq"}},
	} {
		t.Run(tt.codec.String()+" "+strings.Join(tt.tool[:2], " "), func(t *testing.T) {
			if _, err := exec.LookPath(tt.tool[0]); err != nil {
				t.Skipf("%s is not installed", tt.tool[0])
			}
			file := filepath.Join(t.TempDir(), "object.ndjson"+tt.codec.Ext())
			if err := os.WriteFile(file, checkBody(t, tt.codec, 1, tt.blocks...), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tt.tool[0], append(tt.tool[1:], file)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if string(out) != tt.want {
				t.Errorf("%d bytes of output differ", len(out))
			}
		})
	}
}

// failing is a source that fails from a given piece on.
type failing struct {
	pieces
	from int
	err  error
}

func (f *failing) Piece(i int) (Piece, error) {
	if i >= f.from {
		return Piece{}, f.err
	}
	return f.pieces.Piece(i)
}

func TestBodySourceErrors(t *testing.T) {
	ps := store(t, Gzip, 1, eventSample[:50_000], eventSample[:100], eventSample[:200], eventSample[:50_000])
	cause := &os.PathError{Op: "read", Path: "segment", Err: io.ErrUnexpectedEOF}
	for from := range ps {
		_, err := NewBody(Gzip, 1, &failing{ps, from, cause})
		var got *os.PathError
		if !errors.As(err, &got) || !strings.HasPrefix(err.Error(), fmt.Sprintf("block %d: ", from)) {
			t.Errorf("first pass: %v", err)
		}
		src := &failing{ps, len(ps), cause}
		b, err := NewBody(Gzip, 1, src)
		if err != nil {
			t.Fatal(err)
		}
		src.from = from
		if from == len(ps)-1 {
			b.pieceIndex = -1 // as if it were not at hand any more
		}
		if _, err = io.ReadAll(b); !errors.As(err, &got) {
			t.Errorf("second pass: %v", err)
		}
		src.from = len(ps) // an error does not stick
		if _, err = b.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if object, err := io.ReadAll(b); err != nil || sha256.Sum256(object) != b.SHA256() {
			t.Errorf("after an error: %v", err)
		}
	}
}

// Nothing else is sent than what size and checksum were given for.
func TestBodyChangedSource(t *testing.T) {
	for _, codec := range []Codec{None, Gzip, Zstd} {
		for _, change := range []func(ps pieces) pieces{
			func(ps pieces) pieces { return ps[:len(ps)-1] },
			func(ps pieces) pieces { return append(slices.Clone(ps[:1]), ps[2:]...) },
			func(ps pieces) pieces { ps[0], ps[3] = ps[3], ps[0]; return ps },
			func(ps pieces) pieces { return append(ps, ps[1]) },
		} {
			blocks := [][]byte{eventSample[:50_000], eventSample[:100], eventSample[:200], eventSample[1:50_001], eventSample[:300]}
			src := &volatile{pieces: store(t, codec, 1, blocks...)}
			b, err := NewBody(codec, 1, src)
			if err != nil {
				t.Fatal(err)
			}
			src.pieces = change(src.pieces)
			b.pieceIndex = -1
			if _, err := io.ReadAll(b); !errors.Is(err, errChanged) {
				t.Errorf("%s: %v", codec, err)
			}
		}
	}
}

func TestBodyRefusesBlocks(t *testing.T) {
	good := store(t, Gzip, 1, eventSample[:50_000], eventSample[:100])
	noFlush := good[0]
	noFlush.Data = noFlush.Data[:len(noFlush.Data)-1]
	wrongCRC, wrongSize := good[1], good[1]
	wrongCRC.RawCRC++
	wrongSize.RawSize++
	for _, tt := range []struct {
		codec Codec
		piece Piece
		want  string
	}{
		{Gzip, noFlush, "block 1: deflate block is not ended by a sync flush"},
		{Gzip, wrongCRC, "block 1: raw block has CRC-32 "},
		{Gzip, wrongSize, "block 1: raw block has 100 bytes, want 101"},
		{Gzip, Piece{Encoding: EncZstd}, "block 1: encoding 2 can't be part of a gzip object"},
		{Zstd, good[0], "block 1: encoding 1 can't be part of a zstd object"},
		{None, good[0], "block 1: encoding 1 can't be part of a none object"},
		{Gzip, Piece{Encoding: 9}, "block 1: encoding 9 can't be part of a gzip object"},
	} {
		_, err := NewBody(tt.codec, 1, pieces{good[1], tt.piece})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestBodySeekErrors(t *testing.T) {
	b, err := NewBody(Gzip, 1, pieces{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Seek(-1, io.SeekStart); err == nil {
		t.Error("offset before the start")
	}
	if _, err := b.Seek(0, 3); err == nil {
		t.Error("unknown whence")
	}
	if at, err := b.Seek(100, io.SeekCurrent); at != 100 || err != nil {
		t.Errorf("beyond the end: %d, %v", at, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read beyond the end: %d, %v", n, err)
	}
}
