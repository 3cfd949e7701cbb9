package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// Curve is how cost grows along one axis.
type Curve struct {
	Name   string  `json:"name"` // of its file
	Axis   string  `json:"axis"`
	Points []Point `json:"points"`
}

// Point is the median cost at one place of an axis.
type Point struct {
	Label string  `json:"label"`
	Speed float64 `json:"mb_per_s"`
	CPU   float64 `json:"cpu_s_per_gib"`
}

const (
	growthSize   = 256 << 20 // bytes of input of a point
	growthOutage = 2 << 30
	growthRuns   = 3
)

var (
	growthFiles = []int{1, 10, 100, 1000, 10000}
	growthLines = []int{50, 200, 450, 2 << 10, 10 << 10, 100 << 10}
	growthCores = []int{1, 2}
)

// growth measures all curves.
func (b *bench) growth(ctx context.Context) error {
	for _, f := range []func(context.Context) (Curve, error){b.growBacklog, b.growFiles, b.growLines, b.growCores} {
		c, err := f(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Axis, err)
		}
		b.report.Growth = append(b.report.Growth, c)
		for _, p := range c.Points {
			b.say("%-34s %10s %8.1f MB/s %7.2f CPU-s/GiB", c.Axis, p.Label, p.Speed, p.CPU)
		}
	}
	return nil
}

// growBacklog is what spooling costs as the backlog grows, S3 being down.
func (b *bench) growBacklog(ctx context.Context) (Curve, error) {
	c := Curve{Name: "backlog", Axis: "backlog, MiB of input"}
	m, err := b.runOutage(ctx, min(growthOutage, 8*b.o.Size))
	if err != nil {
		return c, err
	}
	for _, p := range m.Growing {
		c.Points = append(c.Points, Point{Label: fmt.Sprintf("%.0f", p.Backlog), Speed: p.Speed, CPU: p.CPU})
	}
	return c, nil
}

// growFiles divides the same input between more and more files.
func (b *bench) growFiles(ctx context.Context) (Curve, error) {
	c := Curve{Name: "files", Axis: "number of files"}
	for _, n := range growthFiles {
		p, err := b.point(ctx, strconv.Itoa(n), growthRuns, nil, func(dir string) (int64, error) {
			var total int64
			for i := range n {
				source := logs.NewEvents(uint64(i), "f"+strconv.Itoa(i))
				size, err := writeLines(filepath.Join(dir, fmt.Sprintf("%05d.log", i)), source, b.growSize()/int64(n))
				if err != nil {
					return 0, err
				}
				total += size
			}
			return total, nil
		})
		if err != nil {
			return c, err
		}
		c.Points = append(c.Points, p)
	}
	return c, nil
}

// growLines has longer and longer lines.
func (b *bench) growLines(ctx context.Context) (Curve, error) {
	c := Curve{Name: "lines", Axis: "bytes of a line"}
	for _, n := range growthLines {
		label := strconv.Itoa(n)
		if n >= 1<<10 {
			label = strconv.Itoa(n>>10) + "Ki"
		}
		p, err := b.point(ctx, label, growthRuns, nil, func(dir string) (int64, error) {
			return writeLines(filepath.Join(dir, "lines.log"), newSized(n), b.growSize())
		})
		if err != nil {
			return c, err
		}
		c.Points = append(c.Points, p)
	}
	return c, nil
}

// growCores runs the same input on one core and on two.
func (b *bench) growCores(ctx context.Context) (Curve, error) {
	c := Curve{Name: "cores", Axis: "GOMAXPROCS"}
	for _, n := range growthCores {
		p, err := b.point(ctx, strconv.Itoa(n), growthRuns, []string{"GOMAXPROCS=" + strconv.Itoa(n)}, func(dir string) (int64, error) {
			return writeLines(filepath.Join(dir, "cores.log"), logs.NewEvents(1, "cores"), 2*b.growSize())
		})
		if err != nil {
			return c, err
		}
		c.Points = append(c.Points, p)
	}
	return c, nil
}

func (b *bench) growSize() int64 { return min(growthSize, b.o.Size) }

// point backfills what prepare writes, several times.
func (b *bench) point(ctx context.Context, label string, runs int, env []string, prepare func(dir string) (int64, error)) (Point, error) {
	l, err := b.newLive("growth")
	if err != nil {
		return Point{}, err
	}
	defer l.close()
	size, err := prepare(l.logs)
	if err != nil {
		return Point{}, err
	}
	l.input("json", l.logs+"/*.log")
	var all []Point
	for range runs {
		var took time.Duration
		if _, _, err := b.disk.measure(func() (err error) { took, err = l.once(ctx, env...); return err }); err != nil {
			return Point{}, err
		}
		all = append(all, Point{Speed: float64(size) / 1e6 / took.Seconds(), CPU: l.proc.Usage().CPU.Seconds() / float64(size) * (1 << 30)})
		if err := os.RemoveAll(l.state); err != nil {
			return Point{}, err
		}
	}
	return Point{
		Label: label, Speed: median(all, func(p Point) float64 { return p.Speed }), CPU: median(all, func(p Point) float64 { return p.CPU }),
	}, nil
}

// writeLines writes about size bytes of lines, and says how many they are.
func writeLines(path string, s logs.Source, size int64) (int64, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var written int64
	var buf []byte
	for written < size {
		for buf = buf[:0]; len(buf) < writeSize && written+int64(len(buf)) < size; {
			buf = s.Append(buf)
		}
		n, err := f.Write(buf)
		if err != nil {
			return 0, err
		}
		written += int64(n)
	}
	return written, nil
}

// sized makes JSON lines of one length, newline included, from words and hex
// digits that gzip -1 shrinks about as well as event lines.
type sized struct {
	rng  *rand.Rand
	size int
	seq  int64
}

func newSized(n int) *sized { return &sized{rng: rand.New(rand.NewPCG(uint64(n), 2)), size: n} }

var sizedWords = []string{"request", "completed", "upstream", "connection", "timeout", "retry", "payload", "accepted", "session", "database", "latency", "queue"}

// Append is logs.Source's.
func (s *sized) Append(dst []byte) []byte {
	end := len(dst) + s.size - len("\"}\n")
	s.seq++
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendInt(dst, s.seq, 10)
	dst = append(dst, `,"text":"`...)
	for len(dst) < end {
		dst = append(dst, sizedWords[s.rng.IntN(len(sizedWords))]...)
		dst = append(dst, ' ')
		if s.rng.IntN(8) == 0 {
			dst = strconv.AppendUint(dst, s.rng.Uint64N(1<<32), 16)
			dst = append(dst, ' ')
		}
	}
	return append(dst[:end], "\"}\n"...)
}
