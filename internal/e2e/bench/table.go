package bench

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// verdict of a goal.
func (g *Goal) verdict() string {
	if g.Reached {
		return "reached"
	}
	return "MISSED"
}

// value prints a figure with three digits or so.
func value(v float64, unit string) string {
	digits := 2
	switch {
	case unit == "" || v >= 100:
		digits = 0
	case v >= 10:
		digits = 1
	}
	s := fmt.Sprintf("%.*f", digits, v)
	if unit == "" {
		return s
	}
	return s + " " + unit
}

// bound prints what is asked for.
func (g *Goal) bound() string {
	sign := "≤ "
	if g.AtLeast {
		sign = "≥ "
	}
	return sign + strings.TrimSpace(fmt.Sprintf("%g %s", g.Bound, g.Unit))
}

// rowOf is a table's row of a goal.
func (r *Report) rowOf(g *Goal) []string {
	load, _, _ := strings.Cut(r.Load[g.Part], " ")
	return []string{g.Work, g.What, value(g.Value, g.Unit), g.bound(), g.verdict(), load, g.Note}
}

var goalHead = []string{"work", "figure", "measured", "goal", "", "load", "in detail"}

// backfillRows are the plain figures of the backfills and of their limits.
func (r *Report) backfillRows() [][]string {
	all := [][]string{{"", "MB/s of input", "MB/s of records", "CPU-s/GiB of records", "peak RSS MiB", "anonymous MiB", "ratio", "objects"}}
	for _, m := range r.Backfill {
		all = append(all, []string{m.Name, f1(m.Speed), f1(m.Records), f2(m.CPU), f1(m.RSS), f1(m.Anon), f2(m.Ratio), f1(m.Objects)})
	}
	for _, name := range limitNames() {
		if l, ok := r.Limits[name]; ok {
			all = append(all, []string{name, "", f1(l.Speed), f2(l.CPU), "", "", "", ""})
		}
	}
	return all
}

func f1(v float64) string { return fmt.Sprintf("%.1f", v) }
func f2(v float64) string { return fmt.Sprintf("%.2f", v) }

// curveRows are the points of all growth curves.
func (r *Report) curveRows() [][]string {
	all := [][]string{{"growing", "", "MB/s", "CPU-s/GiB"}}
	for _, c := range r.Growth {
		for _, p := range c.Points {
			all = append(all, []string{c.Axis, p.Label, f1(p.Speed), f2(p.CPU)})
		}
	}
	return all
}

// table prints the report.
func (b *bench) table() {
	r := &b.report
	if len(r.Backfill) > 0 {
		b.say("\nbackfills of %.2f GiB, %d cores, medians of %d runs, fsync on, discarding S3", float64(r.Bytes)/(1<<30), r.Cores, r.Runs)
		b.columns(r.backfillRows())
	}
	if len(r.Growth) > 0 {
		b.say("\nhow cost grows")
		b.columns(r.curveRows())
	}
	if len(r.Goals) > 0 {
		b.say("\ngoals (load: the load average over a minute before the part)")
		all, missed := [][]string{goalHead}, 0
		for i := range r.Goals {
			all = append(all, r.rowOf(&r.Goals[i]))
			if !r.Goals[i].Reached {
				missed++
			}
		}
		b.columns(all)
		b.say("%d of %d goals reached, load average now %s", len(r.Goals)-missed, len(r.Goals), load())
	}
}

func (b *bench) columns(all [][]string) {
	w := tabwriter.NewWriter(b.o.Out, 0, 0, 2, ' ', 0)
	for _, cells := range all {
		fmt.Fprintln(w, "  "+strings.Join(cells, "\t"))
	}
	w.Flush()
}
