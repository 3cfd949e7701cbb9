package spool

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Ack gives up the chunks, all or none: they are delivered. Segments that no
// unacked chunk needs are unlinked before it returns. A chunk that is open is
// an error, one that is unknown an ErrNoChunk. On ErrFull, the disk being full
// and the ballast spent, nothing was acked: try again later.
func (s *Spool) Ack(seq ...uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	for _, n := range seq {
		if m := s.idx.chunks[n]; m == nil {
			return fmt.Errorf("ack chunk %d: %w", n, ErrNoChunk)
		} else if m.state == StateOpen {
			return fmt.Errorf("ack chunk %d: it is open", n)
		}
	}
	if len(seq) == 0 {
		return nil
	}
	err := s.update("ack", true, func(t *txn) error {
		for _, n := range seq {
			t.chunks[n] = nil
			if err := t.dropBlocks(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.freed()
}

// Bury sets a chunk's blocks aside in quarantine/, as far as they can be read,
// with the whole of each segment that not all could be read from, and turns it
// into a tombstone of the same number. reason is a short sentence for people;
// it becomes part of the chunk, cut to 200 characters of printable ASCII. On
// ErrFull, the disk being full, the chunk is as it was: try again later.
func (s *Spool) Bury(seq uint64, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	m := s.idx.chunks[seq]
	switch {
	case m == nil:
		return fmt.Errorf("bury chunk %d: %w", seq, ErrNoChunk)
	case m.state == StateTombstone:
		return fmt.Errorf("bury chunk %d: it is a tombstone already", seq)
	}
	// The file first: a crash after it leaves a chunk that can be buried again.
	if err := s.setAside(m, reason); err != nil {
		if diskFull(err) && !errors.Is(err, ErrFull) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		return fmt.Errorf("bury chunk %d: %w", seq, err)
	}
	if err := s.hook("bury", ".quarantined"); err != nil {
		return s.poisoned(err)
	}
	return s.update("bury", true, func(t *txn) error {
		m := t.chunk(seq)
		if m.state == StateOpen {
			t.open[m.key()] = 0
		}
		m.bury(Damaged, reason, t.now)
		t.state.quarantined++
		return t.dropBlocks(seq)
	})
}

// maxReason bounds the reason of a tombstone: it is sent as an HTTP header with
// the object, and S3 takes 2 KB of them in all.
const maxReason = 200

// cleanReason makes printable ASCII of a reason.
func cleanReason(reason string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, reason)
	return strings.TrimSpace(clean[:min(maxReason, len(clean))])
}

// setAside writes what can be read of a chunk to a file of its block values,
// one after the other, and a line on why to a note beside it.
func (s *Spool) setAside(m *manifest, reason string) error {
	// An input's name may have a slash in it, a file's may not.
	name := fmt.Sprintf("%s-%s-%020d", m.own().queue, url.PathEscape(m.input), m.own().number)
	path := filepath.Join(s.opts.Dir, quarantineDir, name)
	var read int
	var short []uint64
	err := writeDurably(path+".blocks", func(f *os.File) (err error) {
		read, short, err = s.writeBlocks(f, m)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range short {
		if err := s.leave(n); err != nil {
			return err
		}
	}
	return writeDurably(path+".txt", func(f *os.File) error {
		_, err := fmt.Fprintf(f, "%s %s: %d of %d blocks, %d records: %s\n", time.Now().UTC().Format(time.RFC3339),
			name, read, m.blocks, m.records, reason)
		return err
	})
}

// writeBlocks writes a chunk's raw block values and returns how many, and the
// segments that may have more of it: some could not be read, or had to be
// searched for, which can find the wrong ones.
func (s *Spool) writeBlocks(f *os.File, m *manifest) (read int, short []uint64, err error) {
	var buf []byte
	for _, e := range m.extents {
		before := read
		keys, err := s.blockKeys(e.segment, m.seq)
		if err != nil {
			short = append(short, e.segment)
			n, err := s.writePlaces(f, e.segment, m)
			if read += n; err != nil {
				return read, short, err
			}
			continue
		}
		for _, k := range keys {
			v, err := s.rawBlock(e.segment, m.seq, k, buf[:0])
			if err != nil {
				s.log.Error("block cannot be set aside", "segment", s.segs.path(e.segment), "chunk", m.seq, "batch", k.batch, "error", err)
				continue
			}
			if _, err := f.Write(v); err != nil {
				return read, short, err
			}
			buf = v
			read++
		}
		if uint64(read-before) < e.blocks {
			short = append(short, e.segment)
		}
	}
	return read, short, nil
}

// writePlaces writes those of a chunk's blocks that can be found in a segment
// whose pages are damaged.
func (s *Spool) writePlaces(f *os.File, segment uint64, m *manifest) (read int, err error) {
	ps, err := s.places(segment, m)
	if err != nil {
		s.log.Error("blocks cannot be set aside", "segment", s.segs.path(segment), "chunk", m.seq, "error", err)
		return 0, nil
	}
	for i := range ps {
		v, err := s.placed(segment, &ps[i])
		if err != nil {
			return read, err
		}
		if _, err := f.Write(v); err != nil {
			return read, err
		}
		read++
	}
	return read, nil
}

// writeDurably writes a file that is there completely or not at all.
func writeDurably(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path+tmpExt, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+tmpExt, path)
	}
	if err != nil {
		_ = os.Remove(path + tmpExt)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// blockKey is where a block lies in its chunk's bucket.
type blockKey struct {
	batch uint64
	index uint32
}

var errNoBlocks = errors.New("no blocks of the chunk")

// chunkBucket returns a chunk's bucket, or nil.
func chunkBucket(tx *bolt.Tx, seq uint64) *bolt.Bucket {
	b := tx.Bucket(bucketBlocks)
	if b == nil {
		return nil
	}
	return b.Bucket(be64(seq))
}
