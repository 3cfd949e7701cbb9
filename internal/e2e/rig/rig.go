// Package rig puts the parts of a test together: a directory, a store behind
// a server on loopback, and an agent that is configured for both.
package rig

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// The stores.
const (
	Embedded = "s3dev"
	Versity  = "versitygw"
)

// bucketName is the only bucket of every store.
const bucketName = "events"

// Rig is one test's surroundings.
type Rig struct {
	Dir    string
	Front  *s3dev.Front
	Server *s3dev.Server
	Agent  agentproc.Agent

	gateway *s3dev.Versity // nil with the embedded store
}

// New starts a store in dir, which must exist. binary is the agent's;
// versitygw is needed for that store only.
func New(ctx context.Context, dir, store, binary, versitygw string) (*Rig, error) {
	r := &Rig{Dir: dir, Agent: agentproc.Agent{
		Binary: binary,
		Config: filepath.Join(dir, "spoolship.toml"),
		Socket: filepath.Join(dir, "agent.sock"),
		Log:    filepath.Join(dir, "agent.log"),
	}}
	if err := os.MkdirAll(r.Logs(), 0o755); err != nil {
		return nil, err
	}
	handler, err := r.store(ctx, store, versitygw)
	if err != nil {
		return nil, err
	}
	r.Front = s3dev.NewFront(handler)
	if r.Server, err = s3dev.Listen(r.Front); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Rig) store(ctx context.Context, name, versitygw string) (http.Handler, error) {
	switch name {
	case Embedded:
		return s3dev.Memory(bucketName)
	case Versity:
		gw, err := s3dev.StartVersity(ctx, versitygw, filepath.Join(r.Dir, "versitygw"), bucketName)
		if err != nil {
			return nil, err
		}
		r.gateway = gw
		return gw.Handler(), nil
	}
	return nil, fmt.Errorf("unknown store %q: use %s or %s", name, Embedded, Versity)
}

// Close ends the store. The directory stays.
func (r *Rig) Close() {
	if r.Server != nil {
		r.Server.Close()
	}
	if r.gateway != nil {
		r.gateway.Close()
	}
}

// Logs is the directory for watched files.
func (r *Rig) Logs() string { return filepath.Join(r.Dir, "logs") }

// Config is a configuration that reaches the store; inputs are to be added.
// Scans are frequent and waits are short, because tests are.
func (r *Rig) Config() agentproc.Config {
	return agentproc.Config{
		StateDir: filepath.Join(r.Dir, "state"), Socket: r.Agent.Socket,
		Endpoint: r.Server.URL(), Region: s3dev.Region, Bucket: bucketName,
		AccessKey: s3dev.AccessKey, SecretKey: s3dev.SecretKey,
		Timeout: 3 * time.Second, ScanInterval: 500 * time.Millisecond,
		PollInterval: 200 * time.Millisecond, RotateWait: 500 * time.Millisecond,
	}
}

// Bucket is where everything is shipped to.
func (r *Rig) Bucket() bucket.Location {
	return bucket.Location{
		Endpoint: r.Server.URL(), Region: s3dev.Region, Bucket: bucketName,
		AccessKey: s3dev.AccessKey, SecretKey: s3dev.SecretKey,
	}
}

// Objects reads the bucket.
func (r *Rig) Objects(ctx context.Context) ([]bucket.Object, error) {
	return bucket.Read(ctx, r.Bucket())
}

// Compare reads the bucket and compares it with what was written. What the
// front saw go wrong counts as a problem, too.
func (r *Rig) Compare(ctx context.Context, streams []bucket.Stream) (*bucket.Result, error) {
	objects, err := r.Objects(ctx)
	if err != nil {
		return nil, err
	}
	result := bucket.Compare(streams, objects)
	seen := r.Front.Stats()
	for _, key := range seen.Conflicts {
		result.Problems = append(result.Problems, key+": stored twice with different bytes")
	}
	result.Problems = append(result.Problems, seen.Refused...)
	if !result.OK() {
		return result, r.dump(objects)
	}
	return result, nil
}

// dump keeps the decompressed objects for whoever looks for the cause.
func (r *Rig) dump(objects []bucket.Object) error {
	for _, o := range objects {
		path := filepath.Join(r.Dir, "bucket", o.Name+".records")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, append(bytes.Join(o.Records, []byte("\n")), '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
