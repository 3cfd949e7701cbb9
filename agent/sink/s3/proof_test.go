package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// Which answers prove that a store has the object, and which don't.
func TestProof(t *testing.T) {
	content := []byte("some text")
	sum := md5.Sum(content)
	md5Hex, md5Base64 := hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:])
	sha := base64.StdEncoding.EncodeToString(payloadOf(content))
	const id = "X-Amz-Request-Id"
	for name, test := range map[string]struct {
		status  int
		body    string
		headers []string
		plain   bool // delivered over http
		tls     bool // delivered over https
	}{
		"a portal's JSON":           {body: `{"status":"login"}`, headers: []string{"ETag", `"1"`}},
		"its JSON with a request":   {body: `{"status":"login"}`, headers: []string{"ETag", `"1"`, id, "1"}},
		"the same ETag always":      {headers: []string{"ETag", `"d41d8cd98f00b204e9800998ecf8427e"`}},
		"a weak ETag":               {headers: []string{"ETag", `W/"1"`}},
		"no ETag":                   {headers: []string{id, "1"}},
		"no ETag, text":             {body: "ok"},
		"201":                       {status: 201, headers: []string{"ETag", md5Hex, id, "1"}},
		"204":                       {status: 204, headers: []string{"ETag", md5Hex, id, "1"}},
		"206":                       {status: 206, headers: []string{"ETag", md5Hex, id, "1"}},
		"304":                       {status: 304, headers: []string{"ETag", md5Hex, id, "1"}},
		"HTML with MD5":             {body: "<html>", headers: []string{"ETag", md5Hex}},
		"an error with MD5":         {body: "<Error><Code>InternalError</Code></Error>", headers: []string{"ETag", md5Hex}},
		"another checksum":          {headers: []string{"ETag", md5Hex, headerSHA256, base64.StdEncoding.EncodeToString(payloadOf(nil))}},
		"request id alone":          {headers: []string{"ETag", `"1"`, id, "1"}, tls: true},
		"encrypted by S3":           {headers: []string{"ETag", `"1"`, id, "1", headerEncryption, "AES256"}, tls: true},
		"encrypted by KMS":          {headers: []string{"ETag", `"1"`, id, "1", headerEncryption, "aws:kms"}, plain: true, tls: true},
		"encrypted by KMS, no id":   {headers: []string{"ETag", `"1"`, headerEncryption, "aws:kms"}},
		"the checksum":              {headers: []string{"ETag", `"1"`, headerSHA256, sha}, plain: true, tls: true},
		"MD5":                       {headers: []string{"ETag", `"` + md5Hex + `"`}, plain: true, tls: true},
		"MD5, unquoted":             {headers: []string{"ETag", md5Hex}, plain: true, tls: true},
		"MD5, upper case":           {headers: []string{"ETag", `"` + strings.ToUpper(md5Hex) + `"`}, plain: true, tls: true},
		"MD5, weak":                 {headers: []string{"ETag", `W/"` + md5Hex + `"`}, plain: true, tls: true},
		"Google's, own key":         {headers: []string{"ETag", `"CJC="`, "X-Goog-Hash", "crc32c=AAAAAA==,md5=" + md5Base64}, plain: true, tls: true},
		"Google's, another content": {headers: []string{"ETag", `"CJC="`, "X-Goog-Hash", "md5=" + sha}},
	} {
		for scheme, want := range map[string]bool{"http": test.plain, "https": test.tls} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				start := sinktest.NewServer
				if scheme == "https" {
					start = sinktest.NewTLSServer
				}
				srv := start(t)
				status := test.status
				if status == 0 {
					status = http.StatusOK
				}
				srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.Reply(status, test.body, test.headers...) })
				o := optionsFor(srv)
				if scheme == "https" {
					o.HTTPClient = trusting(srv)
				}
				err := newSink(t, o).Put(t.Context(), sinktest.NewObject("key", content))
				if (err == nil) != want {
					t.Fatalf("got %v; want it delivered: %v", err, want)
				}
				if err != nil {
					if e := failed(t, err); e.Class == sink.Adapted || e.Hint == "" && e.Code != "InternalError" || status == 200 && !e.InDoubt {
						t.Errorf("got %+v", e)
					}
				}
			})
		}
	}
}

// Who answers before all of the object was sent does not have it.
func TestEarlyAnswerProvesNothing(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set(headerSHA256, r.Header.Get(headerSHA256))
	}))
	defer srv.Close()
	s := newSink(t, Options{
		Bucket: "b", Region: "r", Endpoint: srv.URL, PathStyle: true, Access: Access{AccessKeyID: "a", SecretAccessKey: "s"},
	})
	if err := s.Put(t.Context(), sinktest.NewObject("key", make([]byte, 32<<20))); err == nil {
		t.Error("delivered")
	}
}

func payloadOf(content []byte) []byte {
	o := sinktest.NewObject("", content)
	return o.SHA256[:]
}

// Once a store has repeated the checksum, it has to every time.
func TestEchoIsDemanded(t *testing.T) {
	srv := sinktest.NewServer(t)
	s := newSink(t, optionsFor(srv))
	put := func() error { return s.Put(t.Context(), sinktest.NewObject("key", []byte("x"))) }
	srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.Plain("") })
	if err := put(); err != nil {
		t.Fatalf("an ETag that is the MD5: %v", err)
	}
	srv.Script(nil)
	if err := put(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.Plain("") })
		if e := failed(t, put()); e.Code != codeNotS3 || !e.InDoubt || !e.Spoilt || !strings.Contains(e.Hint, "repeated the SHA-256") {
			t.Errorf("without the checksum: %+v", e)
		}
	}
	srv.Script(nil)
	if err := put(); err != nil {
		t.Error(err)
	}
}

// AWS repeats the checksum from the start.
func TestEchoOfAWS(t *testing.T) {
	content := []byte("x")
	s := newSink(t, Options{
		Bucket: "logs", Region: "eu-central-1", Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"},
		HTTPClient: roundTrip(func(*http.Request) *http.Response {
			answer := httptest.NewRecorder()
			sum := md5.Sum(content)
			answer.Header().Set("ETag", hex.EncodeToString(sum[:]))
			return answer.Result()
		}),
	})
	if e := failed(t, s.Put(t.Context(), sinktest.NewObject("k", content))); e.Code != codeNotS3 {
		t.Errorf("got %+v", e)
	}
}

// A store without x-amz-checksum-sha256 gets Content-MD5, which it checks; that is
// found out once.
func TestChecksumIsFoundOut(t *testing.T) {
	for name, refusal := range map[string]sinktest.Fault{
		"Backblaze":   sinktest.Reply(400, "<Error><Code>InvalidArgument</Code><Message>Unsupported header 'x-amz-checksum-sha256' received for this API call.</Message></Error>"),
		"by 501":      sinktest.Answer(501, "NotImplemented"),
		"Cloudflare":  sinktest.Reply(501, "<Error><Code>NotImplemented</Code><Message>Header 'x-amz-checksum-sha256' with value 'x' not implemented</Message></Error>"),
		"Object Lock": sinktest.Reply(400, "<Error><Code>InvalidRequest</Code><Message>Content-MD5 HTTP header is required for Put Object requests with Object Lock parameters</Message></Error>"),
	} {
		for _, option := range []string{"", "auto", "sha256", "md5"} {
			t.Run(name+" "+option, func(t *testing.T) {
				srv := sinktest.NewServer(t)
				srv.Script(func(r sinktest.Request) sinktest.Fault {
					if r.Header.Get(headerSHA256) != "" {
						return refusal
					}
					return sinktest.Plain("")
				})
				o := optionsFor(srv)
				o.Checksum = option
				s := newSink(t, o)
				put := func(n int) error {
					o := sinktest.NewObject(fmt.Sprint(n), sinktest.Bytes(100_000+n))
					o.IfAbsent = n == 2
					return s.Put(t.Context(), o)
				}
				adapted := 0
				for n := range 4 {
					err := put(n)
					if option == "sha256" {
						if e := failed(t, err); e.Class != sink.Config || e.Hint == "" || name != "Object Lock" && name != "by 501" && !strings.Contains(e.Hint, `s3.checksum = "md5"`) {
							if n != 2 || e.Class != sink.NotConditional { // a 501 may be the condition's
								t.Errorf("got %+v", e)
							}
						}
						continue
					}
					if err != nil {
						if e := failed(t, err); e.Class != sink.Adapted || e.InDoubt {
							t.Errorf("Put %d: %+v", n, e)
						}
						adapted++
						if err := put(n); err != nil {
							t.Errorf("Put %d again: %v", n, err)
						}
					}
				}
				if want := map[string]int{"": 1, "auto": 1}[option]; adapted != want {
					t.Errorf("adapted %d times, want %d", adapted, want)
				}
				if option != "sha256" && len(srv.Objects()) != 4 {
					t.Errorf("%d objects", len(srv.Objects()))
				}
			})
		}
	}
}

// Content-MD5 is of what is sent: the store turns away other bytes.
func TestMD5IsChecked(t *testing.T) {
	srv := sinktest.NewServer(t)
	o := optionsFor(srv)
	o.Checksum = "md5"
	s := newSink(t, o)
	short := sinktest.NewObject("key", []byte("text"))
	short.Size++
	if e := failed(t, s.Put(t.Context(), short)); e.Code != codeUnreadable || e.InDoubt {
		t.Errorf("got %+v", e)
	}
	object := sinktest.NewObject("key", []byte("text"))
	object.Body = bytes.NewReader([]byte("test"))
	if e := failed(t, s.Put(t.Context(), object)); e.Code != "XAmzContentSHA256Mismatch" {
		t.Errorf("got %+v", e)
	}
	if len(srv.Objects()) != 0 {
		t.Error("it was stored")
	}
}

// A proxy without 100-continue is met once, even if it knows nothing of S3.
func TestExpectationFails(t *testing.T) {
	for name, refusal := range map[string]sinktest.Fault{
		"page":     sinktest.Reply(417, "<html>Expectation Failed</html>"),
		"nothing":  sinktest.Reply(417, ""),
		"document": sinktest.Answer(417, "ExpectationFailed"),
	} {
		srv := sinktest.NewServer(t)
		srv.Script(func(r sinktest.Request) sinktest.Fault {
			if r.Header.Get("Expect") != "" {
				return refusal
			}
			return sinktest.Fault{}
		})
		s := newSink(t, optionsFor(srv))
		adapted := 0
		for n := range 6 {
			o := sinktest.NewObject(fmt.Sprint(n), sinktest.Bytes(1000))
			o.IfAbsent = true
			err := s.Put(t.Context(), o)
			if err != nil {
				if e := failed(t, err); e.Class != sink.Adapted || !strings.Contains(e.Hint, "100-continue") {
					t.Errorf("%s: %+v", name, e)
				}
				adapted++
				err = s.Put(t.Context(), o)
			}
			if err != nil {
				t.Errorf("%s: Put %d: %v", name, n, err)
			}
		}
		if adapted != 1 || len(srv.Requests()) != 7 {
			t.Errorf("%s: adapted %d times in %d requests", name, adapted, len(srv.Requests()))
		}
		srv.Script(func(sinktest.Request) sinktest.Fault { return refusal })
		if e := failed(t, s.Put(t.Context(), sinktest.NewObject("more", nil))); e.Class != sink.Config || e.Hint == "" {
			t.Errorf("%s to a request without Expect: %+v", name, e)
		}
	}
}

// Google's front end rewrites Accept-Encoding, so it must not be signed.
func TestAcceptEncodingIsNotSigned(t *testing.T) {
	srv := sinktest.NewServer(t)
	if err := newSink(t, optionsFor(srv)).Put(t.Context(), sinktest.NewObject("key", nil)); err != nil {
		t.Fatal(err)
	}
	h := srv.Requests()[0].Header
	if auth := h.Get("Authorization"); strings.Contains(auth, "accept-encoding") || !strings.Contains(auth, "SignedHeaders=") {
		t.Errorf("signed as %s", auth)
	}
	if h.Get("Accept-Encoding") != "" {
		t.Errorf("Accept-Encoding: %s", h.Get("Accept-Encoding"))
	}
}
