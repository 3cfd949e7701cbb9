package sinktest

import (
	"crypto/x509"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// The bucket and the credentials that every Server knows. The bucket is
// addressed in the path.
const (
	Bucket          = "bucket"
	Region          = "eu-central-1"
	AccessKeyID     = "AKIDSINKTEST"
	SecretAccessKey = "sinktest/secret+key"
)

// Object is a stored object.
type Object struct {
	Body        []byte
	ContentType string
	Metadata    map[string]string // keys in lower case
	Puts        int               // how often it was stored
	// Changed says that a later Put brought different bytes: with it, one key
	// had two contents, whichever of them is here.
	Changed bool
}

// Request is one call, as a script sees it before the body is read.
type Request struct {
	N        int // 1 for the server's first call; calls are numbered as they arrive
	Key      string
	Size     int64 // Content-Length
	IfAbsent bool  // If-None-Match: *
	Header   http.Header
}

// Server is an S3 endpoint with one bucket, in memory. Its methods may be called
// concurrently, and while requests are under way.
type Server struct {
	URL string // the endpoint, for example "http://127.0.0.1:40000"

	http   *httptest.Server
	closed chan struct{}

	mu       sync.Mutex
	script   func(Request) Fault
	calls    int
	requests []Request
	objects  map[string]*Object
}

// NewServer starts a server on loopback; it ends with the test, hanging
// requests included.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := newServer()
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	t.Cleanup(s.close)
	return s
}

// NewTLSServer is NewServer over HTTPS. Client's transport trusts it.
func NewTLSServer(t testing.TB) *Server {
	t.Helper()
	s := newServer()
	s.http = httptest.NewUnstartedServer(s)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that give up are what it is for
	s.http.StartTLS()
	s.URL = s.http.URL
	t.Cleanup(s.close)
	return s
}

func newServer() *Server {
	return &Server{objects: map[string]*Object{}, closed: make(chan struct{})}
}

// close ends what hangs first, since the HTTP server waits for its handlers.
func (s *Server) close() {
	close(s.closed)
	s.http.CloseClientConnections()
	s.http.Close()
}

// Client returns an HTTP client that trusts the server's certificate.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Certificate returns what a TLS server shows, nil for one without TLS.
func (s *Server) Certificate() *x509.Certificate { return s.http.Certificate() }

// Script has f decide what goes wrong with each request from now on; nil ends
// that. f is called before the body is read, for concurrent requests
// concurrently, and may block: the request then hangs with it.
func (s *Server) Script(f func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = f
}

// Objects returns what is stored, by key. Bodies must not be changed.
func (s *Server) Objects() map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := make(map[string]Object, len(s.objects))
	for key, o := range s.objects {
		objects[key] = *o
	}
	return objects
}

// Requests returns the calls so far, in the order of their arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// arrive numbers a call and asks the script about it.
func (s *Server) arrive(r *http.Request, key string) Fault {
	s.mu.Lock()
	s.calls++
	call := Request{
		N: s.calls, Key: key, Size: r.ContentLength,
		IfAbsent: r.Header.Get("If-None-Match") == "*",
		Header:   r.Header.Clone(),
	}
	s.requests = append(s.requests, call)
	script := s.script
	s.mu.Unlock()
	if script == nil {
		return Fault{}
	}
	return script(call)
}

// store keeps an object, or reports that it is there already.
func (s *Server) store(key string, o *Object, ifAbsent bool) (stored bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.objects[key]
	switch {
	case old != nil && ifAbsent:
		return false
	case old != nil:
		o.Puts = old.Puts
		o.Changed = old.Changed || string(old.Body) != string(o.Body) || !maps.Equal(old.Metadata, o.Metadata)
	}
	o.Puts++
	s.objects[key] = o
	return true
}
