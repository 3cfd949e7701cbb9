//go:build unix

package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/tailer"
)

func newFlush() *cobra.Command {
	timeout := time.Minute
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Ship everything now, and wait until it is in the bucket",
		Long: `Flush has the running agent close all objects, however small they are, and
waits until all that was in the files when it was called is in the bucket. If
that takes longer than --timeout it says what is left, and exits 75; the agent
goes on. It does not wait for what can't be read now: files of a paused input,
files without rights, a last line without newline. It names them, and exits 3.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usage(errors.New("--timeout must be above 0"))
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			var answer struct {
				Left  []tailer.Unread `json:"left"`
				Error string          `json:"error"`
			}
			if err := c.patient().post(cmd.Context(), "/flush?timeout="+timeout.String(), &answer); err != nil {
				return err
			}
			if answer.Error == "" {
				return nil
			}
			for _, u := range answer.Left {
				printf(cmd.ErrOrStderr(), "%s: %d bytes of input %s are left: %s\n", u.Path, u.Bytes, u.Input, u.Reason)
			}
			return &exitError{err: errors.New(answer.Error), code: exitPartial, hint: "everything else is in the bucket; end the pause, let the agent read the files or complete the lines, and flush again"}
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait")
	return cmd
}

// newPause makes pause, or resume.
func newPause(on bool) *cobra.Command {
	name, short := "resume", "Go on reading the files of an input, or of all"
	long := `Resume has the running agent go on reading where pause had it stop.
`
	if on {
		name, short = "pause", "Stop reading the files of an input, or of all"
		long = `Pause has the running agent stop reading the files of an input, or of all
inputs, until resume or a restart of the agent. Files are kept open and
rotations followed meanwhile, and what is spooled is shipped; lines wait in
their files, so they must not be deleted for good. Status shows what is paused.
`
	}
	return &cobra.Command{
		Use: name + " [INPUT]", Short: short, Long: long + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(fmt.Errorf("%s wants the name of one input, or nothing", name))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			path := "/" + name
			if len(args) > 0 {
				path += "?input=" + url.QueryEscape(args[0])
			}
			return c.post(cmd.Context(), path, &struct{}{})
		},
	}
}
