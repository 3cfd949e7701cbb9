package agent

import (
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// batch is a cut of the read order: lines as they were read, and after
// encode what the spool makes durable in one transaction.
type batch struct {
	born    time.Time
	raw     []byte   // lines of all spans, in read order, until they are encoded
	size    int64    // bytes of these
	weight  int64    // of all spans
	full    bool     // more is there to be read
	spans   [][]span // by input
	pos     []byte   // encoded positions
	files   map[uint64]posRef
	forget  []uint64
	encoded chan struct{} // one token, from the worker to the committer
	err     error         // of encoding

	out    spool.Batch
	stored []byte // data of all blocks
	counts []chunk.Counts
}

// What is encoded at once is bounded by the bytes of its lines and by its
// weight, so that lines of few bytes which become much more do not either.
const (
	pieceSize   = 1 << 20
	pieceWeight = 8 << 20
)

// lineWeight is what a line costs of its own where lines are sorted by key: a
// span, and a range in its block.
const lineWeight = 128

// span is a run of one file's bytes in batch.raw.
type span struct {
	file     uint64
	path     string
	from, to int64
	start    int // of its bytes in batch.raw
	size     int // of these
	weight   int64
	part     int
	cut      bool
	apart    bool // not to be joined with the bytes before
}

// perLine returns the most that each line of a file adds to a weight.
func (p *plan) perLine(path string) int64 {
	n := p.enc.PerLine(path)
	if p.split {
		n += lineWeight
	}
	return n
}

// weigh returns about how many bytes lines of a file become on their way, their
// own included: what is added to each and, where nothing compresses them, what
// escapes take at most, and the disk.
func (p *plan) weigh(path string, data []byte) int64 {
	own, added := int64(len(data)), p.perLine(path)*p.enc.Records(data)
	if p.codec == chunk.None {
		return chunk.Expansion*own + 2*added
	}
	return own + added
}

// fit is a tailer.Input's Fit: lines of about pieceWeight.
func (p *plan) fit(path string, data []byte) int {
	per := p.perLine(path)
	if n := pieceWeight / per; n < p.enc.Lines(data) {
		return p.enc.First(data, n)
	}
	return len(data)
}

// posRef is where a file's newest position stands in batch.pos.
type posRef struct{ start, end int }

func newBatch(inputs int) *batch {
	return &batch{
		spans:   make([][]span, inputs),
		files:   make(map[uint64]posRef),
		encoded: make(chan struct{}, 1),
		counts:  make([]chunk.Counts, inputs),
	}
}

// reset makes b ready to be filled again; buffers are kept.
func (b *batch) reset() {
	b.pos, b.stored, b.forget = recycle(b.pos), recycle(b.stored), b.forget[:0]
	b.size, b.weight, b.full = 0, 0, false
	for i := range b.spans {
		b.spans[i] = b.spans[i][:0]
		b.counts[i] = chunk.Counts{}
	}
	clear(b.files)
	b.err = nil
}

// recycle empties a buffer, and lets go of one that a huge line has blown up.
func recycle(b []byte) []byte {
	if cap(b) > 2*batchSize {
		return nil
	}
	return b[:0]
}

// room makes room for n bytes behind b. A buffer that gets large gets a whole
// batch's size at once: growing there by small steps would copy it, and leave
// to the collector, several times its size.
func room(b []byte, n int) []byte {
	if need := len(b) + n; cap(b) < need && need > batchSize/8 {
		return slices.Grow(b, max(batchSize-len(b), n))
	}
	return b
}

// add copies a span of that weight, and its position.
func (b *batch) add(s *tailer.Span, weight int64) {
	b.files[s.File] = posRef{len(b.pos), len(b.pos) + len(s.Position)}
	b.pos = append(b.pos, s.Position...)
	if len(s.Data) == 0 {
		return
	}
	start := len(b.raw)
	b.raw = append(room(b.raw, len(s.Data)), s.Data...)
	b.weight += weight
	spans := b.spans[s.Input]
	if n := len(spans); n > 0 && s.Part == 0 && !s.Apart {
		last := &spans[n-1]
		if last.file == s.File && last.to == s.From && !last.cut && last.start+last.size == start && s.To-last.from <= pieceSize && last.weight+weight <= pieceWeight {
			last.to, last.size, last.cut, last.weight = s.To, last.size+len(s.Data), s.Cut, last.weight+weight
			return
		}
	}
	b.spans[s.Input] = append(spans, span{s.File, s.Path, s.From, s.To, start, len(s.Data), weight, s.Part, s.Cut, s.Apart})
}

func (b *batch) forgetFile(file uint64) {
	delete(b.files, file)
	b.forget = append(b.forget, file)
}

// count adds what b held to the inputs' counters, once b is durable.
func (b *batch) count(plans []plan) {
	for i := range b.counts {
		n, c := &b.counts[i], plans[i].counters
		c.records.Add(n.Records)
		c.parts.Add(n.Parts)
		c.invalid.Add(n.Invalid)
		c.empty.Add(n.Empty)
		c.untimed.Add(n.Untimed)
		c.overflow.Add(n.Overflow)
		for _, s := range b.spans[i] {
			c.bytes.Add(s.to - s.from)
		}
	}
}

func addCounts(sum, n *chunk.Counts) {
	sum.Records += n.Records
	sum.Parts += n.Parts
	sum.Invalid += n.Invalid
	sum.Empty += n.Empty
}

// worker encodes batches. It owns its scratch buffers; one goroutine.
type worker struct {
	plans       []plan
	prefix      string
	stored      int    // bytes that the next batch is likely to need
	records     []byte // of one span, if they differ from its lines
	compressors map[codecLevel]*chunk.Compressor
	split       []*chunk.Partitioner // of each plan; nil: a batch is of one partition
	parts       []partition          // of one plan, while it is encoded
}

// partition is what a batch has of one plan under one key.
type partition struct {
	key         string
	overflow    bool // its records belong under keys that were one too many
	spans       []span
	first, last int64 // ns since 1970
}

type codecLevel struct {
	codec chunk.Codec
	level int
}

func newWorker(plans []plan, prefix string) *worker {
	w := &worker{plans: plans, prefix: prefix, compressors: make(map[codecLevel]*chunk.Compressor)}
	for i := range plans {
		p := &plans[i]
		w.split = append(w.split, chunk.NewPartitioner(chunk.PartitionOptions{
			Template: p.key, Prefix: prefix, Vars: p.vars, Encoder: p.enc, TimeField: p.timeField, Times: p.times,
		}))
	}
	return w
}

// encode fills b.out: one block a partition of an input, all positions.
func (w *worker) encode(b *batch) error {
	out := &b.out
	out.Blocks, out.Positions, out.Forget = out.Blocks[:0], out.Positions[:0], b.forget
	for file, ref := range b.files {
		out.Positions = append(out.Positions, spool.Position{File: file, Data: b.pos[ref.start:ref.end]})
	}
	// Growing there by steps would touch several times as much fresh memory, and
	// page faults cost more than what is written to the pages.
	b.stored = slices.Grow(b.stored, w.stored)
	ends := make([]int, 0, len(w.plans)) // of each block in b.stored, which moves as it grows
	for i := range w.plans {
		if len(b.spans[i]) == 0 {
			continue
		}
		if err := w.partitions(b, i); err != nil {
			return fmt.Errorf("input %s: %w", w.plans[i].name, err)
		}
		for k := range w.parts {
			block, err := w.block(b, i, &w.parts[k])
			if err != nil {
				return err
			}
			if block.Records > 0 {
				out.Blocks = append(out.Blocks, block)
				ends = append(ends, len(b.stored))
			}
		}
	}
	w.stored = min(len(b.stored)+len(b.stored)/8, batchSize)
	start := 0
	for i, end := range ends {
		out.Blocks[i].Data = b.stored[start:end:end]
		start = end
	}
	return nil
}

// partitions sorts the lines of one input by the keys they belong under, in
// w.parts. Most often that is one key, by the time they were read.
func (w *worker) partitions(b *batch, i int) (err error) {
	p, split, ns := &w.plans[i], w.split[i], b.born.UnixNano()
	w.parts = w.parts[:0]
	if split == nil {
		vars := p.vars
		vars.Time = b.born
		key, err := p.key.Expand(w.prefix, vars)
		w.parts = append(w.parts, partition{key: key, spans: b.spans[i], first: ns, last: ns})
		return err
	}
	at, overflow := make(map[string]int), -1
	for _, s := range b.spans[i] {
		from := s.from
		err = split.Split(b.lines(&s), func(r chunk.Run) {
			k, known := at[r.Key]
			switch {
			case known:
			case p.counters.admission.admit(r.Key, b.born, p.open, p.fresh):
				k = len(w.parts)
				w.parts = append(w.parts, partition{key: r.Key, first: r.First, last: r.Last})
			case overflow < 0:
				overflow = len(w.parts)
				w.parts = append(w.parts, partition{overflow: true, first: r.First, last: r.Last})
				fallthrough
			default:
				k = overflow
			}
			at[r.Key] = k
			part := &w.parts[k]
			part.first, part.last = min(part.first, r.First), max(part.last, r.Last)
			part.spans = append(part.spans, s.slice(&r, from))
			from = r.End
			b.counts[i].Untimed += r.Untimed
		})
		if err != nil {
			return err
		}
	}
	if overflow >= 0 {
		w.parts[overflow].key, err = split.Overflow(b.born)
	}
	return err
}

// lines is a span as its encoder wants it.
func (b *batch) lines(s *span) *chunk.Lines {
	return &chunk.Lines{
		File: s.path, From: s.from, Time: b.born, Part: s.part, Cut: s.cut,
		Data: b.raw[s.start : s.start+s.size],
	}
}

// slice is a part of a span, of whole lines, that begins at an offset of its file.
func (s span) slice(r *chunk.Run, from int64) span {
	if r.From > 0 {
		s.part = 0
	}
	s.cut = s.cut && r.To == s.size
	s.start, s.size, s.from, s.to = s.start+r.From, r.To-r.From, from, r.End
	return s
}

// block encodes and compresses the lines of one partition, a piece at a time while
// it is in the processor's cache. Its data is appended to b.stored.
func (w *worker) block(b *batch, i int, part *partition) (spool.Block, error) {
	p := &w.plans[i]
	comp, err := w.compressor(p)
	if err != nil {
		return spool.Block{}, fmt.Errorf("input %s: %w", p.name, err)
	}
	ns := b.born.UnixNano()
	block := spool.Block{
		Input: p.name, Name: part.key, Codec: p.codec.String(), Limit: p.limit, MaxOpen: p.open,
		First: part.first, Last: part.last,
	}
	comp.Start(b.stored)
	w.records = recycle(w.records)
	for _, s := range part.spans {
		records, n := p.enc.Encode(&w.records, b.lines(&s))
		comp.Add(records)
		// Workers never wait where there are as many as processors: without this,
		// who reads and who commits would have to wait for the scheduler's 10 ms.
		runtime.Gosched()
		block.RawSize += int64(len(records))
		block.RawCRC = crc32.Update(block.RawCRC, crc32.IEEETable, records)
		block.Ranges = appendRange(block.Ranges, spool.Range{File: s.file, From: s.from, To: s.to, Records: n.Records, Time: ns}, s.part > 0 || s.apart)
		block.Records += n.Records
		addCounts(&b.counts[i], &n)
		if part.overflow {
			b.counts[i].Overflow += n.Records
		}
	}
	var enc chunk.Encoding
	b.stored, enc = comp.End()
	block.Encoding = spool.Encoding(enc)
	return block, nil
}

// appendRange adds r, as part of the range before it where it goes on there.
// What continues a cut line, or stands apart, stays a range of its own.
func appendRange(ranges []spool.Range, r spool.Range, apart bool) []spool.Range {
	if n := len(ranges); n > 0 && !apart {
		if last := &ranges[n-1]; last.File == r.File && last.To == r.From {
			last.To, last.Records = r.To, last.Records+r.Records
			return ranges
		}
	}
	return append(ranges, r)
}

func (w *worker) compressor(p *plan) (*chunk.Compressor, error) {
	k := codecLevel{p.codec, p.level}
	if c, ok := w.compressors[k]; ok {
		return c, nil
	}
	c, err := chunk.NewCompressor(p.codec, p.level)
	if err != nil {
		return nil, err
	}
	w.compressors[k] = c
	return c, nil
}
