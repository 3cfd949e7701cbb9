//go:build unix

// Command spoolship tails event log files, spools every line durably and
// ships the lines to Amazon S3, each exactly once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time_zone works where the system has no time zones

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
)

// version is set by the linker.
var version = "dev"

// Exit codes are API: scripts and units act on them.
const (
	exitOK        = 0
	exitFailure   = 1
	exitUsage     = 2  // wrong command line or configuration
	exitPartial   = 3  // some of it is done: rerun, or see what was reported
	exitVanished  = 4  // the state directory vanished: a restart would ship everything again
	exitTemporary = 75 // try again later (EX_TEMPFAIL of sysexits.h)
)

const exitHelp = `
Exit codes:
  0   done
  1   failed
  2   the command line or the configuration is wrong
  3   done in part: damage was found, or a run was stopped before all was shipped
  4   the state directory vanished while the agent ran: the unit starts no other
  75  try again later: it took longer than --timeout, another process has the state directory, or no agent answers
`

func main() { os.Exit(run(os.Args[1:])) }

// run is main with an exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once; that is safe
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code, hint := classify(err)
	printError(os.Stderr, err, hint)
	return code
}

// exitError is an error with an exit code and advice of its own.
type exitError struct {
	err  error
	code int
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// classify gives the exit code and the advice that an error calls for.
func classify(err error) (code int, hint string) {
	var own *exitError
	var problems config.Problems
	var locked *spool.LockedError
	switch {
	case errors.As(err, &own):
		return own.code, own.hint
	case errors.As(err, &problems):
		return exitUsage, ""
	case errors.As(err, &locked):
		return exitTemporary, "stop that process, or give this one a state_dir of its own"
	case errors.Is(err, spool.ErrVanished):
		return exitVanished, "put the directory back, or mount it again, and start the agent; without it the files are read anew, by start_at, and what was shipped is shipped again"
	case errors.Is(err, agent.ErrIncomplete):
		return exitPartial, "run it again to ship the rest"
	case errors.Is(err, agent.ErrUnread):
		return exitPartial, "let this user read them (spoolship check lists them), and run it again"
	}
	return exitFailure, stateHint(err)
}

// stateHint is what can be done about errors of the state directory.
func stateHint(err error) string {
	switch {
	case errors.Is(err, spool.ErrNoSpool):
		return "the agent has not run yet, or [agent] state_dir is another directory"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, spool.ErrFull):
		return "free space on that disk, or set [agent] state_dir to a directory on another one"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this user needs to own [agent] state_dir: " + ownerHint(err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return "set [agent] state_dir to a directory that this user can write"
	}
	return ""
}

// usage marks an error as one of the command line.
func usage(err error) error {
	return &exitError{err: err, code: exitUsage, hint: "see spoolship --help"}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "spoolship",
		Short: "Ship every line of event log files to S3, each exactly once",
		Long: `Spoolship tails event log files, spools every line durably on disk and ships
the lines to Amazon S3 as compressed NDJSON objects: each line exactly once,
through crashes, rotations and outages.
` + exitHelp,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q", args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringP("config", "c", "/etc/spoolship/spoolship.toml", "configuration file")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(newRun(), newCheck(), newStatus(), newReload(), newFlush(), newPause(true), newPause(false), newSpool(), newAudit(), newCat(), newPolicy(), newVersion(), newGenerate())
	return root
}

// noArgs refuses arguments with the exit code of wrong usage.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("unexpected argument %q", args[0]))
	}
	return nil
}

// load reads the configuration that --config names.
func load(cmd *cobra.Command) (*config.Config, []config.Warning, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, nil, err
	}
	c, warnings, err := config.Load(path, os.LookupEnv)
	if err != nil {
		return nil, warnings, err
	}
	if problems := agent.CheckKeys(c); len(problems) > 0 {
		return nil, warnings, problems
	}
	return c, warnings, nil
}

// loadLoud is load for the commands that should print warnings: those that
// start the agent or check its configuration.
func loadLoud(cmd *cobra.Command) (*config.Config, error) {
	c, warnings, err := load(cmd)
	for _, w := range warnings {
		printf(cmd.ErrOrStderr(), "spoolship: warning: %s\n", w)
	}
	return c, err
}
