//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/spool"
)

func newSpoolRepair() *cobra.Command {
	var salvage, anew bool
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Say what is left of a damaged head, and save it",
		Long: `Repair is for a spool that the agent refuses because its head, the file that
has all of the state, is damaged. Without flags it changes nothing: it says
which pages are damaged, which blocks can still be read, and whether the state
can.

With --salvage, the intact blocks and the damaged head itself are set aside in
quarantine/. If the state can be read, a new head is made with it and with the
blocks; the agent rebuilds those that are missing from their files, or ships a
tombstone in place of their chunk. If the state can't be read, nothing is
changed unless --start-anew is given, too: then the whole spool is set aside,
and the next start begins an empty one, under a new queue id. Files are read
again by start_at: with "beginning", what was shipped already arrives twice;
with "end", what was not shipped yet is only in quarantine/ and in the files.

Exit codes:
  0   the head is sound, or it was replaced and nothing is missing, or the
      spool was set aside as asked
  1   failed; with --salvage also: the state can't be read, nothing was changed
  2   the command line or the configuration is wrong
  3   the head is damaged; with --salvage: it was replaced, but blocks are
      missing
  75  try again later: another process has the state directory
`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if anew && !salvage {
				return usage(errors.New("--start-anew goes with --salvage"))
			}
			c, _, err := load(cmd)
			if err != nil {
				return err
			}
			var r *spool.Report
			if salvage {
				r, err = spool.Salvage(spool.Options{Dir: c.Agent.StateDir, SegmentSize: int64(c.Spool.SegmentSize)}, anew)
			} else {
				r, err = spool.Examine(c.Agent.StateDir)
			}
			if err != nil {
				return fmt.Errorf("repair the spool: %w", err)
			}
			if err := printReport(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			return outcome(r, salvage, anew)
		},
	}
	cmd.Flags().BoolVar(&salvage, "salvage", false, "set the damaged head aside and make a new one, if its state can be read")
	cmd.Flags().BoolVar(&anew, "start-anew", false, "with --salvage: set the whole spool aside if the state can't be read")
	return cmd
}

// outcome is how the command ends.
func outcome(r *spool.Report, salvage, anew bool) error {
	partial := func(hint, what string, args ...any) error {
		return &exitError{err: fmt.Errorf(what, args...), code: exitPartial, hint: hint}
	}
	switch {
	case r.Damage == nil:
		return nil
	case !salvage && r.State == nil:
		return partial("add --salvage to make a new head with this state", "the head is damaged, its state can be read")
	case !salvage:
		return partial("spoolship spool repair --help says the choices", "the head is damaged and its state can't be read")
	case r.State != nil && !anew:
		return &exitError{err: errors.New("the state can't be read, nothing was changed"), code: exitFailure,
			hint: "add --start-anew to set everything aside and begin an empty spool: files are read again by start_at, so lines that were shipped may arrive twice"}
	case r.State == nil && r.Missing > 0:
		return partial("start the agent: it rebuilds them from their files where these have the bytes, and ships tombstones for the other chunks",
			"a new head is in place; %d blocks are missing or damaged", r.Missing)
	}
	return nil
}

// maxLines bounds each list of the report.
const maxLines = 20

// printReport says what was found, for people.
func printReport(w io.Writer, r *spool.Report) error {
	if r.Damage == nil {
		printf(w, "ok: %s is sound; spoolship spool verify checks the blocks\n", r.Head)
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "head\t%s\ndamage\t%v\n", r.Head, r.Damage)
	for i, p := range r.Pages {
		if i == maxLines {
			printf(t, "\t… and %d more\n", len(r.Pages)-i)
			break
		}
		printf(t, "pages\t%v\n", p)
	}
	if r.State == nil {
		printf(t, "state\tcan be read: positions of %s files; %s blocks of unacked chunks are missing or damaged\n",
			humanize.Comma(int64(r.Files)), humanize.Comma(int64(r.Missing)))
	} else {
		printf(t, "state\tcan't be read: %v\n", r.State)
	}
	printf(t, "\nCHUNK\tINPUT\tNUMBER\tINTACT\tDAMAGED\tRECORDS\tSTATE\tFILE: BYTES\n")
	for _, c := range r.Chunks {
		state := "done" // its pages are free, but not used again yet
		switch {
		case r.State != nil:
			state = "unknown"
		case c.Unacked:
			state = "unacked"
		}
		printf(t, "%d\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", c.Seq, c.Input, c.Number, c.Intact, c.Damaged, humanize.Comma(c.Records), state, rangesText(c.Ranges))
	}
	return t.Flush()
}

// rangesText names files by their ids: the paths are in the positions.
func rangesText(ranges []spool.Range) string {
	var parts []string
	for i, r := range ranges {
		if i == maxLines {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%d: %d-%d", r.File, r.From, r.To))
	}
	return strings.Join(parts, ", ")
}
