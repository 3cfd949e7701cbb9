package s3

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// Every option arrives as the header that S3 knows it by, and is signed.
func TestObjectOptionsOnTheWire(t *testing.T) {
	headers := map[string]string{
		"X-Amz-Tagging": "", "X-Amz-Acl": "", "X-Amz-Storage-Class": "", "X-Amz-Server-Side-Encryption": "",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "", "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "",
		"X-Amz-Request-Payer": "", "X-Amz-Expected-Bucket-Owner": "",
		"X-Amz-Meta-Team": "", "X-Amz-Meta-Records": "1", "Content-Type": "application/x-ndjson",
	}
	for name, test := range map[string]struct {
		o    ObjectOptions
		want map[string]string
	}{
		"none":         {},
		"content type": {ObjectOptions{ContentType: "application/json"}, map[string]string{"Content-Type": "application/json"}},
		"metadata":     {ObjectOptions{Metadata: map[string]string{"Team": "ops", "records": "99"}}, map[string]string{"X-Amz-Meta-Team": "ops"}},
		"tags":         {ObjectOptions{Tags: map[string]string{"team": "log ops", "a+b": "c=d/e"}}, map[string]string{"X-Amz-Tagging": "a%2Bb=c%3Dd%2Fe&team=log+ops"}},
		"acl":          {ObjectOptions{ACL: "bucket-owner-full-control"}, map[string]string{"X-Amz-Acl": "bucket-owner-full-control"}},
		"class":        {ObjectOptions{StorageClass: "STANDARD_IA"}, map[string]string{"X-Amz-Storage-Class": "STANDARD_IA"}},
		"SSE-S3":       {ObjectOptions{Encryption: "AES256"}, map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
		"SSE-KMS": {ObjectOptions{Encryption: "aws:kms", KMSKeyID: "alias/logs", BucketKey: true}, map[string]string{
			"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/logs",
			"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true",
		}},
		"payer": {ObjectOptions{RequestPayer: true}, map[string]string{"X-Amz-Request-Payer": "requester"}},
		"owner": {ObjectOptions{BucketOwner: "123456789012"}, map[string]string{"X-Amz-Expected-Bucket-Owner": "123456789012"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv := sinktest.NewServer(t)
			o := optionsFor(srv)
			o.ObjectOptions = test.o
			if err := newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))); err != nil {
				t.Fatal(err)
			}
			got := srv.Requests()[0].Header
			for header, want := range headers {
				if other, ok := test.want[header]; ok {
					want = other
				}
				if got.Get(header) != want {
					t.Errorf("%s: got %q, want %q", header, got.Get(header), want)
				}
				signed := strings.Contains(got.Get("Authorization"), strings.ToLower(header))
				if want != "" && !signed {
					t.Errorf("%s is not signed", header)
				}
			}
		})
	}
}

// Object Lock wants a checksum with every upload, and there is one.
func TestChecksumForObjectLock(t *testing.T) {
	srv := sinktest.NewServer(t)
	o := sinktest.NewObject("key", []byte("x"))
	if err := newSink(t, optionsFor(srv)).Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := srv.Requests()[0].Header.Get("X-Amz-Checksum-Sha256"); got != base64.StdEncoding.EncodeToString(o.SHA256[:]) {
		t.Errorf("checksum %q", got)
	}
}

func TestParsePairs(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"": nil, "a=b": {"a": "b"}, "a=b, c = d e ,f=": {"a": "b", "c": "d e", "f": ""}, "a=b=c": {"a": "b=c"},
	} {
		if got, err := ParsePairs("s3.tags", text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"a", "=b", "a=b,a=c", "a=b,", ","} {
		if _, err := ParsePairs("s3.tags", text); err == nil || !strings.Contains(err.Error(), "s3.tags") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Endpoints of AWS by their options.
func TestAWSEndpoints(t *testing.T) {
	for want, w := range map[string]Way{
		"logs.s3.eu-west-1.amazonaws.com":           {},
		"logs.s3.dualstack.eu-west-1.amazonaws.com": {DualStack: true},
		"logs.s3-fips.us-west-2.amazonaws.com":      {FIPS: true},
		"logs.s3-accelerate.amazonaws.com":          {Accelerate: true},
	} {
		var host string
		o := Options{
			Bucket: "logs", Region: "eu-west-1", Way: w, Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"},
			HTTPClient: roundTrip(func(r *http.Request) *http.Response {
				host = r.URL.Host
				answer := httptest.NewRecorder()
				confirm(answer, r)
				return answer.Result()
			}),
		}
		if w.FIPS { // there are such endpoints in some regions only
			o.Region = "us-west-2"
		}
		if err := newSink(t, o).Put(t.Context(), sinktest.NewObject("k", []byte("x"))); err != nil || host != want {
			t.Errorf("asked %s, want %s (%v)", host, want, err)
		}
	}
}

func TestWayMistakes(t *testing.T) {
	for want, o := range map[string]Options{
		"s3.dualstack":         {Endpoint: "http://x", Way: Way{DualStack: true}},
		"s3.accelerate":        {PathStyle: true, Way: Way{Accelerate: true}},
		"s3.proxy":             {Way: Way{Proxy: "proxy:3128"}},
		"s3.ca_file: its file": {Way: Way{CAFile: "/nowhere/ca.pem"}},
		"has no certificate":   {Way: Way{CAFile: "object_test.go"}},
		"s3.kms_key_id":        {ObjectOptions: ObjectOptions{KMSKeyID: "k"}},
		"s3.proxy: must not":   {Way: Way{Proxy: "http://me:pass@proxy"}},
		"s3.upload_rate: must": {UploadRate: -1},
	} {
		o.Bucket, o.Region = "b", "eu-west-1"
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pass") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A private authority in a file is trusted.
func TestCAFile(t *testing.T) {
	srv := sinktest.NewTLSServer(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	o := optionsFor(srv)
	o.CAFile = file
	if err := newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))); err != nil {
		t.Error(err)
	}
}

// startProxy runs an HTTP proxy that answers CONNECT with that status, and
// notes what it was asked for.
func startProxy(t *testing.T, connect int, to string) (address string, asked *[]string) {
	t.Helper()
	asked = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Host+r.Host)
		if r.Method == http.MethodConnect {
			w.WriteHeader(connect)
			return
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header, out.Host, out.ContentLength = r.Header, r.Host, r.ContentLength
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		bufio.NewReader(answer.Body).WriteTo(w)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func TestProxy(t *testing.T) {
	srv := sinktest.NewServer(t)
	proxy, asked := startProxy(t, 0, srv.URL)
	o := optionsFor(srv)
	o.Endpoint, o.Proxy = "http://s3.nowhere.invalid:9000", proxy
	if err := newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))); err != nil {
		t.Error(err)
	}
	if len(*asked) != 1 || !strings.Contains((*asked)[0], "s3.nowhere.invalid") || len(srv.Objects()) != 1 {
		t.Errorf("the proxy was asked for %v, %d objects", *asked, len(srv.Objects()))
	}
}

// What a proxy does not let through, and one that is not there.
func TestProxyFailures(t *testing.T) {
	password, _ := startProxy(t, http.StatusProxyAuthRequired, "")
	forbids, _ := startProxy(t, http.StatusForbidden, "")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, test := range []struct {
		proxy, hint string
		class       sink.Class
	}{
		{password, "HTTPS_PROXY", sink.Config},
		{forbids, "have it allow that", sink.Config},
		{gone.URL, "can't be reached", sink.Temporary},
	} {
		o := Options{
			Bucket: "logs", Region: "eu-west-1", Endpoint: "https://s3.nowhere.invalid", Way: Way{Proxy: test.proxy},
			Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"},
		}
		e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
		if e.Code != codeProxy || e.Class != test.class || e.InDoubt || !strings.Contains(e.Hint, test.hint) {
			t.Errorf("got %+v, want %q", e, test.hint)
		}
	}
}

// Metadata services are asked without the proxy.
func TestMetadataServicesHaveNoProxy(t *testing.T) {
	s := newSink(t, Options{Bucket: "b", Region: "eu-west-1", Way: Way{Proxy: "http://proxy.invalid:3128"}})
	proxyOf := s.http.(*http.Client).Transport.(*http.Transport).Proxy
	var through []string
	for _, host := range []string{"169.254.170.2", "[fd00:ec2::254]", "s3.eu-west-1.amazonaws.com", "10.0.0.1"} {
		r, err := http.NewRequest(http.MethodGet, "http://"+host+"/", io.NopCloser(nil))
		if err != nil {
			t.Fatal(err)
		}
		if proxy, err := proxyOf(r); err != nil {
			t.Error(err)
		} else if proxy != nil {
			through = append(through, host)
		}
	}
	if want := []string{"s3.eu-west-1.amazonaws.com", "10.0.0.1"}; !slices.Equal(through, want) {
		t.Errorf("through the proxy: %v, want %v", through, want)
	}
}
