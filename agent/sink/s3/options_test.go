package s3

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"
)

// All mistakes are reported at once, each with its key; none shows a password.
func TestOptionMistakes(t *testing.T) {
	_, err := New(t.Context(), Options{
		Endpoint: "https://me:pass@host", Access: Access{AccessKeyID: "id"}, Timeout: -1, MaxConns: -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"s3.bucket", "s3.endpoint", "s3.secret_access_key", "s3.timeout", "s3.max_conns"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "pass@") {
		t.Errorf("shows a password: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://minio.example.com:9000": true, "http://127.0.0.1:9000/": true, "http://[::1]:9000": true,
		"https://gateway.example.com/s3": true,
		"minio:9000":                     false, "minio.example.com": false, "ftp://x": false, "https://": false,
		"https://x/?a=b": false, "https://x/#f": false, "http://bad host": false,
	} {
		if err := checkEndpoint("s3.endpoint", endpoint); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestRegion(t *testing.T) {
	if _, err := New(t.Context(), Options{Bucket: "b"}); err == nil || !strings.Contains(err.Error(), "s3.region") {
		t.Errorf("no region: %v", err)
	}
	if s := newSink(t, Options{Bucket: "b", Endpoint: "http://127.0.0.1:1"}); s.state.now.region != fallbackRegion {
		t.Errorf("region at an endpoint: %q", s.state.now.region)
	}
	t.Setenv("AWS_REGION", "ap-south-1")
	if s := newSink(t, Options{Bucket: "b"}); s.state.now.region != "ap-south-1" {
		t.Errorf("region from the environment: %q", s.state.now.region)
	}
	if s := newSink(t, Options{Bucket: "b", Region: "eu-west-1"}); s.state.now.endpoint != "https://s3.eu-west-1.amazonaws.com" {
		t.Errorf("endpoint: %q", s.state.now.endpoint)
	}
}

func TestAttemptTimeout(t *testing.T) {
	o := Options{}.withDefaults()
	for size, want := range map[int64]time.Duration{
		0: 5 * time.Minute, 8 << 20: 5 * time.Minute, 16 << 20: 10 * time.Minute, 80 << 20: 50 * time.Minute,
	} {
		if got := attemptTimeout(o.Timeout, size); got != want {
			t.Errorf("%d bytes: %v, want %v", size, got, want)
		}
	}
}

// The settings that the package comment promises.
func TestTransport(t *testing.T) {
	tr := newHTTPClient(nil, 5).Transport.(*http.Transport)
	if tr.MaxConnsPerHost != 5 || tr.MaxIdleConnsPerHost != 5 || tr.DisableKeepAlives {
		t.Errorf("connections: %d, idle %d", tr.MaxConnsPerHost, tr.MaxIdleConnsPerHost)
	}
	if tr.TLSClientConfig.MinVersion != tls.VersionTLS12 || tr.TLSClientConfig.InsecureSkipVerify {
		t.Error("TLS older than 1.2, or unverified")
	}
	if tr.Proxy == nil {
		t.Error("proxies are ignored")
	}
	if tr.Protocols.HTTP2() || !tr.Protocols.HTTP1() {
		t.Error("not HTTP/1.1 only")
	}
}
