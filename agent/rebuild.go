package agent

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// rebuilder makes the stored bytes of damaged blocks again, from the files
// that their lines came from. It needs to trust neither the files nor the
// configuration, which may have changed: the block's header has checksums of
// the records and of the stored bytes. One goroutine.
type rebuilder struct {
	spool     *spool.Spool
	plans     []plan
	positions map[uint64]*tailer.Position // nil: not read yet
	sources   map[uint64]*tailer.Source
}

// block is a spool.Rebuild.
func (r *rebuilder) block(b *spool.Block, fits func([]byte) bool) ([]byte, error) {
	p, err := r.plan(b.Input)
	if err != nil {
		return nil, err
	}
	records, err := r.records(p, b)
	if err != nil {
		return nil, err
	}
	if int64(len(records)) != b.RawSize || crc32.ChecksumIEEE(records) != b.RawCRC {
		return nil, errors.New("its lines are not in their files as they were, or are encoded in another way now")
	}
	if b.Encoding == spool.Raw {
		return records, nil
	}
	return compressed(b, p.level, records, fits)
}

func (r *rebuilder) plan(input string) (*plan, error) {
	for i := range r.plans {
		if r.plans[i].name == input || r.plans[i].was == input {
			return &r.plans[i], nil
		}
	}
	return nil, fmt.Errorf("input %s is not configured any more", input)
}

// records encodes the lines of a block once more, as worker.block did.
func (r *rebuilder) records(p *plan, b *spool.Block) (records []byte, err error) {
	if p.enc.Unwraps() {
		return r.unwrapped(p, b)
	}
	for _, g := range b.Ranges {
		src, err := r.source(g.File)
		if err != nil {
			return nil, err
		}
		l := chunk.Lines{File: r.positions[g.File].Path, From: g.From, Time: time.Unix(0, g.Time)}
		if p.enc.Stream() != nil { // where a part began only a look at all before it could tell
			l.Data, err = src.Bytes(g.From, g.To)
		} else {
			l.Data, l.Part, l.Cut, err = src.Read(g.From, g.To, p.maxLine)
		}
		if err != nil {
			return nil, err
		}
		records, _ = p.enc.Append(records, &l)
	}
	return records, nil
}

// unwrapped is records for lines of containers. What was held when a range began
// is found again in the lines before it, unless it had waited for too long.
func (r *rebuilder) unwrapped(p *plan, b *spool.Block) (records []byte, err error) {
	for _, g := range b.Ranges {
		src, err := r.source(g.File)
		if err != nil {
			return nil, err
		}
		from := max(0, g.From-2*int64(p.maxLine))
		data, err := src.Bytes(from, g.To)
		if err != nil {
			return nil, err
		}
		if from > 0 {
			n := bytes.IndexByte(data, '\n') + 1
			from, data = from+int64(n), data[n:]
		}
		l := chunk.Lines{File: r.positions[g.File].Path, From: g.From, Time: time.Unix(0, g.Time), Data: p.enc.Ended(data, from, g.From)}
		records, _ = p.enc.Append(records, &l)
	}
	return records, nil
}

// source opens the file of an id.
func (r *rebuilder) source(file uint64) (*tailer.Source, error) {
	if src := r.sources[file]; src != nil {
		return src, nil
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	p := r.positions[file]
	if p == nil || p.Path == "" {
		return nil, fmt.Errorf("file %d is not known any more", file)
	}
	src, err := tailer.OpenSource(p)
	if err == nil {
		r.sources[file] = src
	}
	return src, err
}

// load decodes the durable positions, once.
func (r *rebuilder) load() error {
	if r.positions != nil {
		return nil
	}
	all, err := r.spool.Positions()
	if err != nil {
		return err
	}
	r.positions, r.sources = make(map[uint64]*tailer.Position), make(map[uint64]*tailer.Source)
	for _, p := range all {
		pos := new(tailer.Position)
		if pos.UnmarshalBinary(p.Data) == nil { // a bad one is the tailer's to tell of
			r.positions[p.File] = pos
		}
	}
	return nil
}

func (r *rebuilder) close() {
	for _, src := range r.sources {
		_ = src.Close() // only read from
	}
}

// compressed compresses records as they were: at the configured level, or, as
// that may have been another one, at the one that gives the same bytes.
func compressed(b *spool.Block, level int, records []byte, fits func([]byte) bool) ([]byte, error) {
	codec, err := chunk.ParseCodec(b.Codec)
	if err != nil {
		return nil, err
	}
	for try := range 20 { // 0 stands for the configured level, no codec has more than 19
		c, err := chunk.NewCompressor(codec, cmp.Or(try, level))
		if err != nil {
			continue // not a level of this codec
		}
		if data, enc := c.Block(nil, records); spool.Encoding(enc) == b.Encoding && fits(data) {
			return data, nil
		}
	}
	return nil, errors.New("this program compresses its records to other bytes")
}

// maxRestores is how often one chunk is restored in a row before it is set
// aside: a disk that damages blocks as fast as they are rebuilt is no place
// for them.
const maxRestores = 3

// restore rebuilds what is damaged of c. It returns why that can't be done
// exactly, if so; err is the spool's.
func (s *shipper) restore(c *spool.Chunk, a *attempt, d *spool.DamageError) (why, err error) {
	if a.restored == maxRestores {
		return d, nil
	}
	a.restored++
	r := rebuilder{spool: s.spool, plans: s.plans}
	defer r.close()
	n, err := s.spool.Restore(c.Seq, r.block)
	s.done.update(func(st *UploadStats) { st.Rebuilt += int64(n) })
	if still := (*spool.DamageError)(nil); errors.As(err, &still) {
		return still, nil
	}
	if err != nil {
		return nil, fmt.Errorf("restore chunk %d of %s: %w", c.Number, c.Input, err)
	}
	s.health.fail(problem{causeDamage, c.Input, chunkName(c)}, chunkName(c), fmt.Errorf("%s chunk %d: %d blocks were damaged and are restored bit for bit: %w", c.Input, c.Number, n, d),
		"nothing is lost; check the disk")
	return nil, nil
}
