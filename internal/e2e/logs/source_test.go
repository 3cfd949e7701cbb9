package logs

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"testing"
)

func lines(s Source, n int) []byte {
	var b []byte
	for range n {
		b = s.Append(b)
	}
	return b
}

// The figures that the benchmark promises of its data: line length and how far
// gzip -1 shrinks it.
func TestEventsAreRealistic(t *testing.T) {
	const n = 20000
	data := lines(NewEvents(1, "app"), n)
	if mean := len(data) / n; mean < 420 || mean > 480 {
		t.Errorf("mean event is %d bytes, want about 450", mean)
	}
	var c counter
	z, _ := gzip.NewWriterLevel(&c, 1)
	z.Write(data)
	z.Close()
	if ratio := float64(len(data)) / float64(c); ratio < 4.5 || ratio > 8.5 {
		t.Errorf("gzip ratio is %.2f, want 5 to 8", ratio)
	}
	for l := range bytes.Lines(data[:50000]) {
		if !json.Valid(l) && l[len(l)-1] == '\n' {
			t.Fatalf("not JSON: %s", l)
		}
	}
}

func TestAccessLinesAreAbout200Bytes(t *testing.T) {
	const n = 20000
	if mean := len(lines(NewAccess(1, "web"), n)) / n; mean < 180 || mean > 230 {
		t.Errorf("mean access line is %d bytes", mean)
	}
}

func TestSameSeedSameLines(t *testing.T) {
	if !bytes.Equal(lines(NewEvents(7, "a"), 100), lines(NewEvents(7, "a"), 100)) {
		t.Error("events differ")
	}
	if bytes.Equal(lines(NewAccess(7, "a"), 100), lines(NewAccess(8, "a"), 100)) {
		t.Error("the seed does nothing")
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

var _ io.Writer = (*counter)(nil)
