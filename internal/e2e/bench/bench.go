// Package bench measures the agent on reproducible data, side by side in one
// run with what bounds it: the compressor alone on all cores, and gzip -1.
//
// The runs of all rows are interleaved and medians are reported, so that a
// machine that changes its speed in the middle does so to all of them. The
// load average is noted before each part: other work on the machine makes
// every figure worse and none better.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the benchmark's.
type Options struct {
	Binary  string   // the agent's
	Parts   []string // of PartNames
	Size    int64    // bytes of each data file of the backfills
	Runs    int      // of each backfill
	Dir     string   // where data and spool live; must be a real disk
	Latency time.Duration
	Idle    time.Duration // how long CPU is taken of an idle agent
	Files   int           // watched by it
	Later   bool          // wait until the idle agent has closed what it opened
	Hot     time.Duration
	Outage  int64 // bytes of input spooled while S3 is down
	Open    int64 // bytes of the spool that is opened

	JSON     string // file for the figures; "" for none
	Markdown string // file whose marked tables are replaced; "" for none
	SVG      string // directory for the growth curves; "" for none
	Out      io.Writer
}

// part is one piece of work that is measured on its own.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

var parts = []part{
	{"backfill", (*bench).backfill},
	{"latency", (*bench).latency},
	{"idle", (*bench).idle},
	{"hot", (*bench).hot},
	{"outage", (*bench).outage},
	{"open", (*bench).open},
	{"growth", (*bench).growth},
}

// PartNames are all parts, in the order in which they run.
func PartNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

// Report is what a run measured. Parts that did not run are left out.
type Report struct {
	Date     time.Time          `json:"date"`
	Agent    string             `json:"agent"` // its version
	Go       string             `json:"go"`    // that the benchmark and so the limits were built with
	Kernel   string             `json:"kernel"`
	CPU      string             `json:"cpu"`
	Cores    int                `json:"cores"`
	Bytes    int64              `json:"bytes"`
	Runs     int                `json:"runs"`
	Load     map[string]string  `json:"load_before"` // by part
	Data     map[string]Data    `json:"data,omitempty"`
	Backfill []Backfill         `json:"backfill,omitempty"`
	Limits   map[string]Measure `json:"limits,omitempty"`
	Latency  *Latency           `json:"latency,omitempty"`
	Idle     *Idle              `json:"idle,omitempty"`
	Hot      *Hot               `json:"hot,omitempty"`
	Outage   *Outage            `json:"outage,omitempty"`
	Open     *Open              `json:"open,omitempty"`
	Growth   []Curve            `json:"growth,omitempty"`
	Goals    []Goal             `json:"goals,omitempty"`
}

// bench is the state of a run.
type bench struct {
	o      Options
	dir    string
	disk   disk
	files  map[string]string // data file by format
	report Report
}

// Run measures, prints a table and writes the files that were asked for. A
// part that fails does not keep the others from being measured and reported.
func Run(ctx context.Context, o Options) error {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.warn()
	var failed []error
	for _, p := range parts {
		if !slices.Contains(o.Parts, p.name) {
			continue
		}
		b.report.Load[p.name] = load()
		began := time.Now()
		b.say("\n== %s, load average %s", p.name, load())
		if err := p.run(b, ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
			b.say("   FAILED: %v", err)
		}
		if ctx.Err() != nil {
			break
		}
		b.say("   took %.0f s", time.Since(began).Seconds())
	}
	b.report.Goals = b.report.goals()
	b.table()
	return errors.Join(append(failed, b.save())...)
}

func newBench(o Options) (*bench, error) {
	dir, err := os.MkdirTemp(o.Dir, "spoolship-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{o: o, dir: dir, disk: diskOf(dir), files: map[string]string{}}
	b.report = Report{
		Date: time.Now().UTC().Truncate(time.Second), Agent: version(o.Binary), Go: runtime.Version(), Kernel: kernel(), CPU: cpuModel(), Cores: cores(),
		Bytes: o.Size, Runs: o.Runs, Load: map[string]string{}, Data: map[string]Data{}, Limits: map[string]Measure{},
	}
	return b, nil
}

// warn says what would make the figures worthless.
func (b *bench) warn() {
	const tmpfs = 0x01021994 // TMPFS_MAGIC of linux/magic.h
	var fs unix.Statfs_t
	if unix.Statfs(b.dir, &fs) == nil && fs.Type == tmpfs {
		b.say("WARNING: %s is in memory, so fsync costs nothing; choose a disk with -dir", b.dir)
	}
	b.say("%s; %s, %d cores, Linux %s, %s", b.report.Agent, b.report.CPU, b.report.Cores, b.report.Kernel, b.report.Go)
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.o.Out, format+"\n", args...) }

// median of one figure of several runs; the mean of the middle two if their
// number is even.
func median[T any](runs []T, figure func(T) float64) float64 {
	v := make([]float64, len(runs))
	for i, r := range runs {
		v[i] = figure(r)
	}
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

func cores() int { return runtime.GOMAXPROCS(0) }

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

func version(binary string) string {
	out, err := exec.Command(binary, "version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil {
		return "unknown"
	}
	return line
}

// kernel is the kernel's version, without what a builder adds to it.
func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
	return release
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(b), "model name")
	name, _, _ := strings.Cut(rest, "\n")
	return strings.Trim(name, "\t :")
}

// save writes the figures for programs and for readers.
func (b *bench) save() error {
	if b.o.Markdown != "" {
		if err := updateMarkdown(b.o.Markdown, b.report.sections()); err != nil {
			return err
		}
	}
	if b.o.SVG != "" {
		if err := writeCurves(b.o.SVG, b.report.Growth); err != nil {
			return err
		}
	}
	if b.o.JSON == "" {
		return nil
	}
	data, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(b.o.JSON), append(data, '\n'), 0o644)
}
