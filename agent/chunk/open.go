package chunk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a zstd object can ask for; ours need 4 MiB.
const maxWindow = 128 << 20

// Open returns the records of an object: decompressed by what its bytes are,
// since no record begins like gzip or zstd. Damage shows as an error of Open or
// of Read. Close does not close r.
func Open(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip header: %w", err)
		}
		return z, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd header: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// Records yields the records of what Open returned, each with its newline,
// however long; a last one that has none as it is. The bytes are valid until the
// next. It ends with the first error.
func Records(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		b := bufio.NewReaderSize(r, 1<<16)
		var long []byte
		for {
			record, err := b.ReadSlice('\n')
			if len(long) > 0 || errors.Is(err, bufio.ErrBufferFull) {
				long = append(long, record...)
				record = long
			}
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				continue
			case err != nil && !errors.Is(err, io.EOF):
				yield(nil, err)
				return
			case len(record) > 0 && !yield(record, nil), err != nil:
				return
			}
			long = long[:0]
		}
	}
}
