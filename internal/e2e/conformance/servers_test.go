//go:build e2e

package conformance

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/s3"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// server is one implementation of S3.
type server struct {
	name  string
	start func(*testing.T) func(*testing.T) s3.Options // options of a working sink into an empty bucket
	lacks map[string]string
}

// The keys of cases that a server lacks.
const (
	damaged = "damaged"
	rewinds = "rewinds"
	short   = "short"
	large   = "if absent, large"
	unusual = "unusual keys"
)

var servers = []server{
	{name: "fault server", start: func(*testing.T) func(*testing.T) s3.Options {
		return func(t *testing.T) s3.Options { return toFaultServer(sinktest.NewServer(t)) }
	}},
	{name: "fault server, TLS", start: func(*testing.T) func(*testing.T) s3.Options {
		return func(t *testing.T) s3.Options {
			srv := sinktest.NewTLSServer(t)
			o := toFaultServer(srv)
			o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
			if err := os.WriteFile(o.CAFile, ca, 0o600); err != nil {
				t.Fatal(err)
			}
			return o
		}
	}},
	{name: "versitygw", start: startVersity, lacks: map[string]string{
		unusual: "its buckets are directories: a path can't have an empty part or end in a slash",
		large:   "it answers 412 before it has read the body and resets the connection, which may cost the answer",
		short:   "it may store a body that ends before its Content-Length does, if its SHA-256 fits",
	}},
	{name: "gofakes3", start: func(*testing.T) func(*testing.T) s3.Options { return memory }, lacks: map[string]string{
		damaged: lenient,
		rewinds: lenient,
	}},
}

const lenient = "it stores a body that has not the SHA-256 of its headers"

func toFaultServer(srv *sinktest.Server) s3.Options {
	return s3.Options{
		Bucket: sinktest.Bucket, Region: sinktest.Region, Endpoint: srv.URL, PathStyle: true,
		Access: s3.Access{AccessKeyID: sinktest.AccessKeyID, SecretAccessKey: sinktest.SecretAccessKey},
	}
}

func to(endpoint, bucket string) s3.Options {
	return s3.Options{
		Bucket: bucket, Region: s3dev.Region, Endpoint: endpoint, PathStyle: true,
		Access: s3.Access{AccessKeyID: s3dev.AccessKey, SecretAccessKey: s3dev.SecretKey},
	}
}

// startVersity runs one gateway; each sink has a bucket of its own.
func startVersity(t *testing.T) func(*testing.T) s3.Options {
	const bin = "../../../bin/versitygw"
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: make s3 builds it", err)
	}
	gw, err := s3dev.StartVersity(t.Context(), bin, t.TempDir(), "first")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gw.Close)
	n := 0
	return func(t *testing.T) s3.Options {
		n++
		bucket := fmt.Sprintf("bucket%d", n)
		if err := gw.Bucket(bucket); err != nil {
			t.Fatal(err)
		}
		return to(gw.URL(), bucket)
	}
}

// memory starts a gofakes3 with nothing before it.
func memory(t *testing.T) s3.Options {
	const bucket = "bucket"
	store, err := s3dev.Memory(bucket)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := s3dev.Listen(store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return to(srv.URL(), bucket)
}

// newSink makes a sink that is closed with the test.
func newSink(t *testing.T, o s3.Options) sink.Sink {
	t.Helper()
	s, err := s3.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for _, srv := range servers {
		t.Run(srv.name, func(t *testing.T) {
			options := srv.start(t)
			sinktest.Conformance(t, func(t *testing.T) sink.Sink {
				began := time.Now()
				t.Cleanup(func() { row(t, srv, time.Since(began)) })
				return newSink(t, options(t))
			}, srv.lacks)
		})
	}
}

// The suite again with Content-MD5 in place of the SHA-256, as stores get it that do
// not take that one.
func TestConformanceMD5(t *testing.T) {
	for _, srv := range servers {
		t.Run(srv.name+", MD5", func(t *testing.T) {
			options := srv.start(t)
			sinktest.Conformance(t, func(t *testing.T) sink.Sink {
				began := time.Now()
				t.Cleanup(func() { row(t, srv, time.Since(began)) })
				o := options(t)
				o.Checksum = "md5"
				return newSink(t, o)
			}, srv.lacks)
		})
	}
}

// Real servers' answers to wrong settings: whatever each says, the hint names the
// setting.
func TestWrongSettings(t *testing.T) {
	for _, srv := range servers {
		options := srv.start(t)
		for _, c := range []struct {
			name   string
			change func(*s3.Options)
			hint   string
		}{
			{"wrong key id", func(o *s3.Options) { o.AccessKeyID += "x" }, "s3.access_key_id"},
			{"wrong secret", func(o *s3.Options) { o.SecretAccessKey += "x" }, "s3.secret_access_key"},
			{"no such bucket", func(o *s3.Options) { o.Bucket = "nothing-here" }, "s3.bucket"},
		} {
			t.Run(srv.name+" "+c.name, func(t *testing.T) {
				o := options(t)
				c.change(&o)
				began := time.Now()
				err := newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x")))
				var e *sink.Error
				switch {
				case err == nil && srv.name == "gofakes3" && strings.HasPrefix(c.name, "wrong"):
					t.Skip("it checks no signatures")
				case !errors.As(err, &e) || e.Class != sink.Config || !strings.Contains(e.Hint, c.hint):
					t.Errorf("got %v, hint %q", err, e.Hint)
				default:
					fmt.Printf(rowFormat, srv.name, c.name, e.Code, fmt.Sprintf("%.2f", time.Since(began).Seconds()))
				}
			})
		}
	}
}

// row prints one case's line.
func row(t *testing.T, srv server, took time.Duration) {
	name := strings.ReplaceAll(filepath.Base(t.Name()), "_", " ")
	switch {
	case t.Failed():
		fmt.Printf(rowFormat, srv.name, name, "FAILED", "")
	case t.Skipped():
		fmt.Printf(rowFormat, srv.name, name, "skipped:", srv.lacks[name])
	default:
		fmt.Printf(rowFormat, srv.name, name, "ok", fmt.Sprintf("%.2f", took.Seconds()))
	}
}

// A case is skipped only as long as its reason holds. The other two reasons are
// races within versitygw, which may go either way.
func TestReasonsHold(t *testing.T) {
	t.Run("gofakes3", func(t *testing.T) {
		o := sinktest.NewObject("key", []byte("some text"))
		o.SHA256[0] ^= 1
		if err := newSink(t, memory(t)).Put(t.Context(), o); err != nil {
			t.Errorf("a damaged body is refused now (%v): the cases must not be skipped any more", err)
		}
	})
	t.Run("versitygw", func(t *testing.T) {
		s := newSink(t, startVersity(t)(t))
		if err := s.Put(t.Context(), sinktest.NewObject("trailing-slash/", []byte("some text"))); err == nil {
			t.Error("a key that ends in a slash is taken now: the case must not be skipped any more")
		}
	})
}
