//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/tailer"
)

func newCheck() *cobra.Command {
	var probe bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration, what each input matches, and permissions",
		Long: `Check reads the configuration as run would, shows the files that each input
matches right now and an example of its object keys, and tries the permissions
of this user. It warns of what works and is rarely meant, such as files that two
inputs match or that a renamed input would ship again. With --probe it also puts
an empty object where the objects of each input lie, for up to 32 inputs:
_spoolship_probe_<host>, which query engines and spoolship audit skip.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadLoud(cmd)
			if err != nil {
				return err
			}
			dest, err := newSink(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer dest.Close()
			w := cmd.OutOrStdout()
			bad := checkStateDir(w, c.Agent.StateDir) + checkSockets(w, c.Telemetry)
			if err := checkRisks(cmd, w, c); err != nil {
				return err
			}
			var keys []string
			for i := range c.Inputs {
				key, n, err := checkInput(w, c, i)
				if err != nil {
					return err
				}
				keys, bad = append(keys, key), bad+n
			}
			if probe {
				if err := probeBucket(cmd.Context(), c, dest, keys, w, cmd.ErrOrStderr()); err != nil {
					return err
				}
				printf(w, "bucket %s: upload works\n", c.S3.Bucket)
			}
			if bad > 0 {
				return &exitError{err: fmt.Errorf("the configuration is right, but %d things can't be read or written", bad), code: exitFailure}
			}
			printf(w, "ok\n")
			return nil
		},
	}
	cmd.Flags().BoolVar(&probe, "probe", false, "upload an empty object for each input")
	return cmd
}

// checkStateDir says whether the state directory, or the nearest folder above
// it that exists, can be written; it returns the number of problems.
func checkStateDir(w io.Writer, dir string) int {
	at := dir
	for {
		err := unix.Access(at, unix.W_OK|unix.X_OK)
		switch {
		case err == nil:
			printf(w, "state directory %s: ok\n", dir)
			return 0
		case errors.Is(err, os.ErrNotExist) && at != filepath.Dir(at):
			at = filepath.Dir(at)
		default:
			printf(w, "state directory %s: can't write %s: %v\n  %s\n", dir, at, err, "this user needs to own it: "+ownerHint(&fs.PathError{Op: "write", Path: at, Err: err}))
			return 1
		}
	}
}

// checkSockets tells of sockets whose place something else has; it returns how many.
func checkSockets(w io.Writer, t config.Telemetry) (bad int) {
	paths := []string{t.Socket}
	if t.StatusGroup != "" {
		paths = append(paths, t.StatusSocket())
	}
	for _, path := range paths {
		if err := agent.CheckSocket(path); err != nil && !errors.Is(err, fs.ErrPermission) {
			printf(w, "%v\n  move it away, or set [telemetry] socket to another path\n", err)
			bad++
		}
	}
	return bad
}

// How many matches of an input are shown, and how many of those that can't be read.
const (
	examples        = 5
	unreadableShown = 20
)

// checkInput shows what an input matches; it returns an example of its keys and the
// number of files that can't be read.
func checkInput(w io.Writer, c *config.Config, i int) (key string, bad int, err error) {
	in := &c.Inputs[i]
	matches, problems, more, err := tailer.Match(tailer.Input{Name: in.Name, Include: in.Include, Exclude: in.Exclude, Links: tailer.LinkPolicy(in.FollowSymlinks)}, agent.Private(c))
	if err != nil {
		return "", 0, fmt.Errorf("input %s: %w", in.Name, err)
	}
	example := ""
	if len(matches) > 0 {
		example = matches[0]
	}
	key, err = agent.ExampleKey(c, in, example)
	if err != nil {
		return "", 0, fmt.Errorf("input %s: %w", in.Name, err)
	}
	printf(w, "input %s: %d files, shipped to s3://%s/%s\n", in.Name, len(matches), c.S3.Bucket, key)
	if len(matches) == 0 {
		printf(w, "  warning: nothing matches %q now; files that appear later are followed\n", in.Include)
	}
	for _, p := range problems {
		printf(w, "  %s: %s; %s\n", p.Path, p.Problem, p.Hint)
	}
	bad = len(problems) + more
	if more > 0 {
		printf(w, "  … and %d more that can't be read\n", more)
	}
	shut := 0
	for n, path := range matches {
		if err := readable(path); err != nil {
			bad++
			if shut++; shut <= unreadableShown {
				printf(w, "  %s: %v; let the agent's user read it (for example by its group)\n", path, err)
			}
		} else if n < examples {
			printf(w, "  %s\n", path)
		} else if n == examples {
			printf(w, "  … and %d more\n", len(matches)-examples)
		}
	}
	if shut > unreadableShown {
		printf(w, "  … and %d more that can't be read\n", shut-unreadableShown)
	}
	return key, bad, nil
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}
