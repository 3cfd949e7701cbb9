package agent

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// Overlap is files whose lines are shipped twice: by two inputs, or by one that
// was given another name.
type Overlap struct {
	Input   string `json:"input"`
	Other   string `json:"other"`   // the other input of the same files
	Renamed bool   `json:"renamed"` // Other has shipped them and is not configured any more
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"` // that arrive once more
	Path    string `json:"path"`  // of one of them
}

// What tells what happens, on one line.
func (o *Overlap) What() string {
	files := fmt.Sprintf("%s files (%s), such as %s", humanize.Comma(int64(o.Files)), humanize.IBytes(uint64(o.Bytes)), o.Path)
	if o.Files == 1 {
		files = fmt.Sprintf("1 file (%s), %s", humanize.IBytes(uint64(o.Bytes)), o.Path)
	}
	if o.Renamed {
		return fmt.Sprintf("input %s begins anew with %s, which input %s has shipped before", o.Input, files, o.Other)
	}
	return fmt.Sprintf("inputs %s and %s both match %s: every line is shipped twice", o.Other, o.Input, files)
}

// Fix tells what can be done about it.
func (o *Overlap) Fix() string {
	if o.Renamed {
		return fmt.Sprintf(`if %s is the new name of %[2]s, add was = "%[2]s" to it before the agent starts with it; else exclude these files`, o.Input, o.Other)
	}
	return "exclude these files from one of the two"
}

// overlaps collects what two inputs have in common.
type overlaps map[[2]string]*Overlap

func (o overlaps) add(input, other string, renamed bool, bytes int64, path string) {
	key := [2]string{input, other}
	if o[key] == nil {
		o[key] = &Overlap{Input: input, Other: other, Renamed: renamed, Path: path}
	}
	o[key].Files++
	o[key].Bytes += bytes
}

func (o overlaps) list() []Overlap {
	var list []Overlap
	for _, v := range o {
		list = append(list, *v)
	}
	slices.SortFunc(list, func(a, b Overlap) int { return cmp.Or(cmp.Compare(a.Input, b.Input), cmp.Compare(a.Other, b.Other)) })
	return list
}

// SharedFiles returns what two inputs of c match at present.
func SharedFiles(c *config.Config) ([]Overlap, error) {
	if len(c.Inputs) < 2 {
		return nil, nil
	}
	first, found := make(map[inode]string), overlaps{}
	for i := range c.Inputs {
		in := &c.Inputs[i]
		paths, _, _, err := tailer.Match(tailer.Input{Name: in.Name, Include: in.Include, Exclude: in.Exclude, Links: tailer.LinkPolicy(in.FollowSymlinks)}, Private(c))
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", in.Name, err)
		}
		for _, path := range paths {
			id, size, ok := lookAt(path)
			if !ok {
				continue
			}
			if other, known := first[id]; !known {
				first[id] = in.Name
			} else if other != in.Name {
				found.add(in.Name, other, false, size, path)
			}
		}
	}
	return found.list(), nil
}

// RenamedFiles returns the files of inputs that are not configured any more which
// inputs of c match and would begin anew.
func RenamedFiles(c *config.Config, stored []spool.Position) []Overlap {
	configured, heirs := make(map[string]bool), make(map[string]string)
	for i := range c.Inputs {
		configured[c.Inputs[i].Name] = true
		heirs[c.Inputs[i].Was] = c.Inputs[i].Name
	}
	positions := decodePositions(stored)
	own := make(map[inode]bool)
	for i := range positions {
		if p := &positions[i]; configured[p.Input] {
			own[inode{p.Dev, p.Ino}] = true
		}
	}
	found := overlaps{}
	for i := range positions {
		p := &positions[i]
		if p.Path == "" || configured[p.Input] || heirs[p.Input] != "" || own[inode{p.Dev, p.Ino}] {
			continue
		}
		if id, _, ok := lookAt(p.Path); !ok || id.ino != p.Ino {
			continue
		}
		for j := range c.Inputs {
			in := tailer.Input{Include: c.Inputs[j].Include, Exclude: c.Inputs[j].Exclude}
			if in.Covers(p.Path) {
				found.add(c.Inputs[j].Name, p.Input, true, p.Offset, p.Path)
			}
		}
	}
	return found.list()
}

// lookAt returns which file is at path, links followed, and its size.
func lookAt(path string) (id inode, size int64, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return inode{}, 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, 0, false
	}
	return inode{uint64(st.Dev), st.Ino}, info.Size(), true //nolint:unconvert // other systems have other types
}

// followedTwice returns what two inputs of c follow, by what is durable.
func followedTwice(c *config.Config, stored []spool.Position) []Overlap {
	configured := make(map[string]bool)
	for i := range c.Inputs {
		configured[c.Inputs[i].Name] = true
	}
	first, found := make(map[inode]string), overlaps{}
	positions := decodePositions(stored)
	for i := range positions {
		p := &positions[i]
		id := inode{p.Dev, p.Ino}
		if p.Path == "" || p.Ino == 0 || p.Done || !configured[p.Input] {
			continue
		}
		if other := first[id]; other == "" {
			first[id] = p.Input
		} else if other != p.Input {
			found.add(max(other, p.Input), min(other, p.Input), false, max(p.Size, p.Offset), p.Path)
		}
	}
	return found.list()
}

// watchOverlaps looks for files that two inputs follow until ctx ends, so rarely
// that it takes a thousandth of a processor.
func (s *session) watchOverlaps(ctx context.Context, a *Agent) error {
	if len(s.setup.cfg.Inputs) < 2 {
		return nil
	}
	told := make(map[[2]string]bool)
	for {
		began := time.Now()
		stored, err := s.spool.Positions()
		if err != nil {
			return nil // the spool is closing, or its next commit tells
		}
		twice := followedTwice(s.setup.cfg, stored)
		for i := range twice {
			o := &twice[i]
			if key := [2]string{o.Input, o.Other}; !told[key] {
				told[key] = true
				a.o.Logger.Warn(o.What(), "hint", o.Fix())
			}
		}
		s.twice.Store(&twice)
		if !pause(ctx, ctx, max(time.Duration(s.setup.cfg.Agent.ScanInterval), 1000*time.Since(began))) {
			return nil
		}
	}
}
