//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent/audit"
	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/printable"
)

// selection is which records are wanted.
type selection struct {
	inputs, hosts []string  // none: all
	since, until  time.Time // zero: from the first, to the last
	grep          *regexp.Regexp
	printable     bool // escape what a terminal would act on
}

func newCat() *cobra.Command {
	var b bucketFlags
	var s selection
	var since, until, grep string
	var raw bool
	cmd := &cobra.Command{
		Use:   "cat [s3://BUCKET/PREFIX]",
		Short: "Print the records of a bucket in the order in which they were spooled",
		Long: `Cat prints the records of one input and queue after those of the other, each in
the order in which they were spooled, which is that of their files. It selects
objects by what their keys say, so --since and --until are as fine as the keys:
with the default template an hour, of which all records are printed. --grep
looks at each record.

On a terminal, control characters and what else can't be seen in a record are
shown as \uXXXX, so that a log line can't act on the terminal; --raw prints the
bytes as they are, as everywhere else.

Tombstones are reported, since their records are lost. Whether all chunks are
there is what spoolship audit says.
` + bucketHelp + exitHelp,
		Example: `  spoolship cat --input app --since 2h
  spoolship cat s3://my-events/events --since 2026-11-25T09:00:00Z --until 2026-11-25T12:00:00Z --grep '"level":"error"'`,
		Args: onlyPath,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			now := time.Now()
			if s.since, err = instant("since", since, now); err != nil {
				return err
			}
			if s.until, err = instant("until", until, now); err != nil {
				return err
			}
			if what, hint := config.ExpressionFault(grep); what != "" {
				return &exitError{err: errors.New("--grep: " + what), code: exitUsage, hint: hint}
			}
			s.grep = regexp.MustCompile(grep)
			s.printable = !raw && isTerminal(cmd.OutOrStdout())
			src, err := b.open(cmd, args)
			if err != nil {
				return err
			}
			defer src.Close()
			objects, foreign, err := src.sorted(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return readError(err)
			}
			objects, err = s.pick(src, objects, foreign)
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
			err = s.print(cmd.Context(), src, objects, out, cmd.ErrOrStderr())
			return errors.Join(readError(err), out.Flush())
		},
	}
	b.add(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&s.inputs, "input", nil, "only of this input; may be given several times")
	f.StringSliceVar(&s.hosts, "host", nil, "only of this host; may be given several times")
	f.StringVar(&since, "since", "", "only of keys that end after this `TIME`: RFC 3339, or how long ago, like 90m")
	f.StringVar(&until, "until", "", "only of keys that begin before this `TIME`")
	f.StringVar(&grep, "grep", "", "only records that this regular expression matches")
	f.BoolVar(&raw, "raw", false, "print the bytes as they are on a terminal, too")
	return cmd
}

// instant reads a time, or a duration before now.
func instant(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("--%s: %q is no time; write it like 2026-11-25T09:00:00Z, 2026-11-25 (UTC), or 90m for 90 minutes ago", flag, s))
}

// wants says whether records of an object can be among those selected.
func (s *selection) wants(o *audit.Object) bool {
	switch {
	case len(s.inputs) > 0 && !slices.Contains(s.inputs, o.Input), len(s.hosts) > 0 && !slices.Contains(s.hosts, o.Host):
		return false
	case o.From.IsZero(): // the key does not say when
		return true
	}
	return (s.since.IsZero() || o.To.After(s.since)) && (s.until.IsZero() || o.From.Before(s.until))
}

// pick returns the objects that are wanted. That there is none is an error.
func (s *selection) pick(src *source, objects []audit.Object, foreign int64) ([]audit.Object, error) {
	if len(objects) == 0 {
		return nil, noChunks(src, foreign, 0)
	}
	inputs, hosts := map[string]bool{}, map[string]bool{}
	var wanted []audit.Object
	for i := range objects {
		o := &objects[i]
		inputs[o.Input], hosts[o.Host] = true, true
		if s.wants(o) {
			wanted = append(wanted, *o)
		}
	}
	if wanted == nil {
		return nil, &exitError{
			err: fmt.Errorf("none of the %d objects in %s is selected", len(objects), src), code: exitFailure,
			hint: fmt.Sprintf("by their keys they are of the inputs %q and the hosts %q", slices.Sorted(maps.Keys(inputs)), slices.Sorted(maps.Keys(hosts))),
		}
	}
	return wanted, nil
}

// print writes the records of objects.
func (s *selection) print(ctx context.Context, src *source, objects []audit.Object, out, stderr io.Writer) error {
	for i := range objects {
		if o := &objects[i]; o.Cause != "" {
			printf(stderr, "spoolship: warning: chunk %d of input %s is lost: %s: %s\n", o.Chunk, o.Input, o.Cause, o.Name)
		} else if err := s.printObject(ctx, src, o, out); err != nil {
			return err
		}
	}
	return nil
}

// printObject writes the records of one object.
func (s *selection) printObject(ctx context.Context, src *source, o *audit.Object, out io.Writer) error {
	stored, err := src.Get(ctx, o.Name, o.Size)
	if err != nil {
		return err
	}
	defer stored.Body.Close()
	records, err := chunk.Open(stored.Body)
	if err == nil {
		defer records.Close()
		err = s.filter(out, records)
	}
	if err != nil && !isReadError(err) {
		err = fmt.Errorf("%s: %w", o.Name, err)
	}
	return err
}

// filter copies the records that match.
func (s *selection) filter(out io.Writer, records io.Reader) error {
	if s.grep.String() == "" && !s.printable {
		_, err := io.Copy(out, records)
		return err
	}
	var safe []byte
	for record, err := range chunk.Records(records) {
		if err != nil {
			return err
		}
		if !s.grep.Match(bytes.TrimSuffix(record, []byte{'\n'})) {
			continue
		}
		if s.printable {
			safe = printable.JSON(safe[:0], record)
			record = safe
		}
		if _, err := out.Write(record); err != nil {
			return err
		}
	}
	return nil
}
