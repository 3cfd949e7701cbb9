//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent"
)

func newStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the running agent is doing",
		Long:  "Status asks the running agent over its socket. It exits 0 if the agent is healthy, 1 if not.\n" + exitHelp,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			var st agent.Status
			err = c.get(cmd.Context(), "/status", &st)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				err = enc.Encode(st)
			} else {
				err = printStatus(cmd.OutOrStdout(), &st)
			}
			if err == nil && !st.Healthy {
				return &exitError{err: errors.New("the agent is not healthy"), code: exitFailure}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// printStatus is the screen of status: health first.
func printStatus(w io.Writer, st *agent.Status) error {
	printHealth(w, st)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nagent\t%s, pid %d, up %s, host %s, queue %s\n", st.Version, st.PID, since(st.Started), st.Host, st.Queue)
	fmt.Fprintf(t, "lag\t%s in files, not yet spooled\n", size(st.LagBytes))
	fmt.Fprintf(t, "backlog\t%s of %s, not yet in the bucket: %d sealed and %d open chunks", size(st.BacklogBytes), size(st.MaxSize), st.SealedChunks, st.OpenChunks)
	if !st.OldestChunk.IsZero() {
		fmt.Fprintf(t, ", the oldest %s old", since(st.OldestChunk))
	}
	fmt.Fprintf(t, "\ndisk\t%s in %d segments", size(st.DiskBytes), st.Segments)
	if st.Uploads.Rebuilt > 0 {
		fmt.Fprintf(t, ", %d damaged blocks rebuilt", st.Uploads.Rebuilt)
	}
	if st.Quarantined > 0 {
		fmt.Fprintf(t, ", %d chunks in quarantine", st.Quarantined)
	}
	if st.DroppedChunks > 0 {
		fmt.Fprintf(t, "\ndropped\t%s chunks of %s records (%s) to make room, since the spool was made", humanize.Comma(st.DroppedChunks),
			humanize.Comma(st.DroppedRecords), size(st.DroppedBytes))
	}
	fmt.Fprintf(t, "\nuploads\t%s objects, %s records, %s as %s, %s failed attempts\n", humanize.Comma(st.Uploads.Objects),
		humanize.Comma(st.Uploads.Records), size(st.Uploads.RawBytes), size(st.Uploads.Bytes), humanize.Comma(st.Uploads.Failures))
	if st.Uploads.LastTime.IsZero() {
		fmt.Fprintf(t, "last upload\tnone since the start\n")
	} else {
		fmt.Fprintf(t, "last upload\t%s ago: s3://%s/%s\n", since(st.Uploads.LastTime), st.Bucket, st.Uploads.LastKey)
	}
	fmt.Fprintf(t, "\ninput\tfiles\topen\tignored\tlag\tspooled\trecords\tinvalid\trotations\ttruncations\tlost\n")
	for _, in := range st.Inputs {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", in.Name, in.Files, in.Open, in.Ignored, size(in.LagBytes), size(in.Bytes),
			humanize.Comma(in.Records), humanize.Comma(in.Invalid), in.Rotations, in.Truncations, size(in.LostBytes))
	}
	if len(st.Losses) > 0 {
		fmt.Fprintf(t, "\ndropped since the start\trecords\tbytes\n")
	}
	for _, l := range st.Losses {
		fmt.Fprintf(t, "%s: %s\t%s\t%s\n", l.Input, l.Path, humanize.Comma(l.Records), size(l.Bytes))
	}
	return t.Flush()
}

func printHealth(w io.Writer, st *agent.Status) {
	switch {
	case !st.Healthy:
		fmt.Fprintln(w, "health: NOT OK")
	case !st.Following:
		fmt.Fprintln(w, "health: starting, files are being looked for")
	default:
		fmt.Fprintln(w, "health: ok")
	}
	for _, p := range st.Problems {
		fmt.Fprintf(w, "  %s, %d times in %s: %s\n", p.Cause, p.Count, since(p.Since), p.Error)
		if p.Hint != "" {
			fmt.Fprintf(w, "    fix: %s\n", p.Hint)
		}
	}
	if len(st.NeedsRestart) > 0 {
		fmt.Fprintf(w, "  changed, and waiting for a restart: %s\n", strings.Join(st.NeedsRestart, ", "))
	}
	for _, in := range st.Inputs {
		if !in.Paused.IsZero() {
			fmt.Fprintf(w, "  input %s is paused since %s\n    go on: spoolship resume %s\n", in.Name, in.Paused.Format(time.DateTime), in.Name)
		}
		for _, e := range in.Errors {
			fmt.Fprintf(w, "  input %s, %s: %s\n    fix: %s\n", in.Name, e.Path, e.Problem, e.Hint)
		}
	}
}

// since prints how long ago t was.
func since(t time.Time) string { return max(0, time.Since(t)).Round(time.Second).String() }
