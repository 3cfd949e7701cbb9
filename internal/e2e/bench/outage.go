package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// Outage is a backlog that grows while S3 is down and is drained afterwards.
type Outage struct {
	Input   int64          `json:"input_bytes"`
	Window  int64          `json:"window_bytes"` // of input
	Growing []BacklogPoint `json:"growing"`

	AppendFirst float64 `json:"append_first_mb_per_s"` // median of the first endWindows
	AppendLast  float64 `json:"append_last_mb_per_s"`  // and of the last ones
	DrainWait   float64 `json:"drain_wait_s"`          // from S3's return to the first ack
	DrainFirst  float64 `json:"drain_first_mb_per_s"`  // compressed bytes; after the first ack
	DrainLast   float64 `json:"drain_last_mb_per_s"`
	AnonFirst   float64 `json:"anon_first_mib"` // peak in the first window
	AnonLast    float64 `json:"anon_last_mib"`
	Anon        float64 `json:"peak_anon_rss_mib"` // draining included
	RSS         float64 `json:"peak_rss_mib"`
	Shipped     int64   `json:"compressed_bytes"`
	Disk        int64   `json:"state_bytes"` // on disk when S3 comes back
	DiskAfter   int64   `json:"state_bytes_after"`
	ShrankIn    float64 `json:"shrank_in_s"` // after the last ack, to DiskAfter
}

// BacklogPoint is what appending cost at one size of the backlog.
type BacklogPoint struct {
	Backlog float64 `json:"backlog_mib_of_input"`
	Speed   float64 `json:"mb_per_s"`
	CPU     float64 `json:"cpu_s_per_gib"`
}

const (
	outageFile = 256 << 20
	windows    = 8
	// endWindows are at the beginning and at the end: a machine that is slow for
	// some seconds must not look like a backlog that is.
	endWindows = 3
	// lastBatches is left out of the rates: the last batch is not full and
	// waits for commit_interval.
	lastBatches = 12 << 20
	shrunk      = 32 << 20 // of the goal
	shrinkWait  = 10 * time.Second
	drainLimit  = 10 * time.Minute
	// outageAge closes the last chunk, which would wait for a minute.
	outageAge = 2 * time.Second
)

// sample is one look at a growing backlog.
type sample struct {
	at    time.Time
	cpu   time.Duration
	bytes int64
	anon  int64
}

// outage spools the input while S3 is down, then drains it.
func (b *bench) outage(ctx context.Context) error {
	m, err := b.runOutage(ctx, b.o.Outage)
	if err != nil {
		return err
	}
	b.say("append %.0f MB/s at the beginning, %.0f at the end; drain %.0f and %.0f (compressed), %.1f s after S3 came back",
		m.AppendFirst, m.AppendLast, m.DrainFirst, m.DrainLast, m.DrainWait)
	b.report.Outage = m
	return nil
}

func (b *bench) runOutage(ctx context.Context, size int64) (*Outage, error) {
	l, err := b.newLive("outage")
	if err != nil {
		return nil, err
	}
	defer l.close()
	m := &Outage{}
	if m.Input, err = spread(l.logs, size); err != nil {
		return nil, err
	}
	m.Window = (m.Input - lastBatches) / windows
	l.config.MaxAge, l.max = outageAge, "64GiB"
	l.input("json", l.logs+"/*.log")
	l.server.Down()
	if err := l.start(); err != nil {
		return nil, err
	}
	p := newProbe(l.agent.Socket)
	defer p.close()
	samples, err := l.sampleGrowth(ctx, p, m.Input)
	if err != nil {
		return nil, err
	}
	m.grew(samples)
	m.Disk = onDisk(l.state)
	b.say("%.2f GiB are spooled, the state directory has %.1f MiB", float64(m.Input)/(1<<30), float64(m.Disk)/(1<<20))
	if err := m.drain(ctx, l, p); err != nil {
		return nil, err
	}
	s, err := p.status(ctx)
	if err != nil {
		return nil, err
	}
	m.RSS = float64(agentproc.MemoryOf(s.PID).Peak) / (1 << 20)
	l.proc.Kill()
	m.Anon = float64(l.proc.Usage().Anon) / (1 << 20)
	return m, nil
}

// spread makes event files of together about size bytes, and says how many.
func spread(dir string, size int64) (total int64, err error) {
	for i := 0; total < size; i++ {
		name := fmt.Sprintf("part%03d", i)
		d, err := writeData(filepath.Join(dir, name+".log"), logs.NewEvents(uint64(i), name), min(size-total, outageFile))
		if err != nil {
			return 0, err
		}
		total += d.Bytes
	}
	return total, nil
}

// sampleGrowth looks at the agent until all of size is durable.
func (l *live) sampleGrowth(ctx context.Context, p *probe, size int64) ([]sample, error) {
	var samples []sample
	_, err := p.await(ctx, pollEvery, drainLimit, func(s status) bool {
		anon := agentproc.MemoryOf(s.PID).Anon
		if n := s.bytes(); n > 0 && n < size-lastBatches {
			samples = append(samples, sample{time.Now(), l.proc.CPU(), n, anon})
		}
		return s.bytes() >= size
	})
	return samples, err
}

// grew cuts the samples into windows of equal input.
func (m *Outage) grew(samples []sample) {
	peak := func(w []sample) (n int64) {
		for _, s := range w {
			n = max(n, s.anon)
		}
		return n
	}
	from := 0
	for i := range samples {
		if samples[i].bytes-samples[from].bytes < m.Window && i < len(samples)-1 || i == from {
			continue
		}
		w := samples[from : i+1]
		first, last := w[0], w[len(w)-1]
		n := float64(last.bytes - first.bytes)
		if n < float64(m.Window)/2 && len(m.Growing) > 0 {
			break // a rest that is too small to measure
		}
		m.Growing = append(m.Growing, BacklogPoint{
			Backlog: float64(last.bytes) / (1 << 20), Speed: n / 1e6 / last.at.Sub(first.at).Seconds(),
			CPU: (last.cpu - first.cpu).Seconds() / n * (1 << 30),
		})
		if len(m.Growing) == 1 {
			m.AnonFirst = float64(peak(w)) / (1 << 20)
		}
		m.AnonLast = float64(peak(w)) / (1 << 20)
		from = i
	}
	if n := len(m.Growing); n > 0 {
		k := min(endWindows, n)
		speed := func(p BacklogPoint) float64 { return p.Speed }
		m.AppendFirst, m.AppendLast = median(m.Growing[:k], speed), median(m.Growing[n-k:], speed)
	}
}

// drain brings S3 back and waits until everything is shipped and the state
// directory is small again.
func (m *Outage) drain(ctx context.Context, l *live, p *probe) error {
	back := time.Now()
	if err := l.server.Up(); err != nil {
		return err
	}
	if _, err := p.await(ctx, pollEvery, drainLimit, func(s status) bool { return s.shipped() }); err != nil {
		return err
	}
	acked := time.Now()
	for m.DiskAfter = onDisk(l.state); m.DiskAfter > shrunk && time.Since(acked) < shrinkWait; m.DiskAfter = onDisk(l.state) {
		if err := pause(ctx, 10*pollEvery); err != nil {
			return err
		}
	}
	m.ShrankIn = time.Since(acked).Seconds()
	puts := l.store.list()
	if len(puts) == 0 {
		return fmt.Errorf("nothing was shipped")
	}
	m.DrainWait = puts[0].at.Sub(back).Seconds()
	m.DrainFirst, m.DrainLast = halves(puts)
	_, m.Shipped = l.store.Totals()
	return nil
}

// starters are the objects that come while the agent tries how many uploads at
// once the store that is back can take, up to four, however large the backlog.
const starters = 4

// halves returns the speed of the first and of the second half of the puts,
// in MB/s, without the starters and the last put, whose chunk waited for its
// age. The first put only starts the clock.
func halves(puts []put) (first, last float64) {
	if len(puts) < starters+6 {
		return 0, 0
	}
	puts = puts[starters : len(puts)-1]
	speed := func(w []put) float64 {
		var n int64
		for _, p := range w[1:] {
			n += p.size
		}
		return float64(n) / 1e6 / w[len(w)-1].at.Sub(w[0].at).Seconds()
	}
	mid := len(puts) / 2
	return speed(puts[:mid+1]), speed(puts[mid:])
}
