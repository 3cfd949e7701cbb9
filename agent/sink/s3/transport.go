package s3

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// The settings of a connection; the package comment lists them for users.
const (
	dialTimeout     = 10 * time.Second
	keepAlive       = 15 * time.Second
	tlsTimeout      = 10 * time.Second
	continueTimeout = time.Second
	answerTimeout   = time.Minute
	idleTimeout     = 15 * time.Second
)

// newHTTPClient makes the client that objects are sent with. It starts from the
// transport of base, which carries the certificate authorities of
// AWS_CA_BUNDLE, and never follows redirects: a redirected body would be read
// twice, and S3 only redirects to name another region.
func newHTTPClient(base aws.HTTPClient, maxConns int) *http.Client {
	buildable, ok := base.(*awshttp.BuildableClient)
	if !ok {
		buildable = limitedClient()
	}
	return &http.Client{
		Transport: tune(buildable.GetTransport(), maxConns),
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// tune applies the settings of this package to a transport.
func tune(t *http.Transport, maxConns int) *http.Transport {
	t.DialContext = (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext
	t.TLSClientConfig.MinVersion = tls.VersionTLS12
	t.TLSHandshakeTimeout = tlsTimeout
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.MaxConnsPerHost = maxConns
	t.MaxIdleConnsPerHost = maxConns
	t.MaxIdleConns = maxConns
	t.IdleConnTimeout = idleTimeout
	t.ExpectContinueTimeout = continueTimeout
	t.ResponseHeaderTimeout = answerTimeout
	t.OnProxyConnectResponse = tunnel
	return t
}
