package s3

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

var testPlace = newPlace(Options{Bucket: "logs"}, "eu-central-1", nil)

// answered makes an attempt that got that answer.
func answered(status int, code string, headers ...string) *attempt {
	a := &answer{status: status, header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		a.header.Set(headers[i], headers[i+1])
	}
	if code != "" {
		a.body = []byte("<Error><Code>" + code + "</Code><Message>text</Message></Error>")
	}
	a.parse()
	at := &attempt{object: sinktest.NewObject("k", []byte("x")), body: &body{}, answer: a}
	at.begun.Store(true)
	return at
}

// Every S3 code that has a rule, and the statuses alone.
func TestClassifyAnswers(t *testing.T) {
	const T, H, C = sink.Temporary, sink.Throttled, sink.Config
	for _, test := range []struct {
		status int
		code   string
		class  sink.Class
		doubt  bool
		hint   string
	}{
		{403, "AccessDenied", C, false, "s3:PutObject on arn:aws:s3:::logs/*"},
		{403, "SignatureDoesNotMatch", C, false, "s3.secret_access_key"},
		{403, "InvalidAccessKeyId", C, false, "s3.access_key_id"},
		{400, "ExpiredToken", C, false, "renew"},
		{403, "ExpiredToken", C, false, "renew"},
		{400, "InvalidToken", C, false, "AWS_SESSION_TOKEN"},
		{403, "RequestTimeTooSkewed", C, false, "clock"},
		{404, "NoSuchBucket", C, false, `create bucket "logs"`},
		{400, "InvalidBucketName", C, false, "s3.bucket"},
		{400, "AuthorizationHeaderMalformed", C, false, "s3.region"},
		{400, "IllegalLocationConstraintException", C, false, "s3.region"},
		{301, "PermanentRedirect", C, false, `not in region "eu-central-1"`},
		{307, "TemporaryRedirect", C, false, "s3.region"},
		{400, "EntityTooLarge", C, false, "chunk.max_size"},
		{413, "", C, false, "chunk.max_size"},
		{400, "KeyTooLongError", C, false, "s3.key"},
		{400, "MetadataTooLarge", C, false, "metadata"},
		{403, "QuotaExceeded", C, false, "quota"},
		{400, "InvalidArgument", C, false, "refuses the request"},
		{405, "MethodNotAllowed", C, false, "https://s3.eu-central-1.amazonaws.com"},
		{501, "NotImplemented", C, false, "does not implement"},
		{401, "", C, false, "s3.access_key_id"},
		{407, "", C, false, "HTTPS_PROXY"},
		{418, "", C, false, "refuses"},
		{400, "BadDigest", T, false, ""},
		{400, "RequestTimeout", T, false, ""},
		{400, "IncompleteBody", T, false, ""},
		{400, "XAmzContentSHA256Mismatch", T, false, ""},
		{408, "", T, false, ""},
		{425, "", T, false, ""},
		{409, "ConditionalRequestConflict", T, true, ""},
		{409, "OperationAborted", T, true, ""},
		{500, "InternalError", T, true, ""},
		{500, "", T, true, ""},
		{502, "", T, true, ""},
		{503, "ServiceUnavailable", T, true, ""},
		{504, "", T, true, ""},
		{507, "XMinioStorageFull", T, true, "full"},
		{503, "SlowDown", H, true, ""},
		{503, "RequestLimitExceeded", H, true, ""},
		{400, "ThrottlingException", H, true, ""},
		{429, "TooManyRequests", H, false, ""},
		{429, "", H, false, ""},
	} {
		e := failed(t, testPlace.classify(answered(test.status, test.code), time.Now()))
		if e.Class != test.class || e.InDoubt != test.doubt || e.Status != test.status {
			t.Errorf("%d %s: got class %d, doubt %v, status %d", test.status, test.code, e.Class, e.InDoubt, e.Status)
		}
		if !strings.Contains(e.Hint, test.hint) || (e.Class == sink.Config) != (e.Hint != "") && test.status != 507 {
			t.Errorf("%d %s: hint %q, want %q", test.status, test.code, e.Hint, test.hint)
		}
		if strings.Contains(e.Hint, "{") || e.Code == "" || test.code != "" && e.Code != test.code {
			t.Errorf("%d %s: code %q, hint %q", test.status, test.code, e.Code, e.Hint)
		}
	}
}

// A rule nobody wrote a test for still has to tell an operator something.
func TestEveryConfigRuleHasAHint(t *testing.T) {
	for code, r := range codeRules {
		if hint := testPlace.hint(r.hint); r.class == sink.Config && hint == "" || strings.ContainsAny(hint, "{}") {
			t.Errorf("%s: hint %q", code, hint)
		}
	}
	for status, r := range statusRules {
		if r.class == sink.Config && r.hint == "" {
			t.Errorf("%d: no hint", status)
		}
	}
}

// Stores other than AWS mean more by an answer than AWS does, and AWS's hints do
// not speak of them.
func TestHintsOfOtherStores(t *testing.T) {
	other := "https://s3.internal:9000"
	host := newPlace(Options{Bucket: "logs"}, "eu-central-1", &other)
	path := newPlace(Options{Bucket: "logs", PathStyle: true}, "eu-central-1", &other)
	for _, test := range []struct {
		status      int
		code        string
		hint, style string // for any other store, for one without path_style
	}{
		{404, "NoSuchBucket", "s3.access_key_id", "s3.path_style = true"},
		{404, "NotAuthorizedOrNotFound", "s3.access_key_id", "s3.path_style = true"}, // OCI
		{404, "XAdminUserNotFound", "s3.access_key_id", ""},                          // versitygw
		{403, "AccessDenied", "s3.access_key_id", "s3.path_style = true"},            // Garage, SeaweedFS
		{400, "InvalidArgument", "s3.access_key_id", ""},                             // R2: of another length
		{403, "SignatureDoesNotMatch", "s3.region", ""},                              // OCI: of another region
		{400, "InvalidStorageClass", "s3.storage_class", ""},
		{400, "AccessControlListNotSupported", "s3.acl", ""},
	} {
		at := func(p place) string { return failed(t, p.classify(answered(test.status, test.code), time.Now())).Hint }
		if hint := at(path); !strings.Contains(hint, test.hint) || strings.Contains(hint, "path_style") || len(hint) > maxText {
			t.Errorf("%s: hint %q", test.code, hint)
		}
		if hint := at(host); !strings.Contains(hint, test.hint) || !strings.Contains(hint, test.style) || len(hint) > maxText {
			t.Errorf("%s: hint %q", test.code, hint)
		}
		if hint := at(testPlace); strings.Contains(hint, "some stores") || strings.Contains(hint, "path_style") {
			t.Errorf("%s at AWS: hint %q", test.code, hint)
		}
	}
	dns := func(name string) error { return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true} }
	certificate := x509.HostnameError{Certificate: &x509.Certificate{}, Host: "logs.s3.internal"}
	twice, e := "https://logs.s3.eu-central-1.amazonaws.com", &sink.Error{}
	newPlace(Options{Bucket: "logs"}, "eu-central-1", &twice).explain(e, &answerError{dns("logs.logs.s3.eu-central-1.amazonaws.com")})
	if !strings.Contains(e.Hint, "remove it from s3.endpoint") {
		t.Errorf("the bucket in the endpoint: %+v", e)
	}
	for _, test := range []struct {
		place place
		err   error
		style bool
	}{
		{host, dns("logs.s3.internal"), true},
		{host, certificate, true},
		{host, dns("s3.internal"), false},
		{path, dns("s3.internal"), false},
		{path, certificate, false},
		{testPlace, dns("logs.s3.eu-central-1.amazonaws.com"), false},
	} {
		e := &sink.Error{}
		test.place.explain(e, &answerError{test.err})
		if strings.Contains(e.Hint, "set s3.path_style = true") != test.style || e.Hint == "" || strings.Contains(e.Hint, "{") {
			t.Errorf("%v at %s: %+v", test.err, test.place.endpoint, e)
		}
	}
}

func TestRightRegionIsNamed(t *testing.T) {
	for name, a := range map[string]*attempt{
		"301 header":     answered(301, "", "X-Amz-Bucket-Region", "us-west-2"),
		"307 header":     answered(307, "TemporaryRedirect", "X-Amz-Bucket-Region", "us-west-2"),
		"400 header":     answered(400, "AuthorizationHeaderMalformed", "X-Amz-Bucket-Region", "us-west-2"),
		"400 in the XML": answered(400, ""),
	} {
		if name == "400 in the XML" {
			a.answer.body = []byte("<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>")
			a.answer.parse()
		}
		e := failed(t, testPlace.classify(a, time.Now()))
		if e.Class != sink.Config || !strings.Contains(e.Hint, `set s3.region = "us-west-2" (it is "eu-central-1")`) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// 412 means "delivered" only if the condition was asked for and S3 says so.
func TestExists(t *testing.T) {
	for name, test := range map[string]struct {
		a        *attempt
		ifAbsent bool
		exists   bool
	}{
		"asked":                   {answered(412, "PreconditionFailed"), true, true},
		"asked, no document":      {answered(412, "", "X-Amz-Request-Id", "1"), true, true},
		"asked, nothing at all":   {answered(412, ""), true, false},
		"not asked":               {answered(412, "PreconditionFailed"), false, false},
		"asked, another document": {answered(412, "AccessDenied"), true, false},
	} {
		test.a.object.IfAbsent = test.ifAbsent
		if err := testPlace.classify(test.a, time.Now()); (err == sink.ErrExists) != test.exists || err == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestStored(t *testing.T) {
	ok := func() *attempt {
		a := answered(200, "", "Etag", `"e"`)
		a.answer.header.Set(headerSHA256, base64.StdEncoding.EncodeToString(a.object.SHA256[:]))
		return a
	}
	cancelledLate := ok()
	cancelledLate.cancelled = context.Canceled
	for name, a := range map[string]*attempt{"with checksum": ok(), "cancelled after the answer": cancelledLate} {
		if err := testPlace.classify(a, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cut := ok()
	cut.err = &answerError{io.ErrUnexpectedEOF}
	if e := failed(t, testPlace.classify(cut, time.Now())); !e.InDoubt || e.Code != codeClosed {
		t.Errorf("an answer that breaks off: %+v", e)
	}
}

// The network errors that are hard to provoke; the others are in TestFaults and
// TestUnreachable.
func TestDiagnose(t *testing.T) {
	for want, err := range map[string]error{
		codeDNS:         &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}},
		codeReset:       syscall.EPIPE,
		codeUnreachable: syscall.EHOSTUNREACH,
		codeTimeout:     context.DeadlineExceeded,
		codeClosed:      io.ErrUnexpectedEOF,
		codeNetwork:     errors.New("something new"),
	} {
		code, class, _ := diagnose(&answerError{err})
		if code != want || class != sink.Temporary {
			t.Errorf("%v: got %q, class %d", err, code, class)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0,
		"4294967295": maxRetryAfter, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0,
		"Sat, 03 Jan 2026 03:04:00 GMT": maxRetryAfter,
	} {
		if e := failed(t, testPlace.classify(answered(503, "SlowDown", "Retry-After", value), now)); e.RetryAfter != want {
			t.Errorf("%q: got %v, want %v", value, e.RetryAfter, want)
		}
	}
}

// Whatever comes back, classify neither panics nor takes it for an existing or
// stored object unless it looks like S3.
func FuzzAnswer(f *testing.F) {
	md5 := strings.Repeat("0123456789abcdef", 2)
	sum, err := hex.DecodeString(md5)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, "<Error><Code>InternalError</Code></Error>", "", "\"e\"", true)
	f.Add(200, "{}", "", md5, true)
	f.Add(412, "<?xml version=\"1.0\"?><Error><Code>PreconditionFailed</Code></Error>", "", "", true)
	f.Add(503, "<Error><Code>SlowDown</Code><Message>x</Message></Error>", "120", "", false)
	f.Add(301, "<html>", "Fri, 02 Jan 2026 03:04:00 GMT", "", false)
	f.Add(200, "\xff<", "-1", "e", false)
	f.Fuzz(func(t *testing.T, status int, doc, retry, etag string, ifAbsent bool) {
		a := answered(status, "", "Retry-After", retry, "Etag", etag)
		a.object.IfAbsent, a.md5 = ifAbsent, sum
		a.answer.body = []byte(strings.TrimSpace(doc))
		a.answer.parse()
		switch err := testPlace.classify(a, time.Now()); err {
		case nil:
			if status != 200 || !strings.Contains(strings.ToLower(etag), md5) || strings.HasPrefix(strings.TrimSpace(doc), "<") {
				t.Fatal("taken for stored")
			}
		case sink.ErrExists:
			if status != 412 || !ifAbsent || a.answer.code != "PreconditionFailed" {
				t.Fatal("taken for existing")
			}
		default:
			e := failed(t, err)
			if e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter || e.Code == "" || e.Err == nil {
				t.Fatalf("%+v", e)
			}
		}
	})
}
