//go:build e2e

package outage

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/logs"
)

// program logs to one file. What it logged is made again for the comparison,
// since a long run does not fit into memory.
type program struct {
	seed  uint64
	name  string
	lines atomic.Int64
	bytes atomic.Int64
}

func newProgram(i int) *program {
	return &program{seed: uint64(i), name: fmt.Sprint("program", i)}
}

func (p *program) source() logs.Source { return logs.NewEvents(p.seed, p.name) }

func (p *program) run(ctx context.Context, dir string, rate float64) error {
	return logs.Steady(ctx, filepath.Join(dir, p.name+".log"), p.source(), rate, func(lines, bytes int64, _ time.Time) {
		p.lines.Add(lines)
		p.bytes.Add(bytes)
	})
}

// audit reads a bucket in the order in which it was spooled.
type audit struct {
	programs map[string]*arrival
	next     uint64 // chunk
	lines    int64
	lost     int64
	doubled  int64
	problems []string
}

// arrival is one program's file as it arrives.
type arrival struct {
	source logs.Source
	next   int64 // line, from 1
	line   []byte
}

func newAudit(programs []*program) *audit {
	a := &audit{programs: make(map[string]*arrival), next: 1}
	for _, p := range programs {
		a.programs[p.name] = &arrival{source: p.source(), next: 1}
	}
	return a
}

// object takes the next object. Keys are in the order of their chunks.
func (a *audit) object(o bucket.Object) error {
	if o.Key.Chunk != a.next || o.Key.Records != int64(len(o.Records)) || o.Key.Cause != "" {
		a.problem("%s: has %d records, and is not chunk %d", o.Name, len(o.Records), a.next)
	}
	a.next = o.Key.Chunk + 1
	for _, rec := range o.Records {
		a.record(rec)
	}
	return nil
}

func (a *audit) record(rec []byte) {
	a.lines++
	_, rest, _ := bytes.Cut(rec, []byte(`"stream":"`))
	name, rest, _ := bytes.Cut(rest, []byte(`","seq":`))
	digits, _, _ := bytes.Cut(rest, []byte(","))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	p := a.programs[string(name)]
	switch {
	case err != nil || p == nil:
		a.problem("a record of no written line: %.200q", rec)
		return
	case n < p.next:
		a.doubled++
		return
	}
	a.lost += n - p.next
	for ; p.next <= n; p.next++ {
		p.line = p.source.Append(p.line[:0])
	}
	if !bytes.Equal(rec, bytes.TrimSuffix(p.line, []byte("\n"))) {
		a.problem("line %d of %s is another: %.200q", n, name, rec)
	}
}

// end says that nothing comes any more.
func (a *audit) end(programs []*program) {
	for _, p := range programs {
		a.lost += p.lines.Load() + 1 - a.programs[p.name].next
	}
}

func (a *audit) problem(format string, args ...any) {
	if len(a.problems) < 5 {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}
