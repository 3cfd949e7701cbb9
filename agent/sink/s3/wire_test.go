package s3

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// countingBody counts the bytes that are read and the seeks to a place other
// than the start.
type countingBody struct {
	*bytes.Reader
	read  int64
	seeks int
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += int64(n)
	return n, err
}

func (b *countingBody) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		b.seeks++
	}
	return b.Reader.Seek(offset, whence)
}

// putAndLook puts o through a server that records the raw request.
func putAndLook(t *testing.T, tls bool, o *sink.Object) (seen *http.Request, body []byte) {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Clone(r.Context())
		body, _ = io.ReadAll(r.Body)
		confirm(w, r)
	})
	opts := Options{Bucket: "b", Region: "r", PathStyle: true, Access: Access{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: "token"}, UserAgent: "spoolship/1.2"}
	srv := httptest.NewUnstartedServer(handler)
	if tls {
		srv.StartTLS()
		c := newHTTPClient(nil, 1)
		c.Transport.(*http.Transport).TLSClientConfig.RootCAs = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		opts.HTTPClient = c
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	opts.Endpoint = srv.URL
	if err := newSink(t, opts).Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return seen, body
}

// The whole request, over HTTP and HTTPS: signed with the object's own hash,
// checksum up front, a plain body of known length that is read once.
func TestRequestOnTheWire(t *testing.T) {
	content := sinktest.Bytes(3 << 20)
	sum := sha256.Sum256(content)
	for name, tls := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			o := sinktest.NewObject("a b/c=1.gz", content)
			counter := &countingBody{Reader: bytes.NewReader(content)}
			o.Body = counter
			r, body := putAndLook(t, tls, o)

			if !bytes.Equal(body, content) {
				t.Fatal("another body arrived")
			}
			if counter.read != o.Size || counter.seeks != 0 {
				t.Errorf("body: %d bytes read of %d, %d seeks; want it read once, without seeks", counter.read, o.Size, counter.seeks)
			}
			if r.ContentLength != o.Size || len(r.TransferEncoding) != 0 {
				t.Errorf("content length %d, transfer encoding %v", r.ContentLength, r.TransferEncoding)
			}
			if r.Method != http.MethodPut || r.URL.Path != "/b/a b/c=1.gz" || r.ProtoMajor != 1 {
				t.Errorf("request line %s %s %s", r.Method, r.URL, r.Proto)
			}
			for header, want := range map[string]string{
				"X-Amz-Content-Sha256":  hex.EncodeToString(sum[:]),
				"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(sum[:]),
				"X-Amz-Security-Token":  "token",
				"X-Amz-Meta-Records":    "1",
				"Content-Type":          "application/x-ndjson",
				"If-None-Match":         "", "Expect": "", "Content-Encoding": "",
				"X-Amz-Trailer": "", "X-Amz-Decoded-Content-Length": "",
			} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("%s: got %q, want %q", header, got, want)
				}
			}
			if ua := r.UserAgent(); !strings.Contains(ua, "spoolship/1.2") {
				t.Errorf("user agent %q", ua)
			}
		})
	}
}

func TestConditionOnTheWire(t *testing.T) {
	o := sinktest.NewObject("k", sinktest.Bytes(100))
	o.IfAbsent = true
	r, _ := putAndLook(t, false, o)
	if got := r.Header.Get("If-None-Match"); got != "*" {
		t.Errorf("If-None-Match: got %q", got)
	}
	if got := r.Header.Get("Expect"); got != "100-continue" {
		t.Errorf("Expect: got %q", got)
	}
}

// An object that exists costs no upload, and its answer can't be lost in a reset.
func TestExistingObjectIsNotSent(t *testing.T) {
	s := newSink(t, optionsFor(sinktest.NewServer(t)))
	content := sinktest.Bytes(4 << 20)
	if err := s.Put(t.Context(), sinktest.NewObject("k", content)); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		o := sinktest.NewObject("k", content)
		counter := &countingBody{Reader: bytes.NewReader(content)}
		o.Body, o.IfAbsent = counter, true
		if err := s.Put(t.Context(), o); err != sink.ErrExists {
			t.Fatalf("got %v, want ErrExists", err)
		}
		if counter.read != 0 {
			t.Fatalf("%d bytes were read for an object that exists", counter.read)
		}
	}
}

// Sequential uploads share one connection.
func TestConnectionIsReused(t *testing.T) {
	conns := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conns[r.RemoteAddr] = true
		io.Copy(io.Discard, r.Body)
		confirm(w, r)
	}))
	t.Cleanup(srv.Close)
	s := newSink(t, Options{Bucket: "b", Region: "r", Endpoint: srv.URL, PathStyle: true, Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"}})
	for range 10 {
		if err := s.Put(t.Context(), sinktest.NewObject("k", sinktest.Bytes(1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	if len(conns) != 1 {
		t.Errorf("%d connections for 10 uploads, want 1", len(conns))
	}
}

// Put's own work must not depend on the size of the object.
func BenchmarkPut(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		confirm(w, r)
	}))
	defer srv.Close()
	s, err := New(b.Context(), Options{Bucket: "b", Region: "r", Endpoint: srv.URL, PathStyle: true, Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	o := sinktest.NewObject("k", sinktest.Bytes(8<<20))
	b.SetBytes(o.Size)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Put(b.Context(), o); err != nil {
			b.Fatal(err)
		}
	}
}
