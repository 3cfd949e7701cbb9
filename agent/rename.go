package agent

import (
	"errors"
	"fmt"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// inode identifies a file while it has a name.
type inode struct{ dev, ino uint64 }

// followed is a durable position as it is stored, and decoded. A stored one that can't
// be decoded has no path; the tailer tells of it.
type followed struct {
	stored spool.Position
	tailer.Position
}

// decodePositions decodes the positions of a spool.
func decodePositions(stored []spool.Position) []followed {
	list := make([]followed, len(stored))
	for i, p := range stored {
		list[i].stored = p
		if err := list[i].UnmarshalBinary(p.Data); err != nil {
			list[i].Position = tailer.Position{}
		}
	}
	return list
}

// takeOver gives the files of inputs that were renamed to those that have
// `was = "old name"`, in one transaction: what was read of them stays read. It
// returns the positions as they are then.
//
// A file that the new name follows already stays with both. Chunks keep the name that
// they were begun under, so the new name's numbers start at 1.
func (a *Agent) takeOver(sp *spool.Spool, c *config.Config, stored []spool.Position) ([]spool.Position, error) {
	heirs := make(map[string]string)
	for i := range c.Inputs {
		if in := &c.Inputs[i]; in.Was != "" {
			heirs[in.Was] = in.Name
		}
	}
	if len(heirs) == 0 {
		return stored, nil
	}
	type place struct {
		input string
		inode
	}
	positions := decodePositions(stored)
	taken := make(map[place]bool) // the zero inode: the first scan of the input is done
	for i := range positions {
		p := &positions[i]
		taken[place{p.Input, inode{p.Dev, p.Ino}}] = true
	}
	var moved spool.Batch
	count := make(map[string]int)
	for i := range positions {
		p := &positions[i]
		heir := heirs[p.Input]
		if heir == "" || (p.Ino != 0 || p.Path == "") && taken[place{heir, inode{p.Dev, p.Ino}}] {
			continue
		}
		count[p.Input]++
		p.Input = heir
		data, err := p.MarshalBinary()
		if err != nil {
			return nil, err
		}
		stored[i].Data = data
		moved.Positions = append(moved.Positions, stored[i])
	}
	if len(moved.Positions) == 0 {
		return stored, nil
	}
	// On a full disk the old names stay there until the next append: was takes them
	// over at every start until then.
	if err := sp.Append(&moved); err != nil && !errors.Is(err, spool.ErrFull) {
		return nil, fmt.Errorf("rename an input: %w", err)
	}
	for old, n := range count {
		a.o.Logger.Info("an input goes on under another name", "input", heirs[old], "was", old, "files", n)
	}
	return stored, nil
}
