package s3

import (
	"net/http"
	"testing"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

func TestConformance(t *testing.T) {
	sinktest.Conformance(t, func(t *testing.T) sink.Sink {
		return newSink(t, optionsFor(sinktest.NewServer(t)))
	}, nil)
}

// The same over HTTPS, where the SDK has other habits.
func TestConformanceTLS(t *testing.T) {
	sinktest.Conformance(t, func(t *testing.T) sink.Sink {
		srv := sinktest.NewTLSServer(t)
		o := optionsFor(srv)
		o.HTTPClient = trusting(srv)
		return newSink(t, o)
	}, nil)
}

// trusting is the client of this package that also trusts srv's certificate.
func trusting(srv *sinktest.Server) *http.Client {
	c := newHTTPClient(nil, defaultMaxConns)
	c.Transport.(*http.Transport).TLSClientConfig.RootCAs =
		srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return c
}
