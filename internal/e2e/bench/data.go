package bench

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// Data describes a data file.
type Data struct {
	Bytes     int64   `json:"bytes"`
	Lines     int64   `json:"lines"`
	LineBytes float64 `json:"mean_line_bytes"`
	Ratio     float64 `json:"gzip_1_ratio"` // by gzip at level 1, on the first bytes
	Encoded   float64 `json:"record_bytes_per_byte"`
}

// The ratio that real event logs have; other data would measure something else.
const (
	minRatio   = 5
	maxRatio   = 8
	ratioBytes = 32 << 20 // how much of the file the ratio is taken of
	writeSize  = 1 << 20
)

// generate makes the data files if they are not there, the same bytes every
// time.
func (b *bench) generate() error {
	if len(b.files) > 0 {
		return nil
	}
	sources := []struct {
		format string
		source logs.Source
	}{
		{"json", logs.NewEvents(1, "bench")},
		{"text", logs.NewAccess(1, "bench")},
	}
	for _, s := range sources {
		path := filepath.Join(b.dir, s.format+".log")
		b.files[s.format] = path
		d, err := writeData(path, s.source, b.o.Size)
		if err != nil {
			return err
		}
		d.Encoded = 1 // JSON lines are shipped as they are; for text it is measured
		b.report.Data[s.format] = d
		b.say("data: %s, %d lines of %.0f bytes, gzip -1 ratio %.2f", s.format, d.Lines, d.LineBytes, d.Ratio)
		if d.Ratio < minRatio || d.Ratio > maxRatio {
			return fmt.Errorf("the %s data has a gzip -1 ratio of %.2f, want %d to %d", s.format, d.Ratio, minRatio, maxRatio)
		}
	}
	return nil
}

func writeData(path string, s logs.Source, size int64) (Data, error) {
	f, err := os.Create(path)
	if err != nil {
		return Data{}, err
	}
	defer f.Close()
	packed := &counter{}
	z, err := gzip.NewWriterLevel(packed, 1)
	if err != nil {
		return Data{}, err
	}
	var d Data
	var written int64
	for buf := make([]byte, 0, writeSize+4096); written < size; buf = buf[:0] {
		for len(buf) < writeSize && written+int64(len(buf)) < size {
			buf = s.Append(buf)
		}
		if _, err := f.Write(buf); err != nil {
			return Data{}, err
		}
		if written < ratioBytes {
			z.Write(buf)
			d.Ratio = float64(written + int64(len(buf)))
		}
		d.Lines += int64(bytes.Count(buf, []byte("\n")))
		written += int64(len(buf))
	}
	if err := z.Close(); err != nil {
		return Data{}, err
	}
	d.Ratio /= float64(packed.n)
	d.Bytes, d.LineBytes = written, float64(written)/float64(d.Lines)
	return d, f.Sync()
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
