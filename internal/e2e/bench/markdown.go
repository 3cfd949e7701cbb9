package bench

import (
	"fmt"
	"os"
	"strings"
)

// sections are the generated parts of the performance page, by name. What was
// not measured is left out, and stays as it is in the file.
func (r *Report) sections() map[string]string {
	all := map[string]string{}
	if len(r.Goals) > 0 {
		t := [][]string{goalHead}
		for i := range r.Goals {
			t = append(t, r.rowOf(&r.Goals[i]))
		}
		all["goals"] = r.about() + "\n\n" + markdownTable(t)
	}
	if len(r.Backfill) > 0 {
		all["backfill"] = fmt.Sprintf("Medians of %d runs over %.2f GiB, load average before them %s.\n\n",
			r.Runs, float64(r.Bytes)/(1<<30), r.Load["backfill"]) + markdownTable(r.backfillRows())
	}
	if len(r.Backfill) == len(rows) {
		all["bounds"] = markdownTable(r.bounds())
	}
	if len(r.Growth) > 0 {
		all["growth"] = fmt.Sprintf("%s; load average before %s.\n\n", r.Date.Format("2006-01-02"), r.Load["growth"]) + markdownTable(r.curveRows())
	}
	return all
}

// bounds splits the CPU time of a JSON backfill by what was measured: the
// compressor alone, what validation adds, and the rest.
func (r *Report) bounds() [][]string {
	full, off := r.Backfill[0], r.Backfill[1]
	own := r.Limits[full.Limit].CPU
	share := func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v/full.CPU) }
	return [][]string{
		{"JSON, gzip, full validation", "CPU-s/GiB", "share"},
		{"the compressor (as measured alone)", f2(own), share(own)},
		{"validation (full less off)", f2(full.CPU - off.CPU), share(full.CPU - off.CPU)},
		{"everything else (off less the compressor)", f2(off.CPU - own), share(off.CPU - own)},
		{"together", f2(full.CPU), "100 %"},
	}
}

// about says where and when.
func (r *Report) about() string {
	return fmt.Sprintf("Measured %s with %s on %s, %d cores, Linux %s. “load” is the load average over the minute before each part.",
		r.Date.Format("2006-01-02 15:04 UTC"), r.Agent, r.CPU, r.Cores, r.Kernel)
}

func markdownTable(all [][]string) string {
	var t strings.Builder
	line := func(cells []string) { t.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(all[0])
	t.WriteString("|" + strings.Repeat("---|", len(all[0])) + "\n")
	for _, cells := range all[1:] {
		line(cells)
	}
	return t.String()
}

// updateMarkdown replaces, in a file, what stands between the marks
// "<!-- bench:NAME -->" and "<!-- /bench:NAME -->" of each section. A section
// without marks is an error: its figures would be lost.
func updateMarkdown(path string, sections map[string]string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(b)
	for name, body := range sections {
		begin, end := "<!-- bench:"+name+" -->\n", "<!-- /bench:"+name+" -->"
		head, rest, found := strings.Cut(text, begin)
		_, tail, closed := strings.Cut(rest, end)
		if !found || !closed {
			return fmt.Errorf("%s: the marks %s and %s are not there", path, strings.TrimSpace(begin), end)
		}
		text = head + begin + body + end + tail
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
