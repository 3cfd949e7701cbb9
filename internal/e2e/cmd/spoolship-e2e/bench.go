package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoolship/spoolship/internal/e2e/bench"
)

// sizeFlag is a number of bytes on the command line.
type sizeFlag struct{ n *int64 }

func (s sizeFlag) String() string {
	if s.n == nil {
		return ""
	}
	return humanize.IBytes(uint64(*s.n))
}

func (s sizeFlag) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n < 1<<20 {
		return fmt.Errorf("want at least 1MiB")
	}
	*s.n = int64(n)
	return nil
}

// quick is what -quick sets: enough to see that every part works, too little
// for figures.
func quick(o *bench.Options) {
	o.Size, o.Runs, o.Latency, o.Idle, o.Files = 64<<20, 1, 6*time.Second, 4*time.Second, 1000
	o.Hot, o.Outage, o.Open = 3*time.Second, 256<<20, 128<<20
}

func benchOptions() bench.Options {
	return bench.Options{
		Out: os.Stdout, Dir: os.TempDir(), Binary: "bin/spoolship", Size: 1 << 30, Runs: 5,
		Latency: time.Minute, Idle: 30 * time.Second, Files: 10000, Hot: 15 * time.Second, Outage: 2 << 30, Open: 2 << 30,
	}
}

// common are the flags that bench and compare share.
func common(f *flag.FlagSet, o *bench.Options) {
	f.StringVar(&o.Binary, "agent", o.Binary, "the agent's binary")
	f.StringVar(&o.Dir, "dir", o.Dir, "directory on a real disk for data and spool")
	f.Var(sizeFlag{&o.Size}, "size", "size of each data file of the backfills")
	f.IntVar(&o.Runs, "runs", o.Runs, "runs of each backfill; medians are reported")
	f.StringVar(&o.JSON, "json", "", "write the figures to this file, too")
}

func runBench(ctx context.Context, args []string) error {
	o := benchOptions()
	if slices.Contains(args, "-quick") || slices.Contains(args, "--quick") {
		quick(&o) // first: other flags go before it
	}
	names := bench.PartNames()
	usual := strings.Join(names[:len(names)-1], ",") // all but growth
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	common(f, &o)
	f.Bool("quick", false, "small sizes and short times: a test of the benchmark, no figures")
	list := f.String("parts", usual, "what to measure: all, or some of "+strings.Join(names, ","))
	f.DurationVar(&o.Latency, "latency", o.Latency, "length of part latency")
	f.DurationVar(&o.Idle, "idle", o.Idle, "how long CPU is taken of an idle agent")
	f.IntVar(&o.Files, "files", o.Files, "files that it watches")
	f.BoolVar(&o.Later, "later", o.Later, "look at its descriptors again after close_inactive: a minute more")
	f.DurationVar(&o.Hot, "hot", o.Hot, "length of part hot")
	f.Var(sizeFlag{&o.Outage}, "outage", "input that is spooled while S3 is down")
	f.Var(sizeFlag{&o.Open}, "open", "size of the spool that is opened")
	f.StringVar(&o.Markdown, "markdown", "", "replace the tables between the marks in this file")
	f.StringVar(&o.SVG, "svg", "", "draw the growth curves into this directory")
	if err := parse(f, args); err != nil {
		return err
	}
	if *list == "all" {
		*list = strings.Join(names, ",")
	}
	o.Parts = strings.Split(*list, ",")
	for _, p := range o.Parts {
		if !slices.Contains(names, p) {
			return &usageError{fmt.Errorf("-parts has %q, want some of %s", p, strings.Join(names, ","))}
		}
	}
	if o.Runs < 1 || o.Files < 100 {
		return &usageError{fmt.Errorf("-runs is %d and -files is %d, want at least 1 and 100", o.Runs, o.Files)}
	}
	return bench.Run(ctx, o)
}

func runCompare(ctx context.Context, args []string) error {
	o := benchOptions()
	o.Size, o.Runs = 512<<20, 5
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	common(f, &o)
	base := f.String("base", "HEAD", "git revision to compare with")
	if err := parse(f, args); err != nil {
		return err
	}
	if o.Runs < 1 {
		return &usageError{fmt.Errorf("-runs is %d, want at least 1", o.Runs)}
	}
	return bench.Compare(ctx, o, *base)
}
