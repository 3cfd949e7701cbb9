package audit

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/spoolship/spoolship/agent/chunk"
)

// Checker reads objects, in the order of Sort. One goroutine.
type Checker struct {
	// Follow says of which inputs the offsets in records are followed: those
	// whose records have all the bytes of their lines.
	Follow map[string]bool
	// Failed tells failures to read an object, which say nothing about it, from
	// damage.
	Failed func(error) bool

	last  chunk.Key // of the object before
	files offsets   // of its stream
}

// Check reads an object as it is stored and says what is not as its key and
// metadata say: that it decompresses to so many records with that CRC-32, each
// with a newline behind it, and that the lines in it follow those before.
// Metadata that is not there, as after a copy by other tools, is not missed. The
// error is a failure to read.
func (c *Checker) Check(o Object, metadata map[string]string, body io.Reader) (damage, failed error) {
	if o.Input != c.last.Input || o.Queue != c.last.Queue || o.Chunk != c.last.Chunk+1 || c.last.Cause != "" {
		c.files = offsets{} // what came before is not known, or known to be lost
	}
	c.last = o.Key
	sum := crc32.NewIEEE()
	var n int64
	ended := true
	var hole error
	records, err := chunk.Open(body)
	if err == nil {
		for record, fault := range chunk.Records(records) {
			if err = fault; err != nil {
				break
			}
			n++
			sum.Write(record)
			ended = record[len(record)-1] == '\n'
			if hole == nil && c.Follow[o.Input] {
				hole = c.files.follow(record)
			}
		}
		err = errors.Join(err, records.Close())
	}
	switch {
	case err != nil && c.Failed(err):
		return nil, err
	case err != nil:
		return fmt.Errorf("does not decompress: %w", err), nil
	case !ended:
		return errors.New("the last record has no newline: the object was cut"), nil
	case n != o.Records:
		return fmt.Errorf("has %d records, its key says %d", n, o.Records), nil
	}
	for name, want := range map[string]string{
		"spoolship-queue": o.Queue, "spoolship-input": o.Input, "spoolship-chunk": strconv.FormatUint(o.Chunk, 10),
		"spoolship-records": strconv.FormatInt(o.Records, 10), "spoolship-crc32": fmt.Sprintf("%08x", sum.Sum32()),
	} {
		if got, ok := metadata[name]; ok && got != want {
			return fmt.Errorf("its metadata %s is %q; its key and content say %q", name, got, want), nil
		}
	}
	return hole, nil
}
