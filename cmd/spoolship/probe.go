//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/spoolship/spoolship/agent/chunk"
	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

// maxProbes bounds the objects that one check puts.
const maxProbes = 32

// A probe is an empty object among those of an input.
type probe struct{ input, key string }

// probes returns a probe for each input, where its objects lie: a policy may allow
// one prefix and not another. keys are examples of the inputs' keys.
func probes(c *config.Config, keys []string) (list []probe) {
	seen := map[string]bool{}
	for i, key := range keys {
		p := probe{c.Inputs[i].Name, chunk.ProbeKey(c.S3.Prefix, key, c.Agent.Host)}
		if !seen[p.key] {
			seen[p.key] = true
			list = append(list, p)
		}
	}
	return list
}

// probeBucket puts the probes, with the rights the agent needs and no others. Each
// refused one is told; a destination that does not answer ends it.
func probeBucket(ctx context.Context, c *config.Config, dest sink.Sink, keys []string, w, stderr io.Writer) error {
	var refused error
	all := probes(c, keys)
	for n, p := range all {
		if n == maxProbes {
			printf(w, "%d more inputs with prefixes of their own were not tried\n", len(all)-n)
			break
		}
		err := p.put(ctx, dest, c.S3.Conditional == "always", stderr)
		var failed *sink.Error
		switch {
		case err == nil:
			printf(w, "input %s: upload works, s3://%s/%s\n", p.input, c.S3.Bucket, p.key)
			continue
		case !errors.As(err, &failed):
			return err
		}
		if refused != nil {
			printf(stderr, "spoolship: error: input %s: upload to bucket %s: %v\n", p.input, c.S3.Bucket, err)
			continue
		}
		refused = &exitError{err: fmt.Errorf("input %s: upload to bucket %s: %w", p.input, c.S3.Bucket, err), code: exitFailure, hint: failed.Hint}
		if failed.Status == 0 {
			break
		}
	}
	return refused
}

// maxTries is how often a sink may adapt to answers.
const maxTries = 5

// put puts p as the agent puts its objects: conditionally where a bucket may refuse
// everything else. That it is there already, from an earlier check, is as good.
func (p probe) put(ctx context.Context, dest sink.Sink, conditional bool, stderr io.Writer) (err error) {
	for range maxTries {
		err = dest.Put(ctx, &sink.Object{
			Key: p.key, ContentType: "application/x-ndjson", Metadata: map[string]string{"spoolship-probe": "1"},
			SHA256: sha256.Sum256(nil), Body: bytes.NewReader(nil), IfAbsent: conditional,
		})
		var failed *sink.Error
		switch {
		case errors.Is(err, sink.ErrExists):
			return nil
		case errors.As(err, &failed) && failed.Class == sink.NotConditional:
			conditional = false
		case errors.As(err, &failed) && failed.Class == sink.Adapted:
			printf(stderr, "spoolship: warning: %v; %s\n", err, failed.Hint)
		default:
			return err
		}
	}
	return err
}
