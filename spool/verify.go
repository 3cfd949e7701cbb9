package spool

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Verify walks every segment and block and returns all damage it finds.
// Writes wait while the head is walked; chunks acked meanwhile are left out.
func (s *Spool) Verify() []error {
	errs, closed := s.verifyHead()
	for _, n := range closed {
		if err := checkFile(s.segs.path(n)); err != nil && s.needs(n) {
			errs = append(errs, err)
		}
	}
	for _, c := range s.Chunks() {
		errs = append(errs, s.verifyChunk(c.Seq)...)
	}
	return errs
}

// verifyHead checks the head's pages and state, and that memory agrees with
// it. It returns the closed segments that are to be checked.
func (s *Spool) verifyHead() (errs []error, closed []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return []error{ErrClosed}, nil
	}
	if err := checkFile(s.head.path); err != nil {
		return []error{err}, nil
	}
	err := s.head.view(func(tx *bolt.Tx) error {
		x, err := readIndex(tx, s.head.number)
		if err != nil {
			return err
		}
		if x.state != s.idx.state || len(x.chunks) != len(s.idx.chunks) || x.unacked != s.idx.unacked {
			return errors.New("the state on disk is not the one in use")
		}
		return s.strays(tx)
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", s.head.path, err))
	}
	return errs, s.idx.closedNeeded()
}

// strays looks for blocks in the head that no chunk has.
func (s *Spool) strays(tx *bolt.Tx) error {
	return tx.Bucket(bucketBlocks).ForEachBucket(func(k []byte) error {
		seq, err := from64(k)
		if err != nil {
			return err
		}
		if m := s.idx.chunks[seq]; m == nil || m.in(s.head.number) == 0 {
			return fmt.Errorf("there are blocks of chunk %d, which has none here", seq)
		}
		return nil
	})
}

func (s *Spool) needs(segment uint64) bool {
	s.pub.RLock()
	defer s.pub.RUnlock()
	return s.idx.needed[segment] != 0
}

// verifyChunk reads all blocks of a chunk, past damaged ones too.
func (s *Spool) verifyChunk(seq uint64) (errs []error) {
	r, err := s.OpenChunk(seq)
	if err != nil {
		return nil // acked meanwhile
	}
	for i := range r.Len() {
		if _, err := r.Block(i); errors.Is(err, ErrNoChunk) {
			return nil
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
