package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Comparison is one row of two binaries: medians, and what the new one has of
// the base.
type Comparison struct {
	Base  Backfill           `json:"base"`
	New   Backfill           `json:"new"`
	Ratio map[string]float64 `json:"ratio"` // new to base, by figure
}

// Compare builds the agent of a git revision and backfills with both binaries
// in turns. It is run inside the repository.
func Compare(ctx context.Context, o Options, revision string) error {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.warn()
	b.say("load average %s", load())
	base, err := b.build(ctx, revision)
	if err != nil {
		return err
	}
	if err := b.generate(); err != nil {
		return err
	}
	runs, err := b.paired(ctx, base)
	if err != nil {
		return err
	}
	return b.compared(revision, runs)
}

// build makes the agent of a revision in a worktree that is removed again.
func (b *bench) build(ctx context.Context, revision string) (string, error) {
	tree, binary := filepath.Join(b.dir, "base"), filepath.Join(b.dir, "spoolship-base")
	if err := tool(ctx, "", "git", "worktree", "add", "--detach", tree, revision); err != nil {
		return "", err
	}
	defer tool(context.WithoutCancel(ctx), "", "git", "worktree", "remove", "--force", tree) // else git prunes it later
	return binary, tool(ctx, tree, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/spoolship")
}

func tool(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// paired runs every row with both binaries, the first one changing from round
// to round. The result is by row, then base and new.
func (b *bench) paired(ctx context.Context, base string) ([][2][]Backfill, error) {
	binaries := [2]string{base, b.o.Binary}
	runs := make([][2][]Backfill, len(rows))
	for n := range b.o.Runs {
		for i, r := range rows {
			for k := range binaries {
				which := (k + n) % 2
				m, err := b.agent(ctx, binaries[which], r)
				if err != nil {
					return nil, fmt.Errorf("%s with %s: %w", r.name, binaries[which], err)
				}
				runs[i][which] = append(runs[i][which], m)
			}
			b.say("run %d  %-28s base %7.1f MB/s, new %7.1f", n+1, r.name, runs[i][0][n].Speed, runs[i][1][n].Speed)
		}
	}
	return runs, nil
}

// compared prints and saves medians and ratios.
func (b *bench) compared(revision string, runs [][2][]Backfill) error {
	figure := []struct {
		name string
		of   func(Backfill) float64
	}{
		{"MB/s", func(m Backfill) float64 { return m.Speed }},
		{"CPU-s/GiB", func(m Backfill) float64 { return m.CPU }},
		{"anonymous MiB", func(m Backfill) float64 { return m.Anon }},
		{"written/compressed", func(m Backfill) float64 { w, _ := m.Written(); return w }},
	}
	table := [][]string{{"", "figure", "base " + revision, "new", "new/base", "pairs"}}
	var all []Comparison
	for _, r := range runs {
		c := Comparison{Base: medianBackfill(r[0]), New: medianBackfill(r[1]), Ratio: map[string]float64{}}
		for _, f := range figure {
			ratios := make([]float64, len(r[0]))
			for n := range ratios {
				ratios[n] = f.of(r[1][n]) / f.of(r[0][n])
			}
			c.Ratio[f.name] = median(ratios, func(v float64) float64 { return v })
			table = append(table, []string{c.New.Name, f.name, f2(f.of(c.Base)), f2(f.of(c.New)), f2(c.Ratio[f.name]), fmt.Sprintf("%.2f", ratios)})
		}
		all = append(all, c)
	}
	b.say("\nbackfills of %.2f GiB, medians of %d pairs; the ratio is the median of the pairs' ratios", float64(b.o.Size)/(1<<30), b.o.Runs)
	b.columns(table)
	b.say("load average now %s", load())
	if b.o.JSON == "" {
		return nil
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(b.o.JSON), append(data, '\n'), 0o644)
}
