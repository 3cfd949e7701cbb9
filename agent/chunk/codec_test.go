package chunk

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

func TestCodecs(t *testing.T) {
	for _, tt := range []struct {
		name, ext string
		codec     Codec
		encoding  Encoding
	}{
		{"none", "", None, EncRaw}, {"gzip", ".gz", Gzip, EncDeflate}, {"zstd", ".zst", Zstd, EncZstd},
	} {
		c, err := ParseCodec(tt.name)
		if err != nil || c != tt.codec || c.String() != tt.name || c.Ext() != tt.ext || c.encoding() != tt.encoding {
			t.Errorf("%s: got %d %q %q, %v", tt.name, c, c, c.Ext(), err)
		}
	}
	for _, s := range []string{"", "GZIP", "snappy"} {
		if _, err := ParseCodec(s); err == nil || !strings.Contains(err.Error(), "use gzip, zstd or none") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestLevels(t *testing.T) {
	for _, tt := range []struct {
		codec Codec
		level int
		ok    bool
	}{
		{Gzip, 0, false}, {Gzip, 1, true}, {Gzip, 9, true}, {Gzip, 10, false}, {Gzip, -2, false},
		{Zstd, 0, false}, {Zstd, 1, true}, {Zstd, 19, true}, {Zstd, 20, false}, {None, 0, true}, {None, 77, true},
	} {
		_, err := NewCompressor(tt.codec, tt.level)
		_, bodyErr := NewBody(tt.codec, tt.level, pieces{})
		if (err == nil) != tt.ok || (bodyErr == nil) != tt.ok {
			t.Errorf("%s level %d: %v, %v", tt.codec, tt.level, err, bodyErr)
		}
		if err != nil && !strings.Contains(err.Error(), "use 1 to ") {
			t.Errorf("error does not name the levels: %v", err)
		}
	}
}

// allLevels are a codec and a level of each kind of encoder.
var allLevels = []struct {
	codec Codec
	level int
}{{None, 0}, {Gzip, 1}, {Gzip, 2}, {Gzip, 3}, {Gzip, 4}, {Gzip, 5}, {Gzip, 6}, {Gzip, 7}, {Gzip, 9}, {Zstd, 1}, {Zstd, 3}, {Zstd, 7}, {Zstd, 19}}

// unpack decompresses one stored block alone.
func unpack(t interface{ Fatalf(string, ...any) }, enc Encoding, data []byte) []byte {
	var out []byte
	var err error
	switch enc {
	case EncRaw:
		return data
	case EncDeflate:
		out, err = io.ReadAll(stdflate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("\x03\x00"))))
	case EncZstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<20)); err == nil {
			out, err = d.DecodeAll(data, nil)
			d.Close()
		}
	}
	if err != nil {
		t.Fatalf("encoding %d: %v", enc, err)
	}
	return out
}

// drawRaw draws records of very different sizes and entropy.
func drawRaw(t *rapid.T, label string) []byte {
	size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(0, 20<<10), rapid.IntRange(MinBlock-1, MinBlock+1), rapid.IntRange(0, 150<<10)).Draw(t, label)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	noise := rapid.SampledFrom([]int{0, 1, 10, 100}).Draw(t, "noise") // percent
	lines := eventSample[r.IntN(len(eventSample)-size):]
	raw := bytes.Clone(lines[:size])
	for range size * noise / 100 {
		raw[r.IntN(size)] = byte(r.Uint32())
	}
	return raw
}

var eventSample = eventLines(1 << 20)

// What a block is stored as does not depend on the blocks before it, and can
// be read without them.
func TestBlocksAreIndependent(t *testing.T) {
	for _, l := range allLevels {
		t.Run(fmt.Sprintf("%s/%d", l.codec, l.level), func(t *testing.T) {
			used, err := NewCompressor(l.codec, l.level)
			if err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) {
				raw := drawRaw(t, "size")
				got, enc := used.Block([]byte("before"), raw)
				want := l.codec.encoding()
				if len(raw) < MinBlock {
					want = EncRaw
				}
				if enc != want {
					t.Fatalf("%d bytes: encoding %d, want %d", len(raw), enc, want)
				}
				got, found := bytes.CutPrefix(got, []byte("before"))
				if !found || !bytes.Equal(unpack(t, enc, got), raw) {
					t.Fatalf("%d bytes do not come back", len(raw))
				}
				if rapid.IntRange(0, 9).Draw(t, "compare") > 0 {
					return // making an encoder is slow
				}
				fresh, _ := NewCompressor(l.codec, l.level)
				if again, _ := fresh.Block(nil, raw); !bytes.Equal(again, got) {
					t.Fatalf("%d bytes: a new compressor gives %d bytes, a used one %d", len(raw), len(again), len(got))
				}
			})
		})
	}
}

// A consumer needs at most 1 MiB of window for any block: the window of a
// frame of a single segment is its content.
func TestZstdWindow(t *testing.T) {
	c, err := NewCompressor(Zstd, 3)
	if err != nil {
		t.Fatal(err)
	}
	raw := bytes.Repeat(eventSample, 3)
	data, enc := c.Block(nil, raw)
	var h zstd.Header
	if err := h.Decode(data); err != nil || max(h.WindowSize, h.FrameContentSize) > frameSize {
		t.Errorf("header %+v, %v", h, err)
	}
	if !bytes.Equal(unpack(t, enc, data), raw) {
		t.Error("differs")
	}
}

func TestCompressAllocations(t *testing.T) {
	for _, l := range allLevels {
		c, err := NewCompressor(l.codec, l.level)
		if err != nil {
			t.Fatal(err)
		}
		dst, _ := c.Block(nil, eventSample[:100<<10])
		if n := testing.AllocsPerRun(3, func() { dst, _ = c.Block(dst[:0], eventSample[:100<<10]) }); n > 0 {
			t.Errorf("%s level %d: %v allocations", l.codec, l.level, n)
		}
	}
}

func TestCRCCombine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.Byte()).Draw(t, "a")
		b := eventSample[:rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 1<<20)).Draw(t, "b")]
		want := crc32.ChecksumIEEE(append(bytes.Clone(a), b...))
		if got := crcCombine(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), int64(len(b))); got != want {
			t.Fatalf("got %08x, want %08x", got, want)
		}
	})
}

// Lengths beyond 32 bits: 2^33 + 5 zeros, made from halves.
func TestCRCCombineLong(t *testing.T) {
	zeros, n := crc32.ChecksumIEEE(make([]byte, 1<<20)), int64(1<<20)
	for n < 1<<33 {
		zeros = crcCombine(zeros, zeros, n)
		n *= 2
	}
	five := crc32.ChecksumIEEE(make([]byte, 5))
	if a, b := crcCombine(zeros, five, 5), crcCombine(five, zeros, n); a != b {
		t.Errorf("%08x in one order, %08x in the other", a, b)
	}
}

// Records are stored alike wherever they are split.
func TestPieces(t *testing.T) {
	raw := bytes.Repeat(eventSample, 3*frameSize/len(eventSample))
	sizes := []int{0, 1, MinBlock - 1, MinBlock, MinBlock + 1, frameSize - 1, frameSize, frameSize + 1, 2*frameSize + 1}
	pieces := []int{MinBlock / 2, frameSize / 3, 2 * frameSize}
	random := rand.New(rand.NewPCG(5, 6))
	for i, level := range allLevels {
		whole, err := NewCompressor(level.codec, level.level)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := NewCompressor(level.codec, level.level)
		for j, size := range sizes {
			want, wantEnc := whole.Block([]byte("x"), raw[:size])
			if !bytes.Equal(unpack(t, wantEnc, want[1:]), raw[:size]) {
				t.Fatalf("%v: %d bytes come back as others", level, size)
			}
			most := pieces[(i+j)%len(pieces)]
			c.Start([]byte("x"))
			for rest := raw[:size]; len(rest) > 0; {
				n := min(1+random.IntN(most), len(rest))
				c.Add(rest[:n])
				rest = rest[n:]
			}
			if got, enc := c.End(); !bytes.Equal(got, want) || enc != wantEnc {
				t.Errorf("%v: %d bytes in pieces of up to %d differ", level, size, most)
			}
		}
	}
}
