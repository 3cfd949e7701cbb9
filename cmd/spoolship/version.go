//go:build unix

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// commit and date, both of the commit, are set by the linker in packages; else
// they are taken from what the Go tool knows.
var commit, date string

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			commit, date := commit, date
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					switch {
					case s.Key == "vcs.revision" && commit == "":
						commit = s.Value[:min(12, len(s.Value))]
					case s.Key == "vcs.time" && date == "":
						date = s.Value
					}
				}
			}
			line := fmt.Sprintf("spoolship %s (%s, %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if commit != "" {
				line += ", commit " + commit
			}
			if date != "" {
				line += " of " + date
			}
			printf(cmd.OutOrStdout(), "%s)\n", line)
			return nil
		},
	}
}
