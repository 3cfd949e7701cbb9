package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signed makes a correct PutObject, signed by the SDK's signer.
func signed(t *testing.T, srv *Server, key string, body []byte, change func(*http.Request)) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, srv.URL+"/"+Bucket+"/"+key+"?x-id=PutObject", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hexOf(sum[:]))
	r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Meta-A", "b  c")
	if change != nil {
		change(r)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	err = signer.SignHTTP(context.Background(), aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey},
		r, r.Header.Get("X-Amz-Content-Sha256"), "s3", Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// send returns the status and the body of the answer.
func send(t *testing.T, srv *Server, r *http.Request) (int, string) {
	t.Helper()
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServerStores(t *testing.T) {
	srv := NewServer(t)
	for range 2 {
		if status, body := send(t, srv, signed(t, srv, "a/b=c", []byte("hello"), nil)); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	o := srv.Objects()["a/b=c"]
	if string(o.Body) != "hello" || o.Metadata["a"] != "b  c" && o.Metadata["a"] != "b c" || o.Puts != 2 || o.Changed {
		t.Fatalf("%+v", o)
	}
	send(t, srv, signed(t, srv, "a/b=c", []byte("other"), nil))
	if o := srv.Objects()["a/b=c"]; !o.Changed || o.Puts != 3 {
		t.Fatalf("another content is not noticed: %+v", o)
	}
	if r := srv.Requests(); len(r) != 3 || r[2].N != 3 || r[2].Key != "a/b=c" || r[2].Size != 5 {
		t.Fatalf("%+v", r)
	}
}

// A double that accepts what S3 refuses would prove nothing.
func TestServerIsStrict(t *testing.T) {
	srv := NewServer(t)
	other := sha256.Sum256([]byte("other"))
	for name, test := range map[string]struct {
		change, after func(*http.Request)
		code          string
	}{
		"wrong checksum": {change: func(r *http.Request) {
			r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(other[:]))
		}, code: "BadDigest"},
		"no checksum": {change: func(r *http.Request) { r.Header.Del("X-Amz-Checksum-Sha256") }, code: "InvalidRequest"},
		"wrong MD5": {change: func(r *http.Request) {
			r.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(other[:16]))
		}, code: "BadDigest"},
		"signed Accept-Encoding": {change: func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity") }, code: "SignatureDoesNotMatch"},
		"wrong payload hash":     {change: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hexOf(other[:])) }, code: "XAmzContentSHA256Mismatch"},
		"unsigned payload":       {change: func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, code: "InvalidRequest"},
		"chunked":                {after: func(r *http.Request) { r.ContentLength = -1 }, code: "MissingContentLength"},
		"not signed":             {after: func(r *http.Request) { r.Header.Del("Authorization") }, code: "AccessDenied"},
		"changed after":          {after: func(r *http.Request) { r.Header.Set("X-Amz-Meta-A", "other") }, code: "SignatureDoesNotMatch"},
		"another key":            {after: func(r *http.Request) { r.URL.Path += "x" }, code: "SignatureDoesNotMatch"},
		"another bucket":         {after: func(r *http.Request) { r.URL.Path = "/other/key" }, code: "NoSuchBucket"},
		"a read":                 {after: func(r *http.Request) { r.Method = http.MethodGet }, code: "MethodNotAllowed"},
	} {
		r := signed(t, srv, "key", []byte("hello"), test.change)
		if test.after != nil {
			test.after(r)
		}
		if status, body := send(t, srv, r); status < 400 || !strings.Contains(body, "<Code>"+test.code+"</Code>") {
			t.Errorf("%s: got %d %s, want %s", name, status, body, test.code)
		}
	}
	if n := len(srv.Objects()); n != 0 {
		t.Errorf("%d objects were stored", n)
	}
}

func TestServerCondition(t *testing.T) {
	srv := NewServer(t)
	ifAbsent := func(r *http.Request) { r.Header.Set("If-None-Match", "*") }
	for _, want := range []int{200, 412} {
		if status, body := send(t, srv, signed(t, srv, "key", []byte("hello"), ifAbsent)); status != want {
			t.Fatalf("got %d %s, want %d", status, body, want)
		}
	}
}

// A script sees each request and can be taken back.
func TestScript(t *testing.T) {
	srv := NewServer(t)
	srv.Script(func(r Request) Fault {
		if r.N == 2 {
			return SlowDown("3")
		}
		return Fault{}
	})
	for i, want := range []int{200, 503, 200} {
		if status, _ := send(t, srv, signed(t, srv, "key", []byte("x"), nil)); status != want {
			t.Errorf("call %d: got %d, want %d", i+1, status, want)
		}
	}
	srv.Script(func(Request) Fault { return Answer(403, "AccessDenied") })
	srv.Script(nil)
	if status, _ := send(t, srv, signed(t, srv, "key", []byte("x"), nil)); status != 200 {
		t.Errorf("the script is still there: %d", status)
	}
}

// The zero Fault and the faults that break the connection before an answer.
func TestFaultsBreakConnections(t *testing.T) {
	srv := NewServer(t)
	for name, test := range map[string]struct {
		fault  Fault
		stored bool
	}{
		"cut":  {CutBody(10), false},
		"lost": {LoseAnswer(), true},
	} {
		srv.Script(func(Request) Fault { return test.fault })
		resp, err := srv.Client().Do(signed(t, srv, name, Bytes(100_000), nil))
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: answered with %s", name, resp.Status)
		}
		if _, ok := srv.Objects()[name]; ok != test.stored {
			t.Errorf("%s: stored: %v", name, ok)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=ID/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=00ff")
	f.Add("AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=")
	f.Add("Basic eDp5")
	f.Fuzz(func(t *testing.T, header string) {
		r, err := http.NewRequest(http.MethodPut, "http://host/bucket/key", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		if code := checkSignature(r, strings.Repeat("0", 64)); code == "" {
			t.Fatalf("%q was accepted", header)
		}
	})
}
