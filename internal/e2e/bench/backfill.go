package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// row is one way to run the agent, with its own limit.
type row struct {
	name                          string
	format, validate, compression string
}

var rows = []row{
	{"JSON, gzip", "json", "full", "gzip"},
	{"JSON, gzip, validate = off", "json", "off", "gzip"},
	{"text, gzip", "text", "", "gzip"},
	{"JSON, zstd", "json", "full", "zstd"},
}

// Backfill is what one row cost: the agent ships a file that is there.
type Backfill struct {
	Name    string  `json:"name"`
	Limit   string  `json:"limit"`
	Speed   float64 `json:"mb_per_s"`           // 10^6 bytes of input per second, start and stop included
	Records float64 `json:"record_mb_per_s"`    // of records: what the compressor was given
	CPU     float64 `json:"cpu_s_per_gib"`      // user and system, per GiB of records
	RSS     float64 `json:"peak_rss_mib"`       // mapped files included
	Anon    float64 `json:"peak_anon_rss_mib"`  // memory of its own
	Device  float64 `json:"device_per_shipped"` // bytes the device was given per compressed byte; 0 if unknown
	Process float64 `json:"process_per_shipped"`
	Ratio   float64 `json:"compression_ratio"` // record bytes per uploaded byte
	Objects float64 `json:"objects"`

	// Medians of what the rounds had, so not quite the ratios of the medians.
	Share    float64 `json:"percent_of_limit"`
	CPUTimes float64 `json:"cpu_times_limit"`
	Gzips    float64 `json:"times_gzip_1"` // over JSON lines
}

// Written is the lower of the two upper bounds of what the agent wrote, and
// which one it is.
func (m *Backfill) Written() (float64, string) {
	if m.Device > 0 && m.Device <= m.Process {
		return m.Device, "block device"
	}
	return m.Process, "write_bytes"
}

// backfill measures every row and every limit once per round, each row close
// to its limit: they are compared within the round.
func (b *bench) backfill(ctx context.Context) error {
	if err := b.generate(); err != nil {
		return err
	}
	if err := b.encodeText(ctx); err != nil {
		return fmt.Errorf("records of text lines: %w", err)
	}
	runs := make([][]Backfill, len(rows))
	limits := map[string][]Measure{}
	for n := range b.o.Runs {
		if err := b.round(ctx, n, runs, limits); err != nil {
			return err
		}
		for i := range rows {
			m := &runs[i][n]
			limit := limits[m.Limit][n]
			m.Share, m.CPUTimes, m.Gzips = 100*m.Records/limit.Speed, m.CPU/limit.CPU, m.Records/limits[gzipName][n].Speed
		}
	}
	for _, r := range runs {
		b.report.Backfill = append(b.report.Backfill, medianBackfill(r))
	}
	for name, m := range limits {
		b.report.Limits[name] = Measure{
			Speed: median(m, func(m Measure) float64 { return m.Speed }),
			CPU:   median(m, func(m Measure) float64 { return m.CPU }),
		}
	}
	return nil
}

// round measures all once and appends the figures.
func (b *bench) round(ctx context.Context, n int, runs [][]Backfill, limits map[string][]Measure) error {
	for i, r := range rows {
		m, err := b.agent(ctx, b.o.Binary, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		runs[i] = append(runs[i], m)
		b.say("run %d  %-28s %7.1f MB/s", n+1, r.name, m.Speed)
		for _, l := range limitsOf(b.files) {
			if l.after != r.name {
				continue
			}
			m, err := l.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			limits[l.name] = append(limits[l.name], m)
			b.say("run %d  %-28s %7.1f MB/s", n+1, l.name, m.Speed)
		}
	}
	return nil
}

// agent runs one row once.
func (b *bench) agent(ctx context.Context, binary string, r row) (Backfill, error) {
	l, err := b.newLive("backfill")
	if err != nil {
		return Backfill{}, err
	}
	defer l.close()
	l.agent.Binary = binary
	l.config.Compression = r.compression
	l.input(r.format, b.files[r.format])
	l.config.Inputs[0].Validate = r.validate
	var took time.Duration
	device, _, err := b.disk.measure(func() (err error) {
		took, err = l.once(ctx)
		return err
	})
	if err != nil {
		return Backfill{}, err
	}
	objects, shipped := l.store.Totals()
	if shipped == 0 {
		return Backfill{}, fmt.Errorf("the agent shipped nothing, see its output:\n%s", l.agent.Log)
	}
	m := figures(b.report.Data[r.format], l.proc.Usage(), took, objects, shipped)
	m.Name, m.Limit, m.Device, m.RSS = r.name, limitName(r), float64(device)/float64(shipped), float64(l.peak)/(1<<20)
	return m, nil
}

func figures(d Data, u agentproc.Usage, took time.Duration, objects, shipped int64) Backfill {
	const mib, gib = 1 << 20, 1 << 30
	size := float64(d.Bytes)
	return Backfill{
		Speed: size / 1e6 / took.Seconds(), Records: size * d.Encoded / 1e6 / took.Seconds(),
		CPU:  u.CPU.Seconds() / (size * d.Encoded) * gib,
		Anon: float64(u.Anon) / mib, Process: float64(u.Written) / float64(shipped),
		Ratio: size * d.Encoded / float64(shipped), Objects: float64(objects),
	}
}

// config leaves everything that matters for speed at the agent's defaults.
func (b *bench) config(endpoint, state string) agentproc.Config {
	return agentproc.Config{
		StateDir: state, Endpoint: endpoint, Region: s3dev.Region, Bucket: "events",
		AccessKey: s3dev.AccessKey, SecretKey: s3dev.SecretKey,
	}
}

// encodeText has the agent ship the text data without compression and keeps
// its records, as many bytes as each data file has: what the compressor's
// limit must be measured on.
func (b *bench) encodeText(ctx context.Context) error {
	l, err := b.newLive("encode")
	if err != nil {
		return err
	}
	defer l.close()
	path := filepath.Join(b.dir, "records.ndjson")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	l.store.keep, l.store.limit = f, b.o.Size
	l.config.Compression = "none"
	l.input("text", b.files["text"])
	if _, err := l.once(ctx); err != nil {
		return err
	}
	_, shipped := l.store.Totals()
	d := b.report.Data["text"]
	d.Encoded = float64(shipped) / float64(d.Bytes)
	b.report.Data["text"] = d
	b.files["records"] = path
	unix.Sync()
	return nil
}

func medianBackfill(runs []Backfill) Backfill {
	of := func(f func(Backfill) float64) float64 { return median(runs, f) }
	return Backfill{
		Name: runs[0].Name, Limit: runs[0].Limit,
		Speed:   of(func(m Backfill) float64 { return m.Speed }),
		Records: of(func(m Backfill) float64 { return m.Records }),
		CPU:     of(func(m Backfill) float64 { return m.CPU }),
		RSS:     of(func(m Backfill) float64 { return m.RSS }),
		Anon:    of(func(m Backfill) float64 { return m.Anon }),
		Device:  of(func(m Backfill) float64 { return m.Device }),
		Process: of(func(m Backfill) float64 { return m.Process }),
		Ratio:   of(func(m Backfill) float64 { return m.Ratio }),
		Objects: of(func(m Backfill) float64 { return m.Objects }),

		Share:    of(func(m Backfill) float64 { return m.Share }),
		CPUTimes: of(func(m Backfill) float64 { return m.CPUTimes }),
		Gzips:    of(func(m Backfill) float64 { return m.Gzips }),
	}
}
