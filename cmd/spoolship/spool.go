//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/spool"
)

func newSpool() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Look into the spool: ls, verify, export, forget, repair",
		Long: `Spool looks into the state directory. ls, verify and export ask the agent over
its socket while it runs and read the files when it is stopped. forget and
repair need a stopped agent.
` + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("unknown command %q", "spool "+args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSpoolLs(), newSpoolVerify(), newSpoolExport(), newSpoolForget(), newSpoolRepair())
	return cmd
}

// view is a spool to look at: a running agent's or a stopped one's.
type view interface {
	chunks(ctx context.Context) ([]spool.Chunk, error)
	counters(ctx context.Context) ([]spool.Counter, error)
	positions(ctx context.Context) ([]spool.Position, error)
	// verify calls damaged for each piece of damage, and checked with the sum of
	// stored bytes that were checked so far.
	verify(ctx context.Context, damaged func(string), checked func(bytes int64)) error
	object(ctx context.Context, seq uint64) (io.ReadCloser, error)
}

// withView calls f with the running agent's spool, or else with the files.
func withView(cmd *cobra.Command, f func(ctx context.Context, v view) error) error {
	c, _, err := load(cmd)
	if err != nil {
		return err
	}
	return withViewOf(cmd, c, f)
}

func withViewOf(cmd *cobra.Command, c *config.Config, f func(ctx context.Context, v view) error) error {
	live := liveView{newClient(c), newClient(c).patient()}
	if _, err := live.chunks(cmd.Context()); !errors.Is(err, errNoAgent) {
		return f(cmd.Context(), live)
	}
	sp, err := openStopped(c, true)
	if err != nil {
		return err
	}
	return errors.Join(f(cmd.Context(), filesView{sp}), sp.Close())
}

func openStopped(c *config.Config, readOnly bool) (*spool.Spool, error) {
	sp, err := spool.Open(spool.Options{Dir: c.Agent.StateDir, SegmentSize: int64(c.Spool.SegmentSize), ReadOnly: readOnly})
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	return sp, nil
}

// liveView asks the agent: for lists, which take no time, and for what may take
// any.
type liveView struct{ c, patient *client }

func (v liveView) chunks(ctx context.Context) (list []spool.Chunk, err error) {
	return list, v.c.get(ctx, "/chunks", &list)
}

func (v liveView) positions(ctx context.Context) (list []spool.Position, err error) {
	return list, v.c.get(ctx, "/positions/stored", &list)
}

func (v liveView) counters(ctx context.Context) (list []spool.Counter, err error) {
	return list, v.c.get(ctx, "/counters", &list)
}

// errSilent is how a verification ends when the agent does not get on.
var errSilent = errors.New("the agent has said nothing for a minute; see whether it runs and whether the disks answer")

func (v liveView) verify(ctx context.Context, damaged func(string), checked func(bytes int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const patience = 60 * agent.VerifyBeat
	silence := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer silence.Stop()
	body, err := v.patient.open(ctx, "/verify")
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer body.Close()
	for answer := json.NewDecoder(body); ; {
		var e agent.VerifyEvent
		if err := answer.Decode(&e); err != nil {
			return fmt.Errorf("the agent ended before everything was checked: %w", cmp.Or(context.Cause(ctx), err))
		}
		silence.Reset(patience)
		checked(e.Bytes)
		switch {
		case e.Damage != "":
			damaged(e.Damage)
		case e.Error != "":
			return errors.New(e.Error)
		case e.Done:
			return nil
		}
	}
}

func (v liveView) object(ctx context.Context, seq uint64) (io.ReadCloser, error) {
	body, err := v.patient.open(ctx, "/objects/"+strconv.FormatUint(seq, 10))
	if errors.Is(err, errNotFound) {
		return nil, fmt.Errorf("%w: %w", spool.ErrNoChunk, err)
	}
	return body, err
}

type filesView struct{ sp *spool.Spool }

func (v filesView) chunks(context.Context) ([]spool.Chunk, error)       { return v.sp.Chunks(), nil }
func (v filesView) positions(context.Context) ([]spool.Position, error) { return v.sp.Positions() }
func (v filesView) counters(context.Context) ([]spool.Counter, error) {
	return v.sp.Counters(), nil
}

func (v filesView) verify(ctx context.Context, damaged func(string), checked func(bytes int64)) error {
	var sum int64
	return v.sp.Verify(ctx, func(err error) { damaged(err.Error()) }, func(n int64) {
		sum += n
		checked(sum)
	})
}

func (v filesView) object(ctx context.Context, seq uint64) (io.ReadCloser, error) {
	body, err := agent.OpenObject(ctx, v.sp, seq)
	return io.NopCloser(body), err
}

var stateNames = map[spool.ChunkState]string{spool.StateOpen: "open", spool.StateSealed: "sealed", spool.StateTombstone: "tombstone"}

func newSpoolLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List the chunks that are not in the bucket yet",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withView(cmd, func(ctx context.Context, v view) error {
				chunks, err := v.chunks(ctx)
				if err != nil {
					return err
				}
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				printf(t, "CHUNK\tINPUT\tNUMBER\tSTATE\tRECORDS\tSTORED\tRAW\tOPENED\tKEY\n")
				for _, c := range chunks {
					printf(t, "%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Seq, c.Input, c.Number, stateNames[c.State], humanize.Comma(c.Records),
						size(c.StoredSize), size(c.RawSize), c.Opened.UTC().Format(time.RFC3339), c.Name)
				}
				return t.Flush()
			})
		},
	}
}

func newSpoolVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check every block of the spool; exit 3 if something is damaged",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withView(cmd, func(ctx context.Context, v view) error {
				chunks, err := v.chunks(ctx)
				if err != nil {
					return err
				}
				var total int64
				for i := range chunks {
					total += chunks[i].StoredSize
				}
				show, hide := meter(cmd.ErrOrStderr(), total)
				found := 0
				err = v.verify(ctx, func(damage string) {
					found++
					printf(cmd.OutOrStdout(), "damaged: %s\n", damage)
				}, show)
				hide()
				if err != nil {
					return err
				}
				if found > 0 {
					return &exitError{err: fmt.Errorf("%d damaged places", found), code: exitPartial,
						hint: "the agent sets damaged chunks aside in quarantine/ and ships the rest; check the disk"}
				}
				printf(cmd.OutOrStdout(), "ok: %d chunks\n", len(chunks))
				return nil
			})
		},
	}
}

func newSpoolExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export DIR",
		Short: "Write the objects of all unacked chunks into a folder, by their keys",
		Long: `Export writes what is not in the bucket yet as files under DIR, named by their
object keys, so that they can be looked at or uploaded by hand. It changes
nothing: the agent will still ship them.
` + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("export wants one folder"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withView(cmd, func(ctx context.Context, v view) error {
				chunks, err := v.chunks(ctx)
				if err != nil {
					return err
				}
				for i := range chunks {
					path := filepath.Join(args[0], filepath.FromSlash(exportName(&chunks[i])))
					switch err := exportObject(ctx, v, chunks[i].Seq, path); {
					case errors.Is(err, spool.ErrNoChunk):
						printf(cmd.ErrOrStderr(), "spoolship: chunk %d of input %s was shipped meanwhile\n", chunks[i].Number, chunks[i].Input)
					case err != nil:
						return fmt.Errorf("export chunk %d: %w", chunks[i].Seq, err)
					default:
						printf(cmd.OutOrStdout(), "%s\n", path)
					}
				}
				return nil
			})
		},
	}
}

// exportName is a chunk's key; an open chunk has none yet, so its id reads
// "open".
func exportName(c *spool.Chunk) string {
	return strings.NewReplacer("{queue}", c.Queue, "{chunk}", fmt.Sprintf("%020d", c.Number),
		"{records}", strconv.FormatInt(c.Records, 10), "{id}", "open").Replace(c.Name)
}

func exportObject(ctx context.Context, v view, seq uint64, path string) (err error) {
	r, err := v.object(ctx, seq)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path) // a part of an object is of no use, and in the way of the next try
	}
	return err
}

func newSpoolForget() *cobra.Command {
	return &cobra.Command{
		Use:   "forget INPUT",
		Short: "Forget the chunk numbers of an input that was removed from the configuration",
		Long: `Forget removes what the spool keeps of an input that is gone for good. An input
of that name that comes later starts again with chunk 1, which an audit of the
bucket will take for duplicates: take another name, or a new state directory.
` + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("forget wants the name of one input"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := load(cmd)
			if err != nil {
				return err
			}
			for _, in := range c.Inputs {
				if in.Name == args[0] {
					return usage(fmt.Errorf("input %s is in the configuration", in.Name))
				}
			}
			sp, err := openStopped(c, false)
			if err != nil {
				return err
			}
			return errors.Join(sp.ForgetInput(args[0]), sp.Close())
		},
	}
}
