//go:build unix

package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func newFlush() *cobra.Command {
	timeout := time.Minute
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Ship everything now, and wait until it is in the bucket",
		Long: `Flush has the running agent close all objects, however small they are, and
waits until all lines that were in the files when it was called are in the
bucket. If that takes longer than --timeout it says what is left, and exits 75;
the agent goes on. Inputs that are paused are left out.
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
			return c.patient().post(cmd.Context(), "/flush?timeout="+timeout.String(), &struct{}{})
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
