package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// Way is how the destination is reached. The zero value is what the environment
// says. It holds for STS too.
type Way struct {
	DualStack  bool   // AWS's endpoints that have IPv6 addresses
	FIPS       bool   // AWS's endpoints with validated cryptography
	Accelerate bool   // S3 Transfer Acceleration
	CAFile     string // PEM: authorities that are trusted besides the system's
	Proxy      string // URL; "": HTTPS_PROXY, HTTP_PROXY and NO_PROXY
}

// check returns every mistake in w for that endpoint.
func (w Way) check(endpoint string, pathStyle bool) []error {
	var errs []error
	if endpoint != "" && (w.DualStack || w.FIPS || w.Accelerate) {
		errs = append(errs, errors.New("s3.dualstack, s3.fips and s3.accelerate: choose an endpoint of AWS, but s3.endpoint is set; remove one of them"))
	}
	if w.Accelerate && (w.FIPS || pathStyle) {
		errs = append(errs, errors.New("s3.accelerate: can't go with s3.fips or s3.path_style; remove one of them"))
	}
	if w.Proxy != "" {
		errs = append(errs, checkEndpoint("s3.proxy", w.Proxy))
	}
	return errs
}

// load makes the SDK's settings of w.
func (w Way) load() ([]func(*config.LoadOptions) error, error) {
	var options []func(*http.Transport)
	proxy := http.ProxyFromEnvironment
	if w.Proxy != "" {
		u, err := url.Parse(w.Proxy)
		if err != nil {
			return nil, errors.New("s3.proxy: not a URL")
		}
		proxy = http.ProxyURL(u)
	}
	options = append(options, func(t *http.Transport) { t.Proxy = except(proxy) })
	if w.CAFile != "" {
		pool, err := authorities(w.CAFile)
		if err != nil {
			return nil, err
		}
		options = append(options, func(t *http.Transport) { t.TLSClientConfig.RootCAs = pool })
	}
	client := limitedClient(options...)
	return []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		// The SDK makes a client of its own for containers.
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }),
		config.WithLogger(logging.Nop{}), // it would print what servers send
		config.WithAPIOptions([]func(*middleware.Stack) error{limitAnswers}),
	}, nil
}

// authorities are the system's and those of a file.
func authorities(name string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, unreadable("s3.ca_file", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("s3.ca_file: its file has no certificate; it must be PEM, without a byte order mark")
	}
	return pool, nil
}

// except is proxy for all but the metadata services of instances and
// containers, which only this machine can ask.
func except(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if ip := net.ParseIP(r.URL.Hostname()); ip != nil && (ip.IsLinkLocalUnicast() || ip.IsPrivate() && ip.To4() == nil) {
			return nil, nil
		}
		return proxy(r)
	}
}

// proxyError is a proxy's refusal of a tunnel.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", e.status, http.StatusText(e.status))
}

// tunnel judges a proxy's answer to CONNECT.
func tunnel(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyError{answer.StatusCode}
	}
	return nil
}
