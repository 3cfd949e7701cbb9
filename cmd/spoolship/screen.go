//go:build unix

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/chunk"
)

// printStatus prints the screen of status at the time now: health first.
func printStatus(w io.Writer, st *agent.Status, now time.Time) error {
	printHealth(w, st, now)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "\nagent\t%s, pid %d, up %s, host %s, queue %s\n", st.Version, st.PID, span(now.Sub(st.Started)), st.Host, st.Queue)
	printf(t, "files\t%s\n", filesLine(st, now))
	printf(t, "backlog\t%s\n", backlogLine(st, now))
	printf(t, "disk\t%s in %d segments", size(st.DiskBytes), st.Segments)
	if st.FreeBytes >= 0 {
		printf(t, ", %s free", size(st.FreeBytes))
	}
	printf(t, "\nuploads\t%s objects, %s records, %s as %s, %s failed attempts\n", humanize.Comma(st.Uploads.Objects),
		humanize.Comma(st.Uploads.Records), size(st.Uploads.RawBytes), size(st.Uploads.Bytes), humanize.Comma(st.Uploads.Failures))
	if st.Uploads.LastTime.IsZero() {
		printf(t, "last upload\tnone since the start\n")
	} else {
		printf(t, "last upload\t%s ago: s3://%s/%s\n", span(now.Sub(st.Uploads.LastTime)), st.Bucket, st.Uploads.LastKey)
	}
	for i, loss := range losses(st) {
		printf(t, "%s\t%s\n", []string{"losses", ""}[min(i, 1)], loss)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	printf(t, "\ninput\tfiles\topen\tignored\tbehind\tfor\tspooled\trecords\tinvalid\trotations\ttruncations\tlost\n")
	for _, in := range st.Inputs {
		printf(t, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", in.Name, in.Files, in.Open, in.Ignored, size(in.LagBytes),
			age(in.LagSince, now), size(in.Bytes), humanize.Comma(in.Records), humanize.Comma(in.Invalid), in.Rotations, in.Truncations, size(in.LostBytes))
	}
	return t.Flush()
}

// printHealth says how the agent is in the first line, with cause and fix, and
// what else wants a look in lines below it.
func printHealth(w io.Writer, st *agent.Status, now time.Time) {
	notes := notes(st, now)
	switch {
	case len(notes) == 0 && st.State == agent.StateStarting:
		notes = []string{"files are being looked for"}
		fallthrough
	case len(notes) > 0 && st.State != agent.StateOK:
		printf(w, "%s: %s\n", st.State, notes[0])
	case len(notes) > 0:
		printf(w, "%s, but %s\n", st.State, notes[0])
	default:
		printf(w, "%s\n", st.State)
	}
	for _, n := range notes[min(1, len(notes)):] {
		printf(w, "  also: %s\n", n)
	}
}

// notes are what an operator should know, each with its fix: what is wrong
// first.
func notes(st *agent.Status, now time.Time) []string {
	var list []string
	add := func(what, fix string) {
		if fix != "" {
			what += " — fix: " + oneLine(fix)
		}
		list = append(list, what)
	}
	for _, p := range st.Problems {
		what := p.Title() + ": " + oneLine(p.Error)
		if p.Count > 1 {
			what += fmt.Sprintf(" (%s times in %s)", humanize.Comma(p.Count), span(now.Sub(p.Since)))
		}
		add(what, p.Hint)
	}
	for _, in := range st.Inputs {
		if !in.Paused.IsZero() {
			add(fmt.Sprintf("input %s is paused for %s", in.Name, span(now.Sub(in.Paused))), "spoolship resume "+in.Name)
		}
		if in.Untimed > 0 {
			add(fmt.Sprintf("input %s: %s of %s records have no time that can be read in time_field; their keys have the time they were read",
				in.Name, humanize.Comma(in.Untimed), humanize.Comma(in.Records)), "check time_field and time_format of the input")
		}
		if in.Overflow > 0 {
			add(fmt.Sprintf("input %s: %s of %s records would have begun too many partitions; their keys have the time they were read, and %s for files and fields",
				in.Name, humanize.Comma(in.Overflow), humanize.Comma(in.Records), chunk.NoValue), "take fields of few values for key, or raise [chunk] max_new")
		}
		for _, e := range in.Errors {
			add(fmt.Sprintf("input %s, %s: %s", in.Name, e.Path, oneLine(e.Problem)), e.Hint)
		}
		if in.MoreErrors > 0 {
			add(fmt.Sprintf("input %s: %s more files can't be read", in.Name, humanize.Comma(int64(in.MoreErrors))), "")
		}
	}
	if st.BadPositions > 0 {
		add(fmt.Sprintf("the positions of %d files can't be read, so these files were read from their start", st.BadPositions), "look for the error in the log; restore the state directory if it comes back")
	}
	for i := range st.Overlaps {
		add(st.Overlaps[i].What(), st.Overlaps[i].Fix())
	}
	if len(st.NeedsRestart) > 0 {
		add("changed, and waiting for a restart: "+strings.Join(st.NeedsRestart, ", "), "systemctl restart spoolship")
	}
	return list
}

func filesLine(st *agent.Status, now time.Time) string {
	files, since := 0, time.Time{}
	for _, in := range st.Inputs {
		files += in.Files
		if t := in.LagSince; !t.IsZero() && (since.IsZero() || t.Before(since)) {
			since = t
		}
	}
	text := fmt.Sprintf("%s followed, %s in them not spooled yet", humanize.Comma(int64(files)), size(st.LagBytes))
	if !since.IsZero() && st.LagBytes > 0 {
		text += ", for " + span(now.Sub(since))
	}
	return text
}

func backlogLine(st *agent.Status, now time.Time) string {
	text := fmt.Sprintf("%s not in the bucket yet, %s of %s on disk: %d sealed and %d open chunks", size(st.BacklogBytes), size(st.TakenBytes), size(st.MaxSize), st.SealedChunks, st.OpenChunks)
	if !st.OldestChunk.IsZero() {
		text += ", the oldest " + span(now.Sub(st.OldestChunk)) + " old"
	}
	switch {
	case st.RoomBytes == 0, !st.FullAt.IsZero() && !st.FullAt.After(now):
		text += "; full"
	case !st.FullAt.IsZero():
		text += fmt.Sprintf("; full in %s at this rate (%s/s)", span(st.FullAt.Sub(now)), size(st.BacklogGrowth))
	}
	return text
}

// losses are a line for each reason of a loss.
func losses(st *agent.Status) []string {
	var list []string
	for _, in := range st.Inputs {
		if in.LostBytes > 0 {
			list = append(list, fmt.Sprintf("destroyed before they could be read: %s of input %s", size(in.LostBytes), in.Name))
		}
	}
	if st.DroppedChunks > 0 {
		list = append(list, fmt.Sprintf("dropped to make room, since the spool was made: %s chunks of %s records (%s)", humanize.Comma(st.DroppedChunks),
			humanize.Comma(st.DroppedRecords), size(st.DroppedBytes)))
	}
	for _, l := range st.Losses {
		list = append(list, fmt.Sprintf("dropped since the start: %s records (%s) of %s, input %s", humanize.Comma(l.Records), size(l.Bytes), l.Path, l.Input))
	}
	if st.Quarantined > 0 {
		list = append(list, fmt.Sprintf("damaged, set aside in quarantine: %s chunks", humanize.Comma(st.Quarantined)))
	}
	if st.Uploads.Rebuilt > 0 {
		list = append(list, fmt.Sprintf("damaged, and restored from their files: %s blocks", humanize.Comma(st.Uploads.Rebuilt)))
	}
	if len(list) == 0 {
		return []string{"none"}
	}
	return list
}

// age is how long ago t was; zero is never.
func age(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t))
}

// span prints a duration for people: two units at most.
func span(d time.Duration) string {
	s := int64(max(0, d.Round(time.Second)) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 600 && s%60 != 0:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 24*3600:
		return strings.TrimSuffix(fmt.Sprintf("%d h %d min", s/3600, s/60%60), " 0 min")
	}
	return strings.TrimSuffix(fmt.Sprintf("%d d %d h", s/86400, s/3600%24), " 0 h")
}
