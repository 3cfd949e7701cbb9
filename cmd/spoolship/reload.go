//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink/s3"
)

func newReload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running agent read its configuration again",
		Long: `Reload has the running agent read its configuration again, as SIGHUP and
systemctl reload do, and says what has changed. Inputs, [chunk], [s3], [spool]
and most of [agent] change without a line being lost or read twice. What needs
a restart is named: state_dir, max_procs and [telemetry].

A configuration with mistakes is refused: the agent goes on with the one it
has, and says so in status and log.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := cmd.Flags().GetString("config")
			if err != nil {
				return err
			}
			c, _, wrong := config.Load(path, os.LookupEnv)
			var change agent.Change
			err = newClient(c).post(cmd.Context(), "/reload", &change)
			switch {
			case errors.Is(err, errNoAgent) && wrong != nil:
				return wrong
			case err != nil:
				return err // of a wrong configuration: with the same words, and now in status, too
			}
			printChange(cmd.OutOrStdout(), &change)
			return nil
		},
	}
}

func printChange(w io.Writer, change *agent.Change) {
	if len(change.Changed) == 0 {
		printf(w, "nothing has changed\n")
	}
	for _, key := range change.Changed {
		if slices.Contains(change.Restart, key) {
			key += ": needs a restart"
		}
		printf(w, "%s\n", key)
	}
	for i := range change.Overlaps {
		printRisk(w, change.Overlaps[i].What(), change.Overlaps[i].Fix())
	}
}

// reloader puts changed configurations to work, one at a time.
type reloader struct {
	path  string
	log   *slog.Logger
	level *slog.LevelVar
	agent *agent.Agent
	told  *notifier

	mu   sync.Mutex
	cfg  *config.Config // that was loaded last
	dest *s3.Sink       // of cfg
}

// listen reloads at each SIGHUP until the returned function is called.
func (r *reloader) listen(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	asked, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(asked, syscall.SIGHUP)
	go func() {
		defer close(done)
		for {
			select {
			case <-asked:
				_, _ = r.reload(ctx) // it is in the log
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(asked)
		cancel()
		<-done
	}
}

// reload loads the configuration and puts it to work, or leaves all as it is.
func (r *reloader) reload(ctx context.Context) (agent.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told.reloading()
	defer r.told.reloaded()
	ctx, cancel := context.WithTimeout(ctx, stuckAfter)
	defer cancel()
	change, err := r.apply(ctx)
	switch {
	case errors.Is(err, agent.ErrEnded), errors.Is(err, context.Canceled):
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		r.agent.ReloadFailed(err)
	default:
		r.agent.Reloaded()
		r.log.Info("reloaded", "changed", strings.Join(change.Changed, " "))
		if err != nil {
			r.log.Warn("reloaded, but slow", "error", err)
		}
		for i := range change.Overlaps {
			r.log.Warn(change.Overlaps[i].What(), "hint", change.Overlaps[i].Fix())
		}
		if len(change.Restart) > 0 {
			r.log.Warn("some keys need a restart", "keys", strings.Join(change.Restart, " "))
		}
	}
	return change, err
}

func (r *reloader) apply(ctx context.Context) (agent.Change, error) {
	c, warnings, err := config.Load(r.path, os.LookupEnv)
	for _, w := range warnings {
		r.log.Warn(w.String())
	}
	if err != nil {
		return agent.Change{}, err
	}
	dest := r.dest
	if slices.ContainsFunc(config.Diff(r.cfg, c), func(key string) bool { return strings.HasPrefix(key, "s3.") }) {
		if dest, err = newSink(ctx, c); err != nil {
			return agent.Change{}, err
		}
	}
	change, err := r.agent.Reload(ctx, c, dest)
	if err != nil && ctx.Err() == nil {
		if dest != r.dest {
			dest.Close()
		}
		return change, err
	}
	if dest != r.dest {
		r.dest.Close()
	}
	r.cfg, r.dest = c, dest
	r.level.Set(logLevel(c.Agent.LogLevel))
	return change, err
}

// close closes the sink that is in use.
func (r *reloader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dest.Close()
}
