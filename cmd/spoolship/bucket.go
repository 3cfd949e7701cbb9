//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent/audit"
	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/s3"
)

const bucketHelp = `
Without an argument it is the bucket, prefix and key templates of the
configuration. With s3://BUCKET/PREFIX it is those; a slash is put behind the
prefix if there is none. How the bucket is reached, and the key templates, come
from the configuration if there is one, else from the AWS environment; the flags
go before both. Objects under a key template of earlier times are read with --key;
the default template always is. It takes the permissions
s3:ListBucket on the bucket and s3:GetObject on its objects: see spoolship
policy iam --read.
`

// bucketFlags are the flags of commands that read a bucket.
type bucketFlags struct {
	endpoint, region, profile string
	pathStyle                 bool
	requests                  int
	keys                      []string
}

func (b *bucketFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.endpoint, "endpoint", "", "URL of a store other than AWS")
	f.StringVar(&b.region, "region", "", "region of the bucket")
	f.StringVar(&b.profile, "profile", "", "AWS profile whose credentials are used")
	f.IntVar(&b.requests, "list-requests", 16, "how many folders of the bucket are listed at once, 1 to 256")
	f.StringArrayVar(&b.keys, "key", nil, "a key `TEMPLATE` that was used before; may be given several times")
	f.BoolVar(&b.pathStyle, "path-style", false, "put the bucket into the path, not into the host name")
}

// source is a bucket to read.
type source struct {
	*s3.Reader
	config  *config.Config
	bucket  string
	prefix  string
	layouts []audit.Layout
	follow  map[string]bool // inputs whose records have all bytes of their lines

	requests int // at once, of a listing
}

// objects lists the bucket and calls add with each object, and foreign with each key
// that no layout made, the empty ones of check --probe apart, and the reason. They are called by one goroutine at a time.
func (s *source) objects(ctx context.Context, stderr io.Writer, what string, add func(*audit.Object), foreign func(string, error)) error {
	count, done := counter(stderr, what, 0)
	defer done()
	type result struct {
		object audit.Object
		err    error
	}
	var mu sync.Mutex
	return s.List(ctx, s.prefix, s.requests, func(page []s3.Entry) error {
		results := make([]result, len(page)) // keys are read in parallel
		for i, e := range page {
			results[i].object, results[i].err = audit.Read(s.layouts, e.Key, e.Size)
		}
		mu.Lock()
		defer mu.Unlock()
		count(len(page))
		for i := range results {
			switch err := results[i].err; {
			case err == nil:
				add(&results[i].object)
			case page[i].Size > 0 || !chunk.IsProbe(page[i].Key):
				foreign(page[i].Key, err)
			}
		}
		return nil
	})
}

// sorted lists all objects in the order in which their records were spooled, and
// counts the keys that no layout made.
func (s *source) sorted(ctx context.Context, stderr io.Writer) (objects []audit.Object, foreign int64, err error) {
	err = s.objects(ctx, stderr, "listing", func(o *audit.Object) { objects = append(objects, *o) }, func(string, error) { foreign++ })
	audit.Sort(objects)
	return objects, foreign, err
}

func (s *source) String() string { return "s3://" + s.bucket + "/" + s.prefix }

// open finds out which bucket is meant and how to reach it.
func (b *bucketFlags) open(cmd *cobra.Command, args []string) (*source, error) {
	c, err := b.configuration(cmd)
	if err != nil {
		return nil, err
	}
	if len(args) > 0 {
		if c.S3.Bucket, c.S3.Prefix, err = parseURL(args[0]); err != nil {
			return nil, usage(err)
		}
	}
	if c.S3.Bucket == "" {
		return nil, usage(errors.New("no bucket: name it as s3://BUCKET/PREFIX, or name a configuration with --config"))
	}
	if b.requests < 1 || b.requests > 256 {
		return nil, usage(fmt.Errorf("--list-requests: must be between 1 and 256 (got %d)", b.requests))
	}
	s := &source{config: c, requests: b.requests, bucket: c.S3.Bucket, prefix: c.S3.Prefix, follow: map[string]bool{}}
	for i := range c.Inputs {
		in := &c.Inputs[i]
		s.follow[in.Name] = in.Format == "text" && in.Encoding == "utf-8" && slices.Contains(in.Fields, "file") &&
			slices.Contains(in.Fields, "offset") && slices.Contains(in.Fields, "message")
	}
	if s.layouts, err = layouts(c, b.keys); err != nil {
		return nil, usage(err)
	}
	o, err := s3Options(c)
	if err != nil {
		return nil, err
	}
	o.MaxConns = b.requests
	if s.Reader, err = s3.NewReader(cmd.Context(), o); err != nil {
		return nil, located(c, err)
	}
	return s, nil
}

// configuration loads the file if there is one, and puts the flags over it. The
// default path need not exist.
func (b *bucketFlags) configuration(cmd *cobra.Command) (*config.Config, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	c := config.Default()
	if _, err := os.Stat(path); cmd.Flags().Changed("config") || !errors.Is(err, os.ErrNotExist) {
		if c, _, err = load(cmd); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct {
		to    *string
		value string
	}{{&c.S3.Endpoint, b.endpoint}, {&c.S3.Region, b.region}} {
		if f.value != "" {
			*f.to = f.value
		}
	}
	c.S3.PathStyle = c.S3.PathStyle || b.pathStyle
	if b.profile != "" { // instead of the agent's own credentials
		c.S3.AccessKeyID, c.S3.SecretAccessKey, c.S3.SessionToken = "", "", ""
		c.S3.AccessKeyIDFile, c.S3.SecretAccessKeyFile, c.S3.CredentialsFile, c.S3.RoleARN = "", "", "", ""
		c.S3.Profile = b.profile
	}
	return c, nil
}

// parseURL reads s3://BUCKET/PREFIX.
func parseURL(s string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return "", "", fmt.Errorf("%q is no bucket; write it like s3://my-events/prefix", s)
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return bucket, prefix, nil
}

// layouts are the key templates of the inputs, or else the one of [s3], those of
// earlier times, and the default one, each once. A template without {input} can be
// that of one input only.
func layouts(c *config.Config, earlier []string) (list []audit.Layout, err error) {
	inputs := map[string][]string{}
	var keys []string
	for i := range c.Inputs {
		k := c.Inputs[i].Key
		if inputs[k] == nil {
			keys = append(keys, k)
		}
		inputs[k] = append(inputs[k], c.Inputs[i].Name)
	}
	if keys == nil {
		keys = []string{c.S3.Key}
	}
	for _, k := range append(slices.Clone(earlier), config.Default().S3.Key) {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
		if inputs[k] == nil {
			for i := range c.Inputs {
				inputs[k] = append(inputs[k], c.Inputs[i].Name)
			}
		}
	}
	for _, k := range keys {
		t, err := chunk.ParseTemplate(k)
		if err != nil {
			return nil, fmt.Errorf("key template %q: %w", k, err)
		}
		l := audit.Layout{Parser: t.Parser(c.S3.Prefix)}
		if !strings.Contains(k, "{input}") {
			if len(inputs[k]) > 1 {
				return nil, fmt.Errorf("key template %q does not say of which of %d inputs a chunk is, and each counts its own: put {input} into it", k, len(inputs[k]))
			}
			l.Input = strings.Join(inputs[k], "")
		}
		list = append(list, l)
	}
	return list, nil
}

// readError gives an error of reading the bucket its exit code and advice.
func readError(err error) error {
	var failed *sink.Error
	if errors.As(err, &failed) {
		return &exitError{err: err, code: exitFailure, hint: failed.Hint}
	}
	return err
}

// onlyPath says whether args are at most one.
func onlyPath(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(fmt.Errorf("unexpected argument %q", args[1]))
	}
	return nil
}
