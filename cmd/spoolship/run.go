//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink/s3"
)

func newRun() *cobra.Command {
	var o agent.Options
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Follow the files and ship their lines",
		Long: `Run is the service: it follows the files of all inputs, spools their lines and
ships them until SIGTERM or SIGINT. A stop takes seconds and loses nothing;
neither does SIGKILL.

With --drain a stop ships everything that is spooled first, however long that
takes; a second signal ends it at once. With --once it ships what is there and
exits 0 when all of it is in the bucket. --timeout bounds both: what is left then
is named by input, with the reason, and the exit code is 75. Nothing of it is lost.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.FlushPartial && !o.Once {
				return usage(errors.New("--flush-partial goes with --once"))
			}
			if timeout < 0 || timeout > 0 && !o.Once && !o.Drain {
				return usage(errors.New("--timeout goes with --once or --drain, and is above 0"))
			}
			if o.Drain && o.Once {
				return usage(errors.New("--drain goes without --once"))
			}
			c, err := loadLoud(cmd)
			if err != nil {
				return err
			}
			path, err := cmd.Flags().GetString("config")
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if o.Drain {
				o.DrainTimeout = timeout
			} else if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			err = runAgent(ctx, path, c, cmd.ErrOrStderr(), o)
			if errors.Is(err, agent.ErrIncomplete) && (o.Drain || errors.Is(ctx.Err(), context.DeadlineExceeded)) {
				return &exitError{err: err, code: exitTemporary, hint: "run it again to ship the rest; it is kept in [agent] state_dir and the files"}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&o.Once, "once", false, "ship what is there, then exit")
	cmd.Flags().BoolVar(&o.Drain, "drain", false, "when told to stop, ship what is spooled first")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "with --once or --drain: how long that may take, such as 10m; 0 is no limit")
	cmd.Flags().BoolVar(&o.FlushPartial, "flush-partial", false, "with --once: ship last lines that have no newline yet, too")
	return cmd
}

func runAgent(ctx context.Context, path string, c *config.Config, stderr io.Writer, o agent.Options) error {
	if c.Agent.MaxProcs > 0 {
		runtime.GOMAXPROCS(c.Agent.MaxProcs)
	}
	level := &slog.LevelVar{}
	level.Set(logLevel(c.Agent.LogLevel))
	log := newLog(stderr, level)
	dest, err := newSink(ctx, c)
	if err != nil {
		return err
	}
	reloads := &reloader{path: path, log: log, level: level, cfg: c, dest: dest}
	defer reloads.close()
	ready := make(chan struct{})
	o.Config, o.Sink, o.Logger, o.Version, o.Hook = c, mutant(dest), log, version, failpoint()
	o.Ready = func() { close(ready) }
	if !o.Once {
		o.Reload = reloads.reload
	}
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	reloads.agent, reloads.told = a, notify(ctx, a, ready, o.Drain, log)
	defer reloads.told.stop()
	if !o.Once {
		defer reloads.listen(ctx)()
	}
	log.Info("starting", "version", version, "state_dir", c.Agent.StateDir, "bucket", c.S3.Bucket, "pid", os.Getpid())
	began, done := time.Now(), func() {}
	if o.Once {
		done = showProgress(a, stderr)
	}
	err = a.Run(ctx)
	done()
	if o.Once && (err == nil || a.Status().Uploads.Objects > 0) {
		printShipped(a, stderr, time.Since(began))
	}
	if err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// newSink makes the sink of the configuration. It talks to nobody yet; what
// fails here is the configuration.
func newSink(ctx context.Context, c *config.Config) (*s3.Sink, error) {
	o, err := s3Options(c)
	if err != nil {
		return nil, err
	}
	dest, err := s3.New(ctx, o)
	if err != nil {
		return nil, located(c, err)
	}
	return dest, nil
}

// aboutKey is the form of errors about a setting: "s3.region: missing; set it".
var aboutKey = regexp.MustCompile(`^(s3\.[a-z0-9_]+): ([^;]*(?:;[^ ][^;]*)*)(?:; (.*))?$`)

// located returns the errors of making a sink as problems of the configuration,
// each with the file and line of its key.
func located(c *config.Config, err error) error {
	var problems config.Problems
	for _, text := range errorLines(err) {
		m := aboutKey.FindStringSubmatch(text)
		if m == nil {
			return &exitError{err: err, code: exitUsage}
		}
		file, line := c.Where(m[1])
		if file == "" { // there is none, as for audit with flags alone
			return &exitError{err: err, code: exitUsage}
		}
		problems = append(problems, config.Problem{File: file, Line: line, Key: m[1], What: m[2], Hint: m[3]})
	}
	return problems
}

// s3Options translates [s3].
func s3Options(c *config.Config) (s3.Options, error) {
	tags, err1 := s3.ParsePairs("s3.tags", c.S3.Tags)
	metadata, err2 := s3.ParsePairs("s3.metadata", c.S3.Metadata)
	if err := errors.Join(err1, err2); err != nil {
		return s3.Options{}, &exitError{err: err, code: exitUsage}
	}
	return s3.Options{
		Bucket: c.S3.Bucket, Region: c.S3.Region, Endpoint: c.S3.Endpoint, PathStyle: c.S3.PathStyle, Checksum: c.S3.Checksum,
		Access: s3.Access{
			AccessKeyID: c.S3.AccessKeyID, SecretAccessKey: string(c.S3.SecretAccessKey), SessionToken: string(c.S3.SessionToken),
			AccessKeyIDFile: c.S3.AccessKeyIDFile, SecretAccessKeyFile: c.S3.SecretAccessKeyFile,
			CredentialsFile: c.S3.CredentialsFile, Profile: c.S3.Profile,
			RoleARN: c.S3.RoleARN, ExternalID: c.S3.ExternalID, SessionName: c.S3.SessionName,
			RoleDuration: time.Duration(c.S3.RoleDuration), STSEndpoint: c.S3.STSEndpoint,
		},
		ObjectOptions: s3.ObjectOptions{
			ContentType: c.S3.ContentType, Metadata: metadata, Tags: tags, ACL: c.S3.ACL, StorageClass: c.S3.StorageClass,
			Encryption: c.S3.Encryption, KMSKeyID: c.S3.KMSKeyID, BucketKey: c.S3.BucketKey,
			RequestPayer: c.S3.RequestPayer, BucketOwner: c.S3.BucketOwner,
		},
		Way: s3.Way{
			DualStack: c.S3.DualStack, FIPS: c.S3.FIPS, Accelerate: c.S3.Accelerate, CAFile: c.S3.CAFile, Proxy: c.S3.Proxy,
		},
		Timeout: time.Duration(c.S3.Timeout), MaxConns: c.S3.MaxUploads, UploadRate: int64(c.S3.UploadRate), UserAgent: "spoolship/" + version,
	}, nil
}

func logLevel(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // checked by config; the zero value is info
	return l
}
