package agent

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spoolship/spoolship/agent/sink"
)

// metric is one name of /metrics. It is read from a Status when it is asked
// for, so that counting costs the lines' way nothing. Labels have few values:
// inputs, causes and classes, never files.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(st *Status, emit emit)
}

// emit takes a value and the values of the metric's labels.
type emit func(v float64, labels ...string)

// Reasons of losses.
const (
	lostDestroyed = "destroyed" // in the file, before it could be read
	lostDropped   = "dropped"   // by [spool] when_full
)

// histogram is the same of durations.
type histogram struct {
	name, help string
	read       func(*Status) *Durations
}

var agentHistograms = []histogram{
	{"spoolship_upload_duration_seconds", "How long confirmed attempts of uploads took since the start.", func(st *Status) *Durations { return &st.Uploads.Durations }},
}

var agentMetrics = []metric{
	{"spoolship_build_info", "Always 1, labelled with the versions of the agent and of Go.", prometheus.GaugeValue,
		[]string{"version", "goversion"}, func(st *Status, e emit) { e(1, st.Version, runtime.Version()) }},
	{"spoolship_healthy", "1 while nothing is wrong, else 0.", prometheus.GaugeValue, nil, one(func(st *Status) float64 { return truth(st.Healthy) })},
	{"spoolship_ready", "1 once the spool is open and files are followed, else 0.", prometheus.GaugeValue, nil,
		one(func(st *Status) float64 { return truth(st.Following) })},
	{"spoolship_problem_start_time_seconds", "Since when something is wrong, as Unix time, by cause and input (empty: the agent's own); absent while it is fine.", prometheus.GaugeValue,
		[]string{"cause", "input"}, func(st *Status, e emit) {
			for _, p := range st.Problems {
				e(unix(p.Since), p.Cause, p.Input)
			}
		}},

	{"spoolship_lost_bytes_total", "Bytes lost since the start: destroyed in their file before they could be read, or dropped to make room in the spool (bytes of records).",
		prometheus.CounterValue, []string{"input", "reason"}, func(st *Status, e emit) {
			for _, in := range st.Inputs {
				e(float64(in.LostBytes), in.Name, lostDestroyed)
			}
			for input, n := range dropped(st) {
				e(float64(n.Bytes), input, lostDropped)
			}
		}},
	{"spoolship_lost_records_total", "Records lost since the start: dropped to make room in the spool. How many lines destroyed bytes held is not known.",
		prometheus.CounterValue, []string{"input", "reason"}, func(st *Status, e emit) {
			for input, n := range dropped(st) {
				e(float64(n.Records), input, lostDropped)
			}
		}},
	{"spoolship_quarantined_chunks_total", "Chunks set aside because of damage since the spool was made.", prometheus.CounterValue, nil, ofSpool(func(st *Status) int64 { return st.Quarantined })},

	{"spoolship_spool_backlog_bytes", "Bytes in the spool that the sink has not confirmed yet.", prometheus.GaugeValue, nil, ofSpool(func(st *Status) int64 { return st.BacklogBytes })},
	{"spoolship_spool_taken_bytes", "Bytes that the backlog takes on disk with its headers and pages, which is what [spool] max_size limits.", prometheus.GaugeValue, nil, ofSpool(func(st *Status) int64 { return st.TakenBytes })},
	{"spoolship_spool_limit_bytes", "The limit of the bytes taken, [spool] max_size; 0 is none.", prometheus.GaugeValue, nil, one(func(st *Status) float64 { return float64(st.MaxSize) })},
	{"spoolship_spool_room_bytes", "Bytes that the spool takes until it is full: up to its limit, or until its file system has no more than [spool] min_free left.",
		prometheus.GaugeValue, nil, known(func(st *Status) int64 { return st.RoomBytes })},
	{"spoolship_spool_free_bytes", "Bytes that the file system of the state directory has left for the agent.", prometheus.GaugeValue,
		nil, known(func(st *Status) int64 { return st.FreeBytes })},
	{"spoolship_spool_min_free_bytes", "Bytes that the spool leaves free on its file system, [spool] min_free.", prometheus.GaugeValue,
		nil, one(func(st *Status) float64 { return float64(st.MinFree) })},
	{"spoolship_spool_disk_bytes", "Bytes that the spool's files take on disk.", prometheus.GaugeValue, nil, ofSpool(func(st *Status) int64 { return st.DiskBytes })},
	{"spoolship_spool_chunks", "Chunks in the spool that are not confirmed, by state.", prometheus.GaugeValue, []string{"state"}, func(st *Status, e emit) {
		if st.Queue != "" {
			e(float64(st.OpenChunks), "open")
			e(float64(st.SealedChunks), "sealed")
		}
	}},
	{"spoolship_spool_segments", "Segment files of the spool.", prometheus.GaugeValue, nil, ofSpool(func(st *Status) int64 { return int64(st.Segments) })},
	{"spoolship_spool_oldest_chunk_time_seconds", "When the oldest chunk that is not confirmed was begun, as Unix time; absent if there is none.", prometheus.GaugeValue,
		nil, func(st *Status, e emit) {
			if !st.OldestChunk.IsZero() {
				e(unix(st.OldestChunk))
			}
		}},

	{"spoolship_uploads_total", "Confirmed uploads since the start, tombstones included.", prometheus.CounterValue, nil, one(func(st *Status) float64 { return float64(st.Uploads.Objects) })},
	{"spoolship_upload_tombstones_total", "Confirmed uploads since the start of objects of no records.", prometheus.CounterValue, nil, one(func(st *Status) float64 { return float64(st.Uploads.Tombstones) })},
	{"spoolship_upload_bytes_total", "Bytes of confirmed objects since the start, compressed.", prometheus.CounterValue, nil, one(func(st *Status) float64 { return float64(st.Uploads.Bytes) })},
	{"spoolship_upload_record_bytes_total", "Bytes of confirmed records since the start, uncompressed.", prometheus.CounterValue, nil, one(func(st *Status) float64 { return float64(st.Uploads.RawBytes) })},
	{"spoolship_upload_records_total", "Confirmed records since the start.", prometheus.CounterValue, nil, one(func(st *Status) float64 { return float64(st.Uploads.Records) })},
	{"spoolship_upload_failures_total", "Failed attempts of uploads since the start, by what they mean: config waits for the operator, the others pass.",
		prometheus.CounterValue, []string{"class"}, func(st *Status, e emit) {
			for _, c := range sink.Classes() {
				e(float64(st.Uploads.FailuresByClass[c.String()]), c.String())
			}
		}},
	{"spoolship_upload_last_success_time_seconds", "When the last upload was confirmed, as Unix time; absent before the first since the start.", prometheus.GaugeValue,
		nil, func(st *Status, e emit) {
			if !st.Uploads.LastTime.IsZero() {
				e(unix(st.Uploads.LastTime))
			}
		}},
	{"spoolship_rebuilt_blocks_total", "Damaged blocks restored from their files since the start.", prometheus.CounterValue, nil, one(func(st *Status) float64 { return float64(st.Uploads.Rebuilt) })},

	{"spoolship_input_lag_bytes", "Bytes in followed files that are not read yet.", prometheus.GaugeValue, ofInput, count(func(in *InputStatus) int64 { return in.LagBytes })},
	{"spoolship_input_lag_seconds", "For how long there have been lines that are known and not durable in the spool, without a break; 0 if there are none. Files that can't be read don't count.",
		prometheus.GaugeValue, ofInput, each(func(in *InputStatus) float64 { return age(in.LagSince) })},
	{"spoolship_input_backlog_bytes", "Bytes in the spool that the sink has not confirmed yet.", prometheus.GaugeValue, ofInput, count(func(in *InputStatus) int64 { return in.BacklogBytes })},
	{"spoolship_input_backlog_seconds", "How long ago the oldest chunk that is not confirmed was begun; 0 if there is none.", prometheus.GaugeValue,
		ofInput, each(func(in *InputStatus) float64 { return age(in.BacklogSince) })},
	{"spoolship_input_bytes_total", "Bytes of files made durable in the spool since the start.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Bytes })},
	{"spoolship_input_records_total", "Records made durable in the spool since the start.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Records })},
	{"spoolship_input_parts_total", "Records since the start that are parts of lines longer than max_line_size.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Parts })},
	{"spoolship_input_invalid_lines_total", "Lines since the start that are not what the input's format says; they are shipped, marked.", prometheus.CounterValue, ofInput,
		count(func(in *InputStatus) int64 { return in.Invalid })},
	{"spoolship_input_empty_lines_total", "Empty lines skipped since the start.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Empty })},
	{"spoolship_input_untimed_records_total", "Records since the start without a time in time_field, shipped under the time they were read.", prometheus.CounterValue, ofInput,
		count(func(in *InputStatus) int64 { return in.Untimed })},
	{"spoolship_input_overflow_records_total", "Records since the start whose partition would have been one too many, shipped under that of records without values; see [chunk] max_new.", prometheus.CounterValue, ofInput,
		count(func(in *InputStatus) int64 { return in.Overflow })},
	{"spoolship_input_skipped_nul_bytes_total", "Bytes of holes in files, skipped since the start.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.SkippedNULs })},
	{"spoolship_input_rotations_total", "Rotations seen since the start.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Rotations })},
	{"spoolship_input_truncations_total", "Truncations seen since the start.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Truncations })},
	{"spoolship_input_followed_files", "Files that are followed.", prometheus.GaugeValue, ofInput, count(func(in *InputStatus) int64 { return int64(in.Files) })},
	{"spoolship_input_open_files", "Followed files with an open descriptor.", prometheus.GaugeValue, ofInput, count(func(in *InputStatus) int64 { return int64(in.Open) })},
	{"spoolship_input_ignored_files", "Files left alone since they were not written to for ignore_older.", prometheus.GaugeValue, ofInput,
		count(func(in *InputStatus) int64 { return int64(in.Ignored) })},
	{"spoolship_input_removed_files_total", "Rotated files removed since the start, as delete_after_ship says.", prometheus.CounterValue, ofInput, count(func(in *InputStatus) int64 { return in.Removed })},
	{"spoolship_input_unreadable_files", "Files that can't be read now.", prometheus.GaugeValue, ofInput, count(func(in *InputStatus) int64 { return int64(len(in.Errors) + in.MoreErrors) })},
	{"spoolship_input_paused", "1 while the input is paused, else 0.", prometheus.GaugeValue, ofInput, func(st *Status, e emit) {
		for _, in := range st.Inputs {
			e(truth(!in.Paused.IsZero()), in.Name)
		}
	}},
}

var ofInput = []string{"input"}

func one(f func(*Status) float64) func(*Status, emit) {
	return func(st *Status, e emit) { e(f(st)) }
}

// ofSpool leaves out what nobody knows while no spool is open.
func ofSpool(f func(*Status) int64) func(*Status, emit) {
	return func(st *Status, e emit) {
		if st.Queue != "" {
			e(float64(f(st)))
		}
	}
}

// known leaves out what is negative.
func known(f func(*Status) int64) func(*Status, emit) {
	return func(st *Status, e emit) {
		if n := f(st); n >= 0 {
			e(float64(n))
		}
	}
}

func each(f func(*InputStatus) float64) func(*Status, emit) {
	return func(st *Status, e emit) {
		for i := range st.Inputs {
			e(f(&st.Inputs[i]), st.Inputs[i].Name)
		}
	}
}

func count(f func(*InputStatus) int64) func(*Status, emit) {
	return each(func(in *InputStatus) float64 { return float64(f(in)) })
}

// age is how long ago t was, in seconds; 0 for the zero time.
func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t).Seconds())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// dropped sums what was dropped by input; one that lost nothing has zeros, so
// that its first loss is an increase.
func dropped(st *Status) map[string]FileLoss {
	sum := make(map[string]FileLoss)
	for _, in := range st.Inputs {
		sum[in.Name] = FileLoss{}
	}
	for _, f := range st.Losses {
		n := sum[f.Input]
		n.Records += f.Records
		n.Bytes += f.Bytes
		sum[f.Input] = n
	}
	return sum
}

// collector makes metrics of what Status says at the moment.
type collector struct {
	status func() Status
	descs  []*prometheus.Desc // of agentMetrics, then of agentHistograms
}

func newCollector(status func() Status) *collector {
	c := &collector{status: status}
	for _, m := range agentMetrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	for _, h := range agentHistograms {
		c.descs = append(c.descs, prometheus.NewDesc(h.name, h.help, nil, nil))
	}
	return c
}

// Describe tells the registry the names.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect looks at the agent once for all metrics, so that they agree.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.status()
	for i, m := range agentMetrics {
		m.read(&st, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labels...)
		})
	}
	for i, h := range agentHistograms {
		d := h.read(&st)
		buckets := make(map[float64]uint64, len(durationBounds))
		for k, bound := range durationBounds {
			buckets[bound] = d.AtMost[k]
		}
		ch <- prometheus.MustNewConstHistogram(c.descs[len(agentMetrics)+i], d.Count, d.Sum, buckets)
	}
}

// metricsHandler answers in the formats of Prometheus, with the process's and
// the Go runtime's own figures beside the agent's.
func (a *Agent) metricsHandler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(a.Status), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
