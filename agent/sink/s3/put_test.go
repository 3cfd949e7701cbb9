package s3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// failed asserts that err is a *sink.Error.
func failed(t *testing.T, err error) *sink.Error {
	t.Helper()
	var e *sink.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *sink.Error", err, err)
	}
	return e
}

// Each fault of a real connection: error → class, code, doubt, hint, and whether
// the object is in the bucket afterwards.
func TestFaults(t *testing.T) {
	tests := map[string]struct {
		fault    sinktest.Fault
		ifAbsent bool
		class    sink.Class
		codes    string // alternatives, separated by "|"
		doubt    bool
		hint     string // a part of it
		stored   bool
	}{
		"body cut":            {fault: sinktest.CutBody(100_000), codes: codeReset + "|" + codeClosed, doubt: true},
		"reset at once":       {fault: sinktest.CutBody(0), codes: codeReset + "|" + codeClosed, doubt: true},
		"answer lost":         {fault: sinktest.LoseAnswer(), codes: codeReset + "|" + codeClosed, doubt: true, stored: true},
		"late error":          {fault: sinktest.LateError(500, "InternalError"), codes: "InternalError", doubt: true, stored: true},
		"slow down":           {fault: sinktest.SlowDown("7"), class: sink.Throttled, codes: "SlowDown", doubt: true},
		"denied":              {fault: sinktest.Answer(403, "AccessDenied"), class: sink.Config, codes: "AccessDenied", hint: "s3:PutObject on arn:aws:s3:::bucket/*"},
		"denied, no document": {fault: sinktest.Answer(403, ""), class: sink.Config, codes: "AccessDenied", hint: "s3:PutObject"},
		"no bucket":           {fault: sinktest.Answer(404, "NoSuchBucket"), class: sink.Config, codes: "NoSuchBucket", hint: `create bucket "bucket"`},
		"wrong region":        {fault: sinktest.WrongRegion("us-west-2"), class: sink.Adapted, codes: "PermanentRedirect", hint: `set s3.region = "us-west-2"`},
		"login page":          {fault: sinktest.HTML(), codes: codeNotS3, doubt: true, hint: "proxy or a login page"},
		"no etag":             {fault: sinktest.NoETag(), codes: codeNotS3, doubt: true, hint: "s3.endpoint", stored: true},
		"wrong checksum":      {fault: sinktest.WrongChecksum(), codes: codeNotS3, doubt: true, stored: true},
		"page with etag":      {fault: sinktest.Reply(200, "<html>hi</html>", "ETag", `"1"`), codes: codeNotS3, doubt: true},
		"204":                 {fault: sinktest.Reply(204, "", "ETag", `"1"`), codes: codeNotS3, doubt: true},
		"error with 200":      {fault: sinktest.Reply(200, "<Error><Code>InternalError</Code></Error>", "ETag", `"1"`), codes: "InternalError", doubt: true},
		"portal redirect":     {fault: sinktest.Reply(302, "", "Location", "http://login.invalid/"), codes: codeNotS3, hint: "login page"},
		"proxy page 403":      {fault: sinktest.Reply(403, "<html>blocked</html>"), class: sink.Config, codes: codeNotS3, hint: "proxy"},
		"bad gateway":         {fault: sinktest.Reply(502, "<html>bad gateway</html>"), codes: "Bad Gateway", doubt: true},

		"unasked 412":            {fault: sinktest.Answer(412, "PreconditionFailed"), class: sink.Config, codes: "PreconditionFailed"},
		"412 not from S3":        {fault: sinktest.Reply(412, "<html>no</html>"), ifAbsent: true, class: sink.NotConditional, codes: codeNotS3, doubt: true},
		"501":                    {fault: sinktest.Answer(501, "NotImplemented"), ifAbsent: true, class: sink.NotConditional, codes: "NotImplemented"},
		"501, unconditional":     {fault: sinktest.Answer(501, "NotImplemented"), class: sink.Adapted, codes: "NotImplemented", hint: "does not implement"},
		"400 names condition":    {fault: sinktest.Reply(400, "<Error><Code>InvalidArgument</Code><Message>no If-None-Match please</Message></Error>"), ifAbsent: true, class: sink.NotConditional, codes: "NotImplemented"},
		"409":                    {fault: sinktest.Answer(409, "ConditionalRequestConflict"), ifAbsent: true, codes: "ConditionalRequestConflict", doubt: true},
		"lost, conditional":      {fault: sinktest.LoseAnswer(), ifAbsent: true, codes: codeReset + "|" + codeClosed, doubt: true, stored: true},
		"http on a https port":   {fault: sinktest.Reply(400, "Client sent an HTTP request to an HTTPS server.\n"), class: sink.Config, codes: codeNotS3, hint: "s3.endpoint"},
		"portal's answer is cut": {fault: sinktest.Reply(200, "", "ETag", `"1"`, "Content-Length", "1000"), codes: codeClosed, doubt: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			srv := sinktest.NewServer(t)
			srv.Script(func(sinktest.Request) sinktest.Fault { return test.fault })
			o := sinktest.NewObject("key", sinktest.Bytes(300_000))
			o.IfAbsent = test.ifAbsent
			e := failed(t, newSink(t, optionsFor(srv)).Put(t.Context(), o))

			if e.Class != test.class || e.InDoubt != test.doubt {
				t.Errorf("class %d, in doubt %v; want %d, %v (%v)", e.Class, e.InDoubt, test.class, test.doubt, e)
			}
			if !strings.Contains("|"+test.codes+"|", "|"+e.Code+"|") {
				t.Errorf("code %q, want %q (%v)", e.Code, test.codes, e)
			}
			if !strings.Contains(e.Hint, test.hint) || e.Class == sink.Config && test.hint != "" && e.Hint == "" {
				t.Errorf("hint %q, want it to contain %q", e.Hint, test.hint)
			}
			if !strings.Contains(e.Error(), `put "key" into bucket "bucket": `) {
				t.Errorf("the error does not name key and bucket: %v", e)
			}
			if n := len(srv.Requests()); n != 1 {
				t.Errorf("%d requests for one Put", n)
			}
			if _, ok := srv.Objects()["key"]; ok != test.stored {
				t.Errorf("object stored: %v, want %v", ok, test.stored)
			}
		})
	}
}

// The store that answers early and resets: whichever of the two arrives, the
// error must be one that leads to delivery.
func TestEarly412AndReset(t *testing.T) {
	srv := sinktest.NewServer(t)
	srv.Script(func(sinktest.Request) sinktest.Fault {
		return sinktest.EarlyReset(http.StatusPreconditionFailed, "PreconditionFailed")
	})
	s := newSink(t, optionsFor(srv))
	for range 20 {
		o := sinktest.NewObject("key", sinktest.Bytes(4<<20))
		o.IfAbsent = true
		if err := s.Put(t.Context(), o); err != sink.ErrExists {
			if e := failed(t, err); !e.InDoubt || e.Class != sink.Temporary || e.Status != 0 {
				t.Fatalf("got %+v, want a connection error in doubt", e)
			}
		}
	}
}

// The credentials, bucket and region that the server itself turns down.
func TestWrongSettings(t *testing.T) {
	srv := sinktest.NewServer(t)
	for want, change := range map[string]func(*Options){
		"SignatureDoesNotMatch":        func(o *Options) { o.SecretAccessKey += "x" },
		"InvalidAccessKeyId":           func(o *Options) { o.AccessKeyID += "x" },
		"NoSuchBucket":                 func(o *Options) { o.Bucket += "x" },
		"AuthorizationHeaderMalformed": func(o *Options) { o.Region = "us-east-1" },
	} {
		o := optionsFor(srv)
		change(&o)
		e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
		if e.Code != want || e.Class != sink.Config || e.Hint == "" || e.InDoubt {
			t.Errorf("got %+v, want %s with a hint", e, want)
		}
	}
	if n := len(srv.Objects()); n != 0 {
		t.Errorf("%d objects were stored", n)
	}
}

// Nothing listens, a server without TLS, an untrusted certificate:
// nothing was sent, so nothing is in doubt.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	plain, tls := sinktest.NewServer(t), sinktest.NewTLSServer(t)
	for _, test := range []struct {
		endpoint, code, hint string
		class                sink.Class
	}{
		{"http://" + l.Addr().String(), codeRefused, "firewalls", sink.Temporary},
		{strings.Replace(plain.URL, "http:", "https:", 1), codeNoTLS, "write http://", sink.Config},
		{tls.URL, codeCertificate, "s3.ca_file", sink.Config},
	} {
		o := optionsFor(plain)
		o.Endpoint = test.endpoint
		e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
		if e.Code != test.code || e.Class != test.class || e.InDoubt || e.Status != 0 || !strings.Contains(e.Hint, test.hint) {
			t.Errorf("%s: got %+v, want code %q", test.endpoint, e, test.code)
		}
	}
}

// A request that S3 could not be sent at all is for an operator.
func TestInvalidRequest(t *testing.T) {
	o := optionsFor(sinktest.NewServer(t))
	e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("", nil)))
	if e.Class != sink.Config || e.Code != codeInvalid || e.InDoubt || !strings.Contains(e.Hint, o.Bucket) {
		t.Errorf("got %+v", e)
	}
}

func TestNoCredentials(t *testing.T) {
	o := optionsFor(sinktest.NewServer(t))
	o.AccessKeyID, o.SecretAccessKey = "", ""
	e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
	if e.Class != sink.Config || e.Code != codeCredentials || e.InDoubt || !strings.Contains(e.Hint, "s3.access_key_id") {
		t.Errorf("got %+v", e)
	}
}

// Nothing in the environment may bring the SDK's retries or trailers back.
func TestEnvironmentChangesNothing(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "5")
	t.Setenv("AWS_RETRY_MODE", "adaptive")
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
	t.Setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_supported")
	srv := sinktest.NewServer(t)
	s := newSink(t, optionsFor(srv))
	for i, fault := range []sinktest.Fault{sinktest.CutBody(0), sinktest.Answer(500, "InternalError"), {}} {
		srv.Script(func(sinktest.Request) sinktest.Fault { return fault })
		if err := s.Put(t.Context(), sinktest.NewObject("key", sinktest.Bytes(100_000))); (err == nil) != (i == 2) {
			t.Errorf("Put %d: %v", i, err)
		}
		if n := len(srv.Requests()); n != i+1 {
			t.Fatalf("%d requests for %d Puts", n, i+1)
		}
	}
}

// A server that hangs: cancelling ends the attempt at once.
func TestCancelWhileHanging(t *testing.T) {
	for name, fault := range map[string]sinktest.Fault{
		"no answer":         sinktest.Hang(),
		"body stuck midway": sinktest.HangBody(100_000),
	} {
		t.Run(name, func(t *testing.T) {
			srv := sinktest.NewServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			var at time.Time
			srv.Script(func(sinktest.Request) sinktest.Fault {
				at = time.Now()
				cancel()
				return fault
			})
			e := failed(t, newSink(t, optionsFor(srv)).Put(ctx, sinktest.NewObject("key", sinktest.Bytes(16<<20))))
			if took := time.Since(at); took > time.Second {
				t.Errorf("cancelling took %v", took)
			}
			if !errors.Is(e, context.Canceled) || !e.InDoubt || e.Code != codeCancelled {
				t.Errorf("got %+v, want context.Canceled, in doubt", e)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	srv := sinktest.NewServer(t)
	srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.Hang() })
	o := optionsFor(srv)
	o.Timeout = 50 * time.Millisecond
	e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
	if e.Code != codeTimeout || e.Class != sink.Temporary || !e.InDoubt || errors.Is(e, context.Canceled) {
		t.Errorf("got %+v, want a time-out in doubt", e)
	}
}

// A hostile server repeats what it was sent; no error may show a secret.
func TestSecretsStaySecret(t *testing.T) {
	const secret, token = "s3cr3t/k+ey", "t0k3n=="
	srv := sinktest.NewServer(t)
	srv.Script(func(r sinktest.Request) sinktest.Fault {
		text := "your token is " + r.Header.Get("X-Amz-Security-Token") + " and your key " + secret
		return sinktest.Reply(403, "<Error><Code>AccessDenied</Code><Message>"+text+"\n\x1b[31m"+strings.Repeat("x", 10_000)+"</Message></Error>", "X-Amz-Request-Id", token)
	})
	o := optionsFor(srv)
	o.SecretAccessKey, o.SessionToken = secret, token
	e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		shown := err.Error() + e.Code + e.Hint
		if strings.Contains(shown, secret) || strings.Contains(shown, token) {
			t.Fatalf("a secret is shown: %.300s", shown)
		}
	}
	if len(e.Error()) > 1000 || strings.ContainsAny(e.Error(), "\n\x1b") {
		t.Errorf("text from outside is not bounded: %q", e.Error())
	}
}

// Many calls at once, some of which fail, on fewer connections.
func TestConcurrentFaults(t *testing.T) {
	srv := sinktest.NewServer(t)
	srv.Script(func(r sinktest.Request) sinktest.Fault {
		switch r.N % 5 {
		case 0:
			return sinktest.SlowDown("")
		case 1:
			return sinktest.CutBody(1000)
		case 2:
			return sinktest.LoseAnswer()
		}
		return sinktest.Fault{}
	})
	o := optionsFor(srv)
	o.MaxConns = 3
	s := newSink(t, o)
	var wg sync.WaitGroup
	for _, key := range strings.Fields("a b c d e f g h") {
		wg.Go(func() {
			o := sinktest.NewObject(key, sinktest.Bytes(100_000))
			for attempt := 0; ; attempt++ {
				o.IfAbsent = attempt > 0
				err := s.Put(t.Context(), o)
				if err == nil || err == sink.ErrExists {
					return
				}
				if attempt == 100 {
					t.Errorf("%s never arrives: %v", key, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for key, got := range srv.Objects() {
		if got.Puts != 1 || got.Changed {
			t.Errorf("%s was stored %d times, changed: %v", key, got.Puts, got.Changed)
		}
	}
	if n := len(srv.Objects()); n != 8 {
		t.Errorf("%d objects, want 8", n)
	}
}
