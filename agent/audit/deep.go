package audit

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/spoolship/spoolship/agent/chunk"
)

// Check reads an object as it is stored and says what is not as its key and
// metadata say: that it decompresses to so many records with that CRC-32, each
// with a newline behind it. Metadata that is not there, as after a copy by other
// tools, is not missed. Failures of body that isFailure knows are returned as
// failed: they say nothing about the object.
func Check(o Object, metadata map[string]string, body io.Reader, isFailure func(error) bool) (damage, failed error) {
	sum := crc32.NewIEEE()
	lines := &lineCounter{}
	records, err := chunk.Open(body)
	if err == nil {
		_, err = io.Copy(io.MultiWriter(sum, lines), records)
		err = errors.Join(err, records.Close())
	}
	switch {
	case err != nil && isFailure(err):
		return nil, err
	case err != nil:
		return fmt.Errorf("does not decompress: %w", err), nil
	case lines.n > 0 && !lines.ended:
		return errors.New("the last record has no newline: the object was cut"), nil
	case lines.n != o.Records:
		return fmt.Errorf("has %d records, its key says %d", lines.n, o.Records), nil
	}
	for name, want := range map[string]string{
		"spoolship-queue": o.Queue, "spoolship-input": o.Input, "spoolship-chunk": strconv.FormatUint(o.Chunk, 10),
		"spoolship-records": strconv.FormatInt(o.Records, 10), "spoolship-crc32": fmt.Sprintf("%08x", sum.Sum32()),
	} {
		if got, ok := metadata[name]; ok && got != want {
			return fmt.Errorf("its metadata %s is %q; its key and content say %q", name, got, want), nil
		}
	}
	return nil, nil
}

// lineCounter counts newlines, and what follows the last as one more.
type lineCounter struct {
	n     int64
	ended bool
}

// Write implements io.Writer.
func (l *lineCounter) Write(p []byte) (int, error) {
	if len(p) > 0 {
		n := int64(bytes.Count(p, []byte{'\n'}))
		if l.n > 0 && !l.ended {
			l.n-- // its newline is counted below
		}
		l.n += n
		if l.ended = p[len(p)-1] == '\n'; !l.ended {
			l.n++
		}
	}
	return len(p), nil
}
