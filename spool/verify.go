package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// Verify walks every segment and every block and calls damaged for each piece
// of damage it finds and checked for the stored bytes of each block it has read.
// Both run in its goroutine. It returns the error of ctx, or ErrClosed, if that
// comes first. Appends go on meanwhile; chunks acked meanwhile are left out.
func (s *Spool) Verify(ctx context.Context, damaged func(error), checked func(bytes int64)) error {
	closed, err := s.verifyHead(ctx, damaged)
	if err != nil {
		return err
	}
	for _, n := range closed {
		if err := checkFile(ctx, s.segs.path(n)); err != nil && ctx.Err() == nil && s.needs(n) {
			damaged(err)
		}
	}
	for _, c := range s.Chunks() {
		if err := s.verifyChunk(ctx, c.Seq, damaged, checked); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// checkFile runs the page checker over a file, until ctx ends.
func checkFile(ctx context.Context, path string) error {
	return withFile(path, func(f *os.File, size int64) error {
		if err := checkPages(untilDone{f, ctx}, size); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// untilDone reads from r until ctx ends.
type untilDone struct {
	r   io.ReaderAt
	ctx context.Context
}

func (u untilDone) ReadAt(b []byte, at int64) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.ReadAt(b, at)
}

// verifyHead checks the head's pages and state, and that memory agrees with
// it. It returns the closed segments that are to be checked. Writes wait only
// until its read transaction has begun: that keeps the pages it leads to as they
// are.
func (s *Spool) verifyHead(ctx context.Context, damaged func(error)) (closed []uint64, err error) {
	s.mu.Lock()
	unlock := sync.OnceFunc(s.mu.Unlock)
	defer unlock()
	seg, err := s.segs.acquire(headSegment)
	if err != nil {
		return nil, err
	}
	defer s.segs.release(seg)
	closed = s.idx.closedNeeded()
	was, unacked, chunks := s.idx.state, s.idx.unacked, maps.Clone(s.idx.chunks) // manifests are not changed in place
	err = seg.view(func(tx *bolt.Tx) error {
		info, err := seg.file.Stat()
		if err != nil {
			return err
		}
		c := pageChecker{r: untilDone{seg.file, ctx}, size: info.Size()}
		root, err := c.meta()
		unlock()
		if err == nil {
			err = c.walkFrom(root)
		}
		if err != nil {
			return err
		}
		x, err := readIndex(tx, seg.number)
		if err != nil {
			return err
		}
		if x.state != was || len(x.chunks) != len(chunks) || x.unacked != unacked {
			return errors.New("the state on disk is not the one in use")
		}
		return strays(tx, chunks, seg.number)
	})
	if err != nil && ctx.Err() == nil {
		damaged(fmt.Errorf("%s: %w", seg.path, err))
	}
	return closed, nil
}

// strays looks for blocks in a head that no chunk has.
func strays(tx *bolt.Tx, chunks map[uint64]*manifest, head uint64) error {
	return tx.Bucket(bucketBlocks).ForEachBucket(func(k []byte) error {
		seq, err := from64(k)
		if err != nil {
			return err
		}
		if m := chunks[seq]; m == nil || m.in(head) == 0 {
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
func (s *Spool) verifyChunk(ctx context.Context, seq uint64, damaged func(error), checked func(bytes int64)) error {
	r, err := s.OpenChunk(seq)
	if err != nil {
		return nil // acked meanwhile
	}
	for i := 0; i < r.Len() && ctx.Err() == nil; i++ {
		b, err := r.Block(i)
		switch {
		case errors.Is(err, ErrNoChunk):
			return nil
		case errors.Is(err, ErrClosed):
			return err
		case err != nil:
			damaged(err)
		default:
			checked(int64(len(b.Data)))
		}
	}
	return nil
}
