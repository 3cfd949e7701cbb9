package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Measure is the speed of a limit.
type Measure struct {
	Speed float64 `json:"mb_per_s"`      // 10^6 bytes compressed per second
	CPU   float64 `json:"cpu_s_per_gib"` // 0 if not measured
}

// limit is something to compare the agent with.
type limit struct {
	name    string
	after   string // the row to measure it after
	measure func(context.Context) (Measure, error)
}

// limitName of what bounds a row: the bare compressor on all cores, over the
// bytes that the agent compresses.
func limitName(r row) string { return r.compression + " on all cores, " + content(r.format) }

// content says what the agent compresses of a format: JSON lines as they are,
// of text lines its own records.
func content(format string) string {
	if format == "text" {
		return "records"
	}
	return format
}

// limitNames are all limits, in the order of the rows.
func limitNames() []string {
	return []string{limitName(rows[0]), limitName(rows[2]), limitName(rows[3]), gzipName}
}

// gzipName is the command line tool on one core.
const gzipName = "gzip -1, json"

// limitsOf are the limits over the data files, each to be measured after the
// rows that it bounds.
func limitsOf(files map[string]string) []limit {
	all := func(r row) limit {
		return limit{limitName(r), r.name, func(context.Context) (Measure, error) {
			return compressAll(files[content(r.format)], r.compression)
		}}
	}
	return []limit{
		all(rows[1]),
		{gzipName, rows[1].name, func(ctx context.Context) (Measure, error) { return gzipTool(ctx, files["json"]) }},
		all(rows[2]), all(rows[3]),
	}
}

// piece is what a core compresses at once: the agent's blocks are of this
// order, and each is compressed on its own.
const piece = 1 << 20

// compressAll compresses a file at level 1 on all cores and does nothing else.
func compressAll(path, compression string) (Measure, error) {
	data, unmap, err := mapFile(path)
	if err != nil {
		return Measure{}, err
	}
	defer unmap()
	work := make([]func([]byte), cores())
	for i := range work {
		if work[i], err = compressor(compression); err != nil {
			return Measure{}, err
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	began, cpu := time.Now(), selfCPU()
	for _, f := range work {
		wg.Go(func() {
			for {
				at := (next.Add(1) - 1) * piece
				if at >= int64(len(data)) {
					return
				}
				f(data[at:min(at+piece, int64(len(data)))])
			}
		})
	}
	wg.Wait()
	took, used := time.Since(began), selfCPU()-cpu
	size := float64(len(data))
	return Measure{Speed: size / 1e6 / took.Seconds(), CPU: used.Seconds() / size * (1 << 30)}, nil
}

// compressor returns what compresses one piece and forgets the result.
func compressor(compression string) (func([]byte), error) {
	if compression == "zstd" {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return nil, err
		}
		var out []byte
		return func(p []byte) { out = z.EncodeAll(p, out[:0]) }, nil
	}
	z, err := gzip.NewWriterLevel(io.Discard, 1)
	if err != nil {
		return nil, err
	}
	return func(p []byte) {
		z.Reset(io.Discard)
		z.Write(p)
		z.Close()
	}, nil
}

// mapFile maps a file and reads it once, so that the disk is not measured.
func mapFile(path string) ([]byte, func(), error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", path, err)
	}
	return data, func() { unix.Munmap(data) }, nil
}

func selfCPU() time.Duration {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r) // can't fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func gzipTool(ctx context.Context, path string) (Measure, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Measure{}, err
	}
	cmd := exec.CommandContext(ctx, "gzip", "-1", "-c", path) // no Stdout: /dev/null
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return Measure{}, fmt.Errorf("gzip -1: %w", err)
	}
	took := time.Since(began)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	size := float64(info.Size())
	return Measure{Speed: size / 1e6 / took.Seconds(), CPU: cpu.Seconds() / size * (1 << 30)}, nil
}
