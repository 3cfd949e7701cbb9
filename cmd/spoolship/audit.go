//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent/audit"
	"github.com/spoolship/spoolship/agent/sink"
)

func newAudit() *cobra.Command {
	var b bucketFlags
	var deep, state, asJSON bool
	cmd := &cobra.Command{
		Use:   "audit [s3://BUCKET/PREFIX]",
		Short: "Prove from the keys of a bucket that every chunk arrived; exit 3 if not",
		Long: `Audit lists the bucket and reads the keys: per queue and input the numbers of
the chunks must run from 1 without a gap, each once. Chunks that were dropped or
damaged have a tombstone under their number, which is named. Keys of other
programs are listed and are no fault. Chunks are numbered before they are
uploaded, so the last few can be missing while an agent ships: --state compares
with the agent's own state, over its socket or from the stopped agent's
directory. What it knows to be in the bucket must be there, up to the newest;
what it still has is not missed.

With --deep every object is read too: it must decompress, have as many records
as its key says, and the CRC-32 that was stored with it. Where the configuration
has the input, as text in UTF-8 with file, offset and message in its records,
no line between two others of a file may be missing.
` + bucketHelp + `
Exit codes:
  0   every chunk up to the newest is there, once
  1   failed, for example because the bucket can't be listed
  2   the command line or the configuration is wrong
  3   a chunk is missing, is there twice or is damaged
  75  try again later: another process has the state directory
`,
		Args: onlyPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := b.open(cmd, args)
			if err != nil {
				return err
			}
			defer src.Close()
			var states []audit.State
			if state { // before the listing: what is acked now must be in it
				if states, err = agentStates(cmd, src); err != nil {
					return err
				}
			}
			r, err := auditKeys(cmd.Context(), src, states, cmd.ErrOrStderr())
			if err == nil && deep {
				err = readObjects(cmd.Context(), src, r, cmd.ErrOrStderr())
			}
			if err != nil {
				return readError(err)
			}
			if !state && r.Objects == 0 {
				return noChunks(src, r.ForeignKeys, r.OtherTemplates)
			}
			return printAudit(cmd.OutOrStdout(), src, r, asJSON)
		},
	}
	b.add(cmd)
	cmd.Flags().BoolVar(&deep, "deep", false, "download and check every object")
	cmd.Flags().BoolVar(&state, "state", false, "compare with the state of the agent on this machine")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// agentStates asks the agent, or its files, for the numbers of the chunks. The
// counters come first: a chunk that is made after that is not asked for.
func agentStates(cmd *cobra.Command, src *source) (states []audit.State, err error) {
	return states, withViewOf(cmd, src.config, func(ctx context.Context, v view) error {
		counters, err := v.counters(ctx)
		if err != nil {
			return err
		}
		chunks, err := v.chunks(ctx)
		if err != nil {
			return err
		}
		for _, c := range counters {
			s := audit.State{Input: c.Input, Queue: c.Queue, Next: c.Next}
			for i := range chunks {
				if chunks[i].Input == c.Input && chunks[i].Queue == c.Queue {
					s.Waiting = append(s.Waiting, chunks[i].Number)
				}
			}
			slices.Sort(s.Waiting)
			states = append(states, s)
		}
		return nil
	})
}

// auditKeys lists the bucket and judges its keys. Keys that say where a gap or a
// duplicate is are found by listing once more.
func auditKeys(ctx context.Context, src *source, states []audit.State, stderr io.Writer) (*audit.Report, error) {
	a := &audit.Audit{}
	if err := src.objects(ctx, stderr, "listing", a.Add, a.AddForeign); err != nil {
		return nil, err
	}
	r := a.Report(states)
	names := r.Names()
	if names == nil {
		return r, nil
	}
	err := src.objects(ctx, stderr, "listing again, for the keys beside gaps and of duplicates", names.Add, func(string, error) {})
	names.Done()
	return r, err
}

// readObjects lists the bucket once more and checks every object.
func readObjects(ctx context.Context, src *source, r *audit.Report, stderr io.Writer) error {
	objects, _, err := src.sorted(ctx, stderr)
	if err != nil {
		return err
	}
	add, done := counter(stderr, "reading", int64(len(objects)))
	defer done()
	checker := audit.Checker{Follow: src.follow, Failed: isReadError}
	for i := range objects {
		o := &objects[i]
		stored, err := src.Get(ctx, o.Name, o.Size)
		if err != nil {
			return err
		}
		damage, err := checker.Check(*o, stored.Metadata, stored.Body)
		stored.Body.Close()
		if err != nil {
			return err
		}
		if damage != nil {
			r.AddDamage(o, damage)
		}
		add(1)
	}
	return nil
}

// isReadError tells failures of the bucket from damage of an object.
func isReadError(err error) bool {
	var failed *sink.Error
	return errors.As(err, &failed)
}

// printAudit prints what was found, and returns an error unless all is there.
func printAudit(w io.Writer, src *source, r *audit.Report, asJSON bool) error {
	if asJSON {
		if err := printJSON(w, r); err != nil {
			return err
		}
	} else {
		printStreams(w, r)
		for _, d := range r.Damage {
			printf(w, "DAMAGED %s: %s\n", d.Key, d.Reason)
		}
		for _, f := range r.Foreign {
			printf(w, "foreign key %s: %s\n", f.Key, f.Reason)
		}
		if n := r.ForeignKeys - int64(len(r.Foreign)); n > 0 {
			printf(w, "and %s more foreign keys\n", humanize.Comma(n))
		}
		printf(w, "%s: %s records in %s objects, %s%s\n", src, humanize.Comma(r.Records), humanize.Comma(r.Objects), size(r.Bytes), times(r.From, r.To))
	}
	if !r.Complete {
		return &exitError{err: fmt.Errorf("%s is not complete: chunks missing: %d, there twice: %d, objects damaged: %d", src, r.Missing, r.Duplicates, len(r.Damage)),
			code: exitPartial, hint: auditHint(r)}
	}
	if !asJSON {
		printf(w, "ok: every chunk up to the newest is there, once\n")
	}
	return nil
}

// noChunks is the error of a bucket in which no chunks are.
func noChunks(src *source, foreign, other int64) error {
	hint := "see the bucket and the prefix, and whether --config names the configuration whose key templates were used; --key names earlier ones"
	if other > 0 {
		hint = otherTemplates(other)
	}
	return &exitError{err: fmt.Errorf("%s has no chunks, and %d other objects", src, foreign), code: exitFailure, hint: hint}
}

// otherTemplates is the hint where an agent has put objects under a key template
// that is not among those that were tried.
func otherTemplates(n int64) string {
	keys := "keys have the form"
	if n == 1 {
		keys = "key has the form"
	}
	return fmt.Sprintf("%s foreign %s of an agent's, under another key template: name those that were used before with --key 'TEMPLATE', each", humanize.Comma(n), keys)
}

// auditHint names the most likely cause of what an audit misses.
func auditHint(r *audit.Report) string {
	if r.Missing > 0 && r.OtherTemplates > 0 {
		return otherTemplates(r.OtherTemplates)
	}
	for i := range r.Streams {
		if gaps := r.Streams[i].Gaps; len(gaps) > 0 && gaps[0].First == 1 && gaps[0].Last < r.Streams[i].Newest {
			return "the first chunks are missing: if the bucket or the prefix was changed, audit the one before, too; else see who can delete there (lifecycle rules, other programs)"
		}
	}
	return "see who can delete or write there (lifecycle rules, other programs); while an agent ships, --state knows what is still to come"
}

// printStreams prints what is said of each input and queue.
func printStreams(w io.Writer, r *audit.Report) {
	for i := range r.Streams {
		s := &r.Streams[i]
		printf(w, "input %s, queue %s", s.Input, s.Queue)
		for _, h := range s.Hosts {
			printf(w, ", host %s", h)
		}
		printf(w, ": chunks up to %d, %s records, %s%s\n", s.Newest, humanize.Comma(s.Records), size(s.Bytes), times(s.From, s.To))
		for _, g := range s.Gaps {
			what := fmt.Sprintf("chunk %d", g.First)
			if g.Last > g.First {
				what = fmt.Sprintf("chunks %d to %d", g.First, g.Last)
			}
			printf(w, "  MISSING %s", what)
			if g.After != "" {
				printf(w, "\n    after %s", g.After)
			}
			if g.Before != "" {
				printf(w, "\n    before %s", g.Before)
			}
			printf(w, "\n")
		}
		for _, d := range s.Duplicates {
			printf(w, "  TWICE chunk %d\n", d.Chunk)
			for _, k := range d.Keys {
				printf(w, "    %s\n", k)
			}
		}
		for _, t := range s.Tombstones {
			lost := "its records are lost"
			if t.Arrived {
				lost = "its records arrived all the same"
			}
			printf(w, "  tombstone of chunk %d: %s; %s: %s\n", t.Chunk, t.Cause, lost, t.Key)
		}
		if s.State != nil {
			printf(w, "  agent: newest chunk %d, %d not confirmed yet\n", s.State.Newest, s.State.Waiting)
			if s.State.Unknown > 0 {
				printf(w, "  agent: the bucket is %d chunks ahead of it: its state is an older copy\n", s.State.Unknown)
			}
		}
	}
}

// times is a range for people, "" if it is not known.
func times(from, to time.Time) string {
	if from.IsZero() {
		return ""
	}
	return ", " + from.Format(time.RFC3339) + " to " + to.Format(time.RFC3339)
}
