package chunk

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// Codec is what an object is compressed with.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	Gzip
	Zstd
)

var codecs = [...]struct {
	name, ext string
	maxLevel  int
}{
	None: {name: "none"},
	Gzip: {"gzip", ".gz", 9},
	Zstd: {"zstd", ".zst", 19},
}

// ParseCodec takes "gzip", "zstd" or "none".
func ParseCodec(s string) (Codec, error) {
	for c, known := range codecs {
		if s == known.name {
			return Codec(c), nil
		}
	}
	return None, fmt.Errorf("compression %q is unknown; use gzip, zstd or none", s)
}

func (c Codec) String() string { return codecs[c].name }

// Ext is what {ext} in a key template stands for: ".gz", ".zst" or "".
func (c Codec) Ext() string { return codecs[c].ext }

// checkLevel returns an error unless level is one of c: 1 to 9 for gzip, 1 to
// 19 for zstd, anything for none.
func (c Codec) checkLevel(level int) error {
	if c != None && (level < 1 || level > codecs[c].maxLevel) {
		return fmt.Errorf("level %d does not exist for %s; use 1 to %d", level, c, codecs[c].maxLevel)
	}
	return nil
}

// Encoding is how one block is stored. The values are those of the spool.
type Encoding uint8

// The encodings.
const (
	EncRaw     Encoding = 0 // records as they are
	EncDeflate Encoding = 1 // raw deflate, ended by a sync flush, refers to nothing before it
	EncZstd    Encoding = 2 // zstd frames
)

// encoding is how blocks are stored that c compresses.
func (c Codec) encoding() Encoding { return [...]Encoding{EncRaw, EncDeflate, EncZstd}[c] }

// MinBlock is the size in bytes under which a block is stored raw and
// compressed at upload, together with its neighbours.
const MinBlock = 16 << 10

// frameSize is the size in bytes of the frames of a zstd block, but for the
// last. It is also the window of the encoder: a frame that fits the window needs
// no history, which makes it nearly twice as fast.
const frameSize = 1 << 20

// Compressor compresses blocks. One goroutine at a time; reuse it. The same
// bytes always give the same result.
type Compressor struct {
	codec   Codec
	deflate *flate.Writer
	zstd    *zstd.Encoder
	out     appender // what Start was given, and the stored form behind it
	held    []byte   // records not compressed yet: less than MinBlock, or less than a frame
	begun   bool     // something was compressed for this block
}

// NewCompressor returns a compressor for codec at level: 1 to 9 for gzip, 1 to
// 19 for zstd, where the encoder has four levels and takes the nearest. None
// has no levels.
func NewCompressor(codec Codec, level int) (*Compressor, error) {
	if err := codec.checkLevel(level); err != nil {
		return nil, err
	}
	c := &Compressor{codec: codec}
	var err error
	switch codec {
	case Gzip:
		c.deflate, err = flate.NewWriter(io.Discard, level)
	case Zstd:
		c.zstd, err = zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(frameSize),
			zstd.WithLowerEncoderMem(true),
			zstd.WithZeroFrames(true))
	}
	if err != nil {
		return nil, fmt.Errorf("%s level %d: %w", codec, level, err)
	}
	return c, nil
}

// Block appends the stored form of raw to dst. A block under MinBlock, and any
// block of codec None, is stored raw.
func (c *Compressor) Block(dst, raw []byte) ([]byte, Encoding) {
	c.Start(dst)
	c.Add(raw)
	return c.End()
}

// Start begins a block whose stored form is appended to dst, for callers that
// do not have all of its records at once. The result is that of Block, wherever
// they are split.
func (c *Compressor) Start(dst []byte) { c.out, c.held, c.begun = dst, c.held[:0], false }

// Add takes the next records of the block. They are not kept.
func (c *Compressor) Add(raw []byte) {
	switch c.codec {
	case Gzip:
		if !c.begun && len(c.held)+len(raw) < MinBlock {
			c.held = append(c.held, raw...)
			return
		}
		c.deflateHeld()
		_, _ = c.deflate.Write(raw) // appender never fails
	case Zstd:
		for len(c.held)+len(raw) >= frameSize {
			whole := raw[:frameSize-len(c.held)]
			raw = raw[len(whole):]
			if len(c.held) > 0 {
				c.held = append(c.held, whole...)
				whole = c.held
			}
			c.frame(whole)
		}
		c.held = append(c.held, raw...)
	default:
		c.out = append(c.out, raw...)
	}
}

// deflateHeld compresses what Add held back, at the start of the block.
func (c *Compressor) deflateHeld() {
	if c.begun {
		return
	}
	// A reset writer knows nothing of earlier blocks, so that the fragment may
	// follow any other.
	c.deflate.Reset(&c.out)
	_, _ = c.deflate.Write(c.held) // appender never fails
	c.begun = true
}

// frame compresses raw to one frame. Nothing is held any more.
func (c *Compressor) frame(raw []byte) {
	c.out = c.zstd.EncodeAll(raw, c.out)
	c.held, c.begun = c.held[:0], true
}

// End returns what Start was given with the stored form of the block behind it.
func (c *Compressor) End() ([]byte, Encoding) {
	if !c.begun && len(c.held) < MinBlock {
		return append(c.out, c.held...), EncRaw
	}
	return c.finish(), c.codec.encoding()
}

// compress appends the compressed form of raw to dst, however small it is.
func (c *Compressor) compress(dst, raw []byte) []byte {
	c.Start(dst)
	c.Add(raw)
	return c.finish()
}

// finish compresses what is held, however little it is.
func (c *Compressor) finish() []byte {
	switch c.codec {
	case Gzip:
		c.deflateHeld()
		_ = c.deflate.Flush() // ends the fragment at a byte border
	case Zstd:
		if len(c.held) > 0 || !c.begun {
			c.frame(c.held)
		}
	}
	return c.out
}

// appender is a byte slice that can be written to. Writing never fails.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
