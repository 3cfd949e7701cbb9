package spool

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// FileLoss is what a drop took of one file.
type FileLoss struct {
	Input   string
	File    uint64 // 0: of files that cannot be told any more, as blocks are damaged
	Records int64
	Bytes   int64 // of the file; of File 0 the bytes of records
}

// Drop gives up the data of sealed chunks, all or none, to make room: each
// becomes a tombstone of the same number that names how much it had. What was
// dropped is counted in the same transaction, and returned by input and file.
// reason is as in Bury. A chunk that is open or a tombstone already is an
// error, one that is unknown an ErrNoChunk. When it returns nil, all is
// durable, and segments that no unacked chunk needs are unlinked. On ErrFull,
// the disk being full and the ballast spent, nothing was dropped.
func (s *Spool) Drop(reason string, seq ...uint64) ([]FileLoss, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return nil, err
	}
	losses, spare := map[lostFile]*FileLoss{}, int64(0)
	for _, n := range seq {
		m := s.idx.chunks[n]
		switch {
		case m == nil:
			return nil, fmt.Errorf("drop chunk %d: %w", n, ErrNoChunk)
		case m.state != StateSealed:
			return nil, fmt.Errorf("drop chunk %d: it is not sealed, or dropped already", n)
		}
		s.countLoss(losses, m)
		if n := len(m.extents); n > 0 && m.extents[n-1].segment == s.head.number {
			spare += int64(m.extents[n-1].bytes)
		}
	}
	if len(seq) == 0 {
		return nil, nil
	}
	err := s.update("drop", true, func(t *txn) error {
		for _, n := range seq {
			m := t.chunk(n)
			t.counter(m.input).dropped.add(Loss{1, m.records, m.raw})
			m.bury(Dropped, reason, t.now)
			if err := t.dropBlocks(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.spare += spare
	return sortLosses(losses), s.freed()
}

// freed lets what an ack or a drop gave up count at once: for the ballast, for
// the next batch, and as disk space if the head has nothing else.
func (s *Spool) freed() error {
	s.freeAt = time.Time{}
	s.ensureBallast()
	return s.handOverAcked()
}

type lostFile struct {
	input string
	file  uint64
}

// countLoss adds what a chunk has of each file, as its blocks' headers say.
func (s *Spool) countLoss(losses map[lostFile]*FileLoss, m *manifest) {
	add := func(file uint64, records, bytes int64) {
		k := lostFile{m.input, file}
		if losses[k] == nil {
			losses[k] = &FileLoss{Input: m.input, File: file}
		}
		losses[k].Records += records
		losses[k].Bytes += bytes
	}
	records, raw := m.records, m.raw
	var b Block
	for _, e := range m.extents {
		keys, err := s.blockKeys(e.segment, m.seq)
		if err != nil {
			continue // damaged, as below: what no header says is added at the end
		}
		for _, k := range keys {
			head, err := s.blockHeader(e.segment, m.seq, k)
			if err != nil {
				continue
			}
			if _, err := decodeHeader(head, &b); err != nil {
				continue
			}
			for _, r := range b.Ranges {
				add(r.File, r.Records, r.To-r.From)
			}
			records, raw = records-b.Records, raw-b.RawSize
		}
	}
	if records > 0 || raw > 0 {
		add(0, records, raw)
	}
}

// blockHeader returns a copy of a block's header. Its data is not read: it may
// be much, and it is not wanted any more.
func (s *Spool) blockHeader(segment, seq uint64, k blockKey) (head []byte, err error) {
	err = s.segs.view(segment, func(tx *bolt.Tx) error {
		v := blockValue(tx, seq, k)
		if len(v) < headerPrefix {
			return errNoBlocks
		}
		h, _, err := splitBlock(v)
		head = slices.Clone(h)
		return err
	})
	return head, err
}

func sortLosses(losses map[lostFile]*FileLoss) []FileLoss {
	list := make([]FileLoss, 0, len(losses))
	for _, l := range losses {
		list = append(list, *l)
	}
	slices.SortFunc(list, func(a, b FileLoss) int {
		return cmp.Or(cmp.Compare(a.Input, b.Input), cmp.Compare(a.File, b.File))
	})
	return list
}
