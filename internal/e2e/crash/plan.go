package crash

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/logs"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// plan is everything that a trial does; it depends on its seed only.
type plan struct {
	seed    uint64
	trial   int
	store   string
	config  agentproc.Config // without what depends on the rig
	files   []file
	rounds  []round
	maxLine []int // of each input in bytes; 0: the default, longer than any line here
	faults  *s3dev.Faults
}

// file is one log file and its writer.
type file struct {
	input    int // index of config.Inputs
	name     string
	rate     float64
	burst    int // lines that are there before the agent is
	rotation logs.Rotation
	every    time.Duration
	odd      bool
}

// round is one life of the agent.
type round struct {
	failpoint string        // "" or name:n:action
	life      time.Duration // then SIGKILL, or SIGTERM if gentle
	gentle    bool
	pause     time.Duration // before the next round
	downAt    time.Duration // when the store goes away; 0: never
	downFor   time.Duration
}

// steps are the durable steps of the agent at which it can be told to die or
// to fail.
var steps = []string{
	"append.commit", "append.committed", "seal.commit", "seal.committed", "ack.commit",
	"handover.created", "handover.renamed", "handover.done", "unlink.before", "unlink.after",
	"put.before", "put.after", "intake.cut", "tailer.start",
}

func millis(r *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+r.IntN(to-from)) * time.Millisecond
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func newPlan(seed uint64, trial int, store string) *plan {
	r := rand.New(rand.NewPCG(seed, uint64(trial)))
	p := &plan{seed: seed, trial: trial, store: store}
	p.config = agentproc.Config{
		SegmentSize: "1MiB", CommitInterval: millis(r, 10, 250), MaxUploads: 1 + r.IntN(4),
		Compression: pick(r, "gzip", "gzip", "zstd", "none"), ChunkSize: pick(r, "64KiB", "128KiB", "512KiB"), MaxAge: millis(r, 300, 1000),
	}
	for i := range 1 + r.IntN(3) {
		p.input(r, i)
	}
	for n := 2 + r.IntN(3); n > 0; n-- {
		p.rounds = append(p.rounds, newRound(r))
	}
	p.reach(r)
	if r.IntN(4) > 0 {
		p.faults = &s3dev.Faults{Seed: r.Uint64(), Rate: 0.1 + 0.5*r.Float64(), Hang: millis(r, 200, 1500)}
	}
	return p
}

// input adds an input and its files. A wide glob matches the rotated files,
// too.
func (p *plan) input(r *rand.Rand, i int) {
	in := agentproc.Input{Name: fmt.Sprintf("in%d", i), Format: pick(r, string(bucket.JSON), string(bucket.JSON), string(bucket.Text))}
	in.Include = []string{pick(r, "*.log", "*.log", "*.log*")}
	p.maxLine = append(p.maxLine, pick(r, 0, 1024, 5000))
	if n := p.maxLine[i]; n > 0 {
		in.MaxLineSize = fmt.Sprintf("%dB", n)
	}
	p.config.Inputs = append(p.config.Inputs, in)
	for f := range 1 + r.IntN(3) {
		p.files = append(p.files, file{
			input: i, name: fmt.Sprintf("f%d.log", f), rate: 50 + 2500*r.Float64(),
			burst:    pick(r, 0, 0, 100, 5000+r.IntN(10000)),
			rotation: pick(r, logs.Never, logs.Rename, logs.Rename, logs.CopyTruncate),
			every:    millis(r, 200, 1200), odd: r.IntN(2) == 0,
		})
	}
}

func newRound(r *rand.Rand) round {
	n := round{life: millis(r, 150, 900), gentle: r.IntN(8) == 0, pause: millis(r, 0, 300)}
	if r.IntN(10) < 7 {
		n.failpoint = fmt.Sprintf("%s:%d:%s", pick(r, steps...), 1+r.IntN(3), pick(r, "kill", "kill", "kill", "error"))
		n.life = millis(r, 600, 1200) // time to get there
	}
	if r.IntN(5) == 0 {
		n.downAt, n.downFor = n.life/4, n.life/2
	}
	return n
}

// reach makes failpoints of segments likely to be reached: the spool must grow
// over several segments, and chunks must have been acked.
func (p *plan) reach(r *rand.Rand) {
	for i := range p.rounds {
		n := &p.rounds[i]
		if !strings.HasPrefix(n.failpoint, "handover.") && !strings.HasPrefix(n.failpoint, "unlink.") {
			continue
		}
		n.life += 300 * time.Millisecond
		p.config.Compression = pick(r, "none", "none", p.config.Compression)
		f := &p.files[r.IntN(len(p.files))]
		f.burst = max(f.burst, 15000)
		f.rate = max(f.rate, 3000)
	}
}

// format is how the lines of a file are written and shipped.
func (p *plan) format(f *file) bucket.Format { return bucket.Format(p.config.Inputs[f.input].Format) }

// String says in a few words what the trial is made of.
func (p *plan) String() string {
	rotations := map[logs.Rotation]int{}
	for _, f := range p.files {
		rotations[f.rotation]++
	}
	var words []string
	for _, k := range []logs.Rotation{logs.Rename, logs.CopyTruncate} {
		if rotations[k] > 0 {
			words = append(words, fmt.Sprintf("%d %s", rotations[k], k))
		}
	}
	return fmt.Sprintf("%s, %s, %d inputs, %d files (%s)", p.store, p.config.Compression, len(p.config.Inputs), len(p.files), strings.Join(words, ", "))
}
