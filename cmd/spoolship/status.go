//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/spoolship/spoolship/agent"
)

// watchEvery is how often status --watch looks again.
const watchEvery = time.Second

func newStatus() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the running agent is doing",
		Long: `Status asks the running agent over its socket. The first line says how it is:

  ok          all is well; "ok, but" names what wants a look
  starting    files are being looked for
  degraded    something is wrong, and lines are spooled all the same
  stalled     lines wait in their files

With --watch it shows the same again every second, until SIGINT. It exits 0 if
the agent is ok or starting, 1 if it is degraded or stalled, 75 if none answers;
with --watch 0, whatever it saw. New fields may be added to the JSON of --json;
those there are keep their names and meaning.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON && watch {
				return usage(errors.New("--json and --watch exclude each other"))
			}
			c, err := connect(cmd)
			if err != nil {
				return err
			}
			c = c.looking()
			if watch {
				return watchStatus(cmd.Context(), c, cmd.OutOrStdout())
			}
			var st agent.Status
			if err := c.get(cmd.Context(), "/status", &st); err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), st)
			} else {
				err = printStatus(cmd.OutOrStdout(), &st, time.Now())
			}
			if err == nil && !st.Healthy {
				return &exitError{err: errors.New("the agent is not healthy"), code: exitFailure}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second")
	return cmd
}

// watchStatus shows the screen until ctx ends, and waits for an agent that
// does not answer. On a terminal each replaces the one before.
func watchStatus(ctx context.Context, c *client, w io.Writer) error {
	show := func(screen []byte) error { _, err := w.Write(append(screen, '\n')); return err }
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		show = func(screen []byte) error { return redraw(f, screen) }
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var screen bytes.Buffer
		var st agent.Status
		err := c.get(ctx, "/status", &st)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			printf(&screen, "%v\n", err)
		default:
			if err := printStatus(&screen, &st, time.Now()); err != nil {
				return err
			}
		}
		if err := show(screen.Bytes()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// redraw puts screen over what a terminal shows. What does not fit is left
// out at the end, since the first line matters most.
func redraw(f *os.File, screen []byte) error {
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, frame(string(screen), columns, rows))
	return err
}

// frame is the text that redraws a terminal of that size without flicker.
func frame(screen string, columns, rows int) string {
	var b strings.Builder
	b.WriteString("\x1b[H")
	left := rows - 1
	for line := range strings.Lines(screen) {
		line = strings.TrimSuffix(line, "\n")
		left -= max(1, (len(line)+columns-1)/max(1, columns))
		if left < 0 {
			break
		}
		b.WriteString(line + "\x1b[K\n")
	}
	return b.String() + "\x1b[J"
}
