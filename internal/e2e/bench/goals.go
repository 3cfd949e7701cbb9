package bench

import "fmt"

// Goal is one promise of the project beside what was measured.
type Goal struct {
	Part    string  `json:"part"`
	Work    string  `json:"work"`
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Bound   float64 `json:"goal"`
	AtLeast bool    `json:"at_least"` // else at most
	Unit    string  `json:"unit"`
	Reached bool    `json:"reached"`
	Note    string  `json:"note,omitempty"`
}

// The goals. Shares are of the bare compressor on all cores; times of one core.
const (
	goalFull     = 50   // % of the limit, JSON with full validation
	goalOff      = 70   // %, without
	goalText     = 55   // %, over the encoded bytes
	goalZstd     = 50   // % of zstd's own limit
	goalGzips    = 3    // times gzip -1
	goalCPUFull  = 2    // times the compressor's own
	goalCPUOff   = 1.45 // the same, without validation
	goalAnon     = 64   // MiB
	goalWritten  = 1.3  // bytes per compressed byte
	goalLiveCPU  = 12   // % of a core at 20,000 lines/s
	goalDurable  = 400  // ms, p99
	goalVisible  = 1000 // ms over max_age, p99
	goalIdleCPU  = 0.3  // % of a core
	goalIdleRSS  = 40   // MiB
	goalReady    = 2    // s
	goalFiles    = 100  // descriptors
	goalSingle   = 500  // ms
	goalPoll     = 1000 // ms: poll_interval
	goalTrickled = 1000 // ms
	goalRate     = 10   // % between a small backlog and a large one
	goalStored   = 1.15 // bytes on disk per compressed byte
	goalShrunk   = 32   // MiB
	goalOpen     = 1    // s
)

// goals judges every part that was measured.
func (r *Report) goals() []Goal {
	var all []Goal
	add := func(part string, goals ...Goal) {
		for _, g := range goals {
			g.Part = part
			g.Reached = g.Value <= g.Bound
			if g.AtLeast {
				g.Reached = g.Value >= g.Bound
			}
			all = append(all, g)
		}
	}
	if len(r.Backfill) == len(rows) {
		add("backfill", r.backfillGoals()...)
	}
	if m := r.Latency; m != nil {
		work := fmt.Sprintf("%.0f lines/s over %d files", m.Rate, latencyFiles)
		add("latency",
			most(work, "CPU of one core", 100*m.CPU, goalLiveCPU, "%"),
			most(work, "append → durable, p99", m.Durable.P99, goalDurable, "ms").noted("p50 %.0f ms", m.Durable.P50),
			most(work, "append → visible in the bucket, p99", m.Visible.P99, m.MaxAge+goalVisible, "ms").noted("max_age %.0f ms", m.MaxAge))
	}
	if m := r.Idle; m != nil {
		add("idle", m.goals()...)
	}
	if m := r.Hot; m != nil {
		add("hot", most(fmt.Sprintf("1 hot file and %d trickling ones", m.Files), "trickling line durable, worst", m.Durable.Max, goalTrickled, "ms").
			noted("p50 %.0f ms of %d lines, hot file at %.0f MB/s", m.Durable.P50, m.Lines, m.Speed))
	}
	if m := r.Outage; m != nil {
		add("outage", m.goals()...)
	}
	if m := r.Open; m != nil {
		add("open", most(fmt.Sprintf("opening a spool of %.1f GiB", float64(m.Disk)/(1<<30)), "start → first answer", max(m.Cold, m.Warm, m.Killed), goalOpen, "s").
			noted("cold %.2f, warm %.2f, cold after SIGKILL %.2f s", m.Cold, m.Warm, m.Killed))
	}
	return all
}

func most(work, what string, value, bound float64, unit string) Goal {
	return Goal{Work: work, What: what, Value: value, Bound: bound, Unit: unit}
}

func least(work, what string, value, bound float64, unit string) Goal {
	g := most(work, what, value, bound, unit)
	g.AtLeast = true
	return g
}

func (g Goal) noted(format string, args ...any) Goal {
	g.Note = fmt.Sprintf(format, args...)
	return g
}

func (r *Report) backfillGoals() []Goal {
	full, off, text, zstd := r.Backfill[0], r.Backfill[1], r.Backfill[2], r.Backfill[3]
	share := func(m Backfill, goal float64) Goal {
		l := r.Limits[m.Limit]
		return least("backfill, "+m.Name, "speed of the limit's", m.Share, goal, "%").
			noted("%.0f of %.0f MB/s", m.Records, l.Speed)
	}
	cpu := func(m Backfill, goal float64) Goal {
		return most("backfill, "+m.Name, "CPU of the compressor's", m.CPUTimes, goal, "×").
			noted("%.2f of %.2f CPU-s/GiB", m.CPU, r.Limits[m.Limit].CPU)
	}
	gzips := least("backfill, "+full.Name, "speed of gzip -1", full.Gzips, goalGzips, "×").
		noted("gzip -1 %.0f MB/s", r.Limits[gzipName].Speed)
	goals := []Goal{share(full, goalFull), gzips, share(off, goalOff), share(text, goalText), share(zstd, goalZstd), cpu(full, goalCPUFull), cpu(off, goalCPUOff)}
	for _, m := range r.Backfill {
		goals = append(goals, most("backfill, "+m.Name, "peak anonymous RSS", m.Anon, goalAnon, "MiB").
			noted("peak RSS %.0f MiB, at least %.0f of it file-backed", m.RSS, m.RSS-m.Anon))
	}
	for _, m := range r.Backfill {
		written, source := m.Written()
		goals = append(goals, most("backfill, "+m.Name, "disk writes per compressed byte", written, goalWritten, "×").
			noted("by %s; device %.2f, write_bytes %.2f", source, m.Device, m.Process))
	}
	return goals
}

func (m *Idle) goals() []Goal {
	work := fmt.Sprintf("idle, %d files watched", m.Files)
	in := m.Inotify
	opened := fmt.Sprintf("%d soon after the restart", in.Descriptors)
	if in.Later > 0 {
		opened += fmt.Sprintf(", %d after close_inactive", in.Later)
	}
	goals := []Goal{
		most(work, "CPU of one core", 100*in.CPU, goalIdleCPU, "%").noted("over %.0f s", in.Seconds),
		most(work, "RSS", in.RSS, goalIdleRSS, "MiB").noted("anonymous %.1f MiB", in.Anon),
		most(work, "ready", max(in.Ready, m.Fresh), goalReady, "s").
			noted("restart %.2f s, first start %.2f s, all its lines durable %.2f s", in.Ready, m.Fresh, m.Durable),
		most(work, "descriptors", float64(max(in.Descriptors, in.Later)), goalFiles-1, "").
			noted("%s", opened),
		most("one line to one of them, inotify", "append → durable, worst", in.Append.Max, goalSingle, "ms").noted("p50 %.0f ms", in.Append.P50),
	}
	if p := m.Polling; p != nil {
		goals = append(goals, most("one line to one of them, polling", "append → durable, worst", p.Append.Max, goalPoll, "ms").
			noted("p50 %.0f ms, up to %d ms of it is the asking; idle %.2f %% of a core, ready in %.2f s", p.Append.P50, pollEvery.Milliseconds(), 100*p.CPU, p.Ready))
	}
	return goals
}

func (m *Outage) goals() []Goal {
	work := fmt.Sprintf("S3 down, %.1f GiB spooled, drained", float64(m.Input)/(1<<30))
	slower := func(first, last float64) float64 { return max(0, 100*(1-last/first)) }
	goals := []Goal{
		most(work, "append rate lost as the backlog grows", slower(m.AppendFirst, m.AppendLast), goalRate, "%").
			noted("%.0f → %.0f MB/s, medians of the first and last %d of %d × %.0f MiB", m.AppendFirst, m.AppendLast, endWindows, windows, float64(m.Window)/(1<<20)),
		most(work, "anonymous RSS grown meanwhile", max(0, 100*(m.AnonLast/m.AnonFirst-1)), goalRate, "%").
			noted("%.0f → %.0f MiB", m.AnonFirst, m.AnonLast),
		most(work, "peak anonymous RSS", m.Anon, goalAnon, "MiB").noted("peak RSS %.0f MiB, at least %.0f of it file-backed", m.RSS, m.RSS-m.Anon),
		most(work, "disk per compressed byte", float64(m.Disk)/float64(m.Shipped), goalStored, "×").
			noted("%.0f of %.0f MiB", float64(m.Disk)/(1<<20), float64(m.Shipped)/(1<<20)),
		most(work, "state directory 10 s after the last ack", float64(m.DiskAfter)/(1<<20), goalShrunk, "MiB").noted("after %.1f s", m.ShrankIn),
	}
	if m.DrainFirst == 0 {
		return goals // too few objects
	}
	drain := most(work, "drain rate lost at a large backlog", slower(m.DrainLast, m.DrainFirst), goalRate, "%").
		noted("%.0f MB/s in the first half, %.0f in the second, compressed; first ack %.1f s after S3 came back", m.DrainFirst, m.DrainLast, m.DrainWait)
	return append(goals[:1], append([]Goal{drain}, goals[1:]...)...)
}
