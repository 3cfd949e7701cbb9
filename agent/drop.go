package agent

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

const hintDrop = `the oldest chunks are given up, as [spool] when_full = "drop_oldest" says; see why uploads fail, or raise max_size or free disk space`

// dropOldest gives up the oldest sealed chunks of a full spool, as many as a
// batch of size stored bytes needs: first those that the destination refuses. It
// reports whether it did: what is being uploaded just now stays, as it may arrive,
// and nothing is given up where all of it would not be enough, as when others fill
// the disk.
func (s *shipper) dropOldest(full error, size int64) (bool, error) {
	missing := size
	if limit := (*spool.FullError)(nil); errors.As(full, &limit) {
		missing = limit.Missing
	}
	s.admit()   // what was just sealed may be dropped as well
	s.mu.Lock() // nobody takes what is dropped
	defer s.mu.Unlock()
	var seqs []uint64
	var sum int64
	for _, failing := range []bool{true, false} {
		for c, ok := s.spool.NextSealed(0); ok && sum < missing; c, ok = s.spool.NextSealed(c.Seq) {
			if c.State == spool.StateSealed && s.queue.mayDrop(c.Seq, failing) {
				seqs = append(seqs, c.Seq)
				sum += c.DiskSize
			}
		}
	}
	if len(seqs) == 0 || sum < missing {
		return false, nil
	}
	losses, err := s.spool.Drop(full.Error(), seqs...)
	if errors.Is(err, spool.ErrFull) {
		return false, nil // nothing was changed
	}
	if len(losses) > 0 {
		s.health.fail(problem{cause: causeDrop}, "", full, hintDrop)
		s.losses.add(len(seqs), losses, s.paths())
	}
	if err != nil {
		return false, fmt.Errorf("drop the oldest chunks: %w", err)
	}
	return true, nil
}

// paths returns where the followed files are. Without them, losses are named
// by the files' ids.
func (s *shipper) paths() map[uint64]string {
	paths := make(map[uint64]string)
	positions, err := s.spool.Positions()
	if err != nil {
		s.log.Warn("files of dropped chunks can't be named", "error", err)
	}
	for i := range positions {
		var p tailer.Position
		if p.UnmarshalBinary(positions[i].Data) == nil {
			paths[positions[i].File] = p.Path
		}
	}
	return paths
}

// FileLoss is what was dropped of one file since the start.
type FileLoss struct {
	Input   string `json:"input"`
	Path    string `json:"path"`
	Reason  string `json:"reason"` // "dropped": see [spool] when_full
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"` // of the file
}

// maxLossFiles bounds what is counted by file; the rest of an input is counted
// as otherFiles.
const (
	maxLossFiles = 1000
	otherFiles   = "(other files)"
)

// lossInterval is how often losses are logged while they go on.
const lossInterval = time.Minute

// lossLog counts what was dropped by file, and says so loudly: at once, then at
// most every lossInterval until all is said. Any goroutine may use it.
type lossLog struct {
	log *slog.Logger

	mu     sync.Mutex
	total  map[lossKey]FileLoss
	fresh  map[lossKey]FileLoss // not logged yet
	chunks int                  // not logged yet
	logged time.Time
	last   time.Time // of a drop
}

type lossKey struct{ input, path string }

func newLossLog(log *slog.Logger) *lossLog {
	return &lossLog{log: log, total: make(map[lossKey]FileLoss), fresh: make(map[lossKey]FileLoss)}
}

// add counts what chunks dropped chunks had of each file.
func (l *lossLog) add(chunks int, losses []spool.FileLoss, paths map[uint64]string) {
	l.mu.Lock()
	l.chunks += chunks
	l.last = time.Now()
	for _, f := range losses {
		path := paths[f.File]
		switch {
		case f.File == 0:
			path = "(damaged blocks)"
		case path == "":
			path = fmt.Sprintf("(file %d, which is gone)", f.File)
		}
		k := lossKey{f.Input, path}
		if _, known := l.total[k]; !known && len(l.total) >= maxLossFiles {
			k.path = otherFiles
		}
		for _, m := range []map[lossKey]FileLoss{l.total, l.fresh} {
			n := m[k]
			m[k] = FileLoss{k.input, k.path, string(spool.Dropped), n.Records + f.Records, n.Bytes + f.Bytes}
		}
	}
	l.mu.Unlock()
	l.report(false)
}

// report logs what is new, if there is anything and the last line is long
// enough ago, or at once.
func (l *lossLog) report(now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.chunks == 0 || !now && time.Since(l.logged) < lossInterval {
		return
	}
	var sum FileLoss
	var files []string
	for _, f := range sorted(l.fresh) {
		sum.Records += f.Records
		sum.Bytes += f.Bytes
		files = append(files, fmt.Sprintf("%s: %d lines, %d bytes", f.Path, f.Records, f.Bytes))
	}
	const most = 20 // of a log line; status has them all
	if n := len(files); n > most {
		files = append(files[:most], fmt.Sprintf("and %d more, see status", n-most))
	}
	l.log.Error("LINES WERE DROPPED to make room in the spool", "chunks", l.chunks, "records", sum.Records, "bytes", sum.Bytes,
		"files", strings.Join(files, "; "), "fix", hintDrop)
	clear(l.fresh)
	l.chunks, l.logged = 0, time.Now()
}

// over says whether nothing was dropped for a while, and logs the rest.
func (l *lossLog) over() bool {
	l.report(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last) >= lossInterval
}

// list returns what was dropped since the start, by input and path.
func (l *lossLog) list() []FileLoss {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sorted(l.total)
}

func sorted(m map[lossKey]FileLoss) []FileLoss {
	list := make([]FileLoss, 0, len(m))
	for _, f := range m {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b FileLoss) int {
		return cmp.Or(cmp.Compare(a.Input, b.Input), cmp.Compare(a.Path, b.Path))
	})
	return list
}
