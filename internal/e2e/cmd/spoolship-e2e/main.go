// Command spoolship-e2e drives the agent's binary from outside: a
// demonstration, crash trials and the benchmark. It talks to the agent only
// through its configuration, its files, its socket and the bucket.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/crash"
	"github.com/spoolship/spoolship/internal/e2e/demo"
)

const usage = `spoolship-e2e drives the spoolship binary from outside.

  spoolship-e2e demo    ship real logs, kill the agent, compare every line
  spoolship-e2e crash   random crashes, faults and rotations, many times over
  spoolship-e2e bench   measure speed, cost and latency
  spoolship-e2e compare measure the backfills against another commit

Each has its own -help. Exit codes: 0 ok, 1 a check failed, 2 usage.
`

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	commands := map[string]func(context.Context, []string) error{"demo": runDemo, "crash": runCrash, "bench": runBench, "compare": runCompare}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	err := commands[args[0]](ctx, args[1:])
	var bad *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &bad):
		fmt.Fprintf(os.Stderr, "spoolship-e2e: error: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "spoolship-e2e: error: %v\n", err)
	return exitFailed
}

// usageError is a mistake of the caller.
type usageError struct{ error }

func parse(f *flag.FlagSet, args []string) error {
	f.SetOutput(os.Stdout)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &usageError{err}
	}
	if f.NArg() > 0 {
		return &usageError{fmt.Errorf("%s takes no arguments, got %q", f.Name(), f.Arg(0))}
	}
	return nil
}

func runDemo(ctx context.Context, args []string) error {
	o := demo.Options{Out: os.Stdout}
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.StringVar(&o.Binary, "agent", "bin/spoolship", "the agent's binary")
	f.StringVar(&o.LogDir, "logs", "/var/log", "directory of real logs; they are copied first")
	f.DurationVar(&o.Duration, "duration", 16*time.Second, "length of the live part")
	f.Float64Var(&o.Rate, "rate", 4000, "live JSON lines per second")
	if err := parse(f, args); err != nil {
		return err
	}
	return demo.Run(ctx, o)
}

func runCrash(ctx context.Context, args []string) error {
	o := crash.Options{Out: os.Stdout}
	f := flag.NewFlagSet("crash", flag.ContinueOnError)
	f.StringVar(&o.Binary, "agent", "bin/spoolship-failpoint", "the agent's binary, built with -tags failpoint")
	f.StringVar(&o.Versitygw, "versitygw", "bin/versitygw", "the versitygw binary, for -store versitygw or both")
	f.StringVar(&o.Store, "store", "s3dev", "s3dev, versitygw, or both in turns")
	f.IntVar(&o.Trials, "n", 50, "number of trials")
	f.IntVar(&o.Only, "trial", 0, "run this trial of the seed alone")
	f.Uint64Var(&o.Seed, "seed", uint64(time.Now().Unix()), "seed of everything but the timing; default: the time")
	f.IntVar(&o.Parallel, "parallel", 2, "trials at once")
	if err := parse(f, args); err != nil {
		return err
	}
	if o.Store != "s3dev" && o.Store != "versitygw" && o.Store != "both" {
		return &usageError{fmt.Errorf("-store is %q, want s3dev, versitygw or both", o.Store)}
	}
	if o.Parallel < 1 {
		return &usageError{fmt.Errorf("-parallel is %d, want at least 1", o.Parallel)}
	}
	return crash.Run(ctx, o)
}
