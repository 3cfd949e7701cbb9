package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// leave makes sure that the blocks of a segment that could not be read outlive
// its place in the queue.
func (s *Spool) leave(number uint64) error {
	if number == s.head.number { // its pages will be used again: no more writes to it
		if err := s.replace(false, false); err != nil {
			return err
		}
	}
	return s.keep(number)
}

// keep gives a segment that is not written any more a second name, in
// quarantine/. That one is durable before the commit that lets the queue's
// name go, so whoever unlinks that, now or after a crash, need not know.
func (s *Spool) keep(number uint64) error {
	if s.kept(number) {
		return nil
	}
	path := s.segs.path(number)
	aside := s.asidePath(segmentName(number))
	err := os.Link(path, aside)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return s.await(number)
	case err != nil: // a file system without links, or quarantine/ is another one
		err = s.copySegment(number, aside)
	default:
		err = syncDir(filepath.Dir(aside))
	}
	if err != nil {
		return err
	}
	s.aside[number] = true
	s.log.Error("segment has blocks that cannot be read: it is kept", "segment", path, "as", aside)
	return nil
}

// gonePath is a note in quarantine/ on a segment that was to be kept and was
// not there.
func (s *Spool) gonePath(number uint64) string {
	return filepath.Join(s.opts.Dir, quarantineDir, segmentName(number)+".gone.txt")
}

// await leaves word that a segment is to be kept should it come back: whoever
// took it may put it in its place again.
func (s *Spool) await(number uint64) error {
	return writeDurably(s.gonePath(number), func(f *os.File) error {
		_, err := fmt.Fprintf(f, "%s was not there when its chunks were buried; should it come back, it is kept here\n", segmentName(number))
		return err
	})
}

// keepReturned keeps a segment that came back, before it is unlinked.
func (s *Spool) keepReturned(number uint64) error {
	if _, err := os.Lstat(s.gonePath(number)); err != nil {
		return nil
	}
	if _, err := os.Lstat(s.segs.path(number)); err != nil {
		return err
	}
	return s.keep(number)
}

// kept says whether a segment has a name in quarantine/ already. A copy that
// an earlier process made is not recognised, and made once more.
func (s *Spool) kept(number uint64) bool {
	if s.aside[number] {
		return true
	}
	info, err := os.Stat(s.segs.path(number))
	if err != nil {
		return false
	}
	dir := filepath.Join(s.opts.Dir, quarantineDir)
	files, _ := os.ReadDir(dir) // "not kept" is the safe answer
	return slices.ContainsFunc(files, func(e os.DirEntry) bool {
		if !strings.HasPrefix(e.Name(), strings.TrimSuffix(segmentName(number), segmentExt)) {
			return false
		}
		aside, err := os.Stat(filepath.Join(dir, e.Name()))
		return err == nil && os.SameFile(info, aside)
	})
}

// copySegment copies what the disk still gives of a segment.
func (s *Spool) copySegment(number uint64, to string) error {
	return withFile(s.segs.path(number), func(from *os.File, size int64) error {
		return writeDurably(to, func(f *os.File) error {
			buf := make([]byte, min(size, carveWindow))
			for at := int64(0); at < size; at += int64(len(buf)) {
				b := buf[:min(int64(len(buf)), size-at)]
				readAround(from, b, at)
				if _, err := f.Write(b); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
