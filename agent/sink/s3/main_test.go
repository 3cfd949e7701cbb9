package s3

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// TestMain takes the AWS environment of the machine away: no test may depend on
// it, or reach a metadata service.
func TestMain(m *testing.M) {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			os.Unsetenv(name)
		}
	}
	nowhere := filepath.Join(os.DevNull, "nothing")
	os.Setenv("AWS_CONFIG_FILE", nowhere)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	goleak.VerifyTestMain(m)
}

// optionsFor are the options of a working sink at srv.
func optionsFor(srv *sinktest.Server) Options {
	return Options{
		Bucket: sinktest.Bucket, Region: sinktest.Region, Endpoint: srv.URL, PathStyle: true,
		Access: Access{AccessKeyID: sinktest.AccessKeyID, SecretAccessKey: sinktest.SecretAccessKey},
	}
}

// newSink makes a sink that is closed with the test.
func newSink(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// confirm answers as S3 does to an object that it has stored.
func confirm(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"x"`)
	w.Header().Set(headerSHA256, r.Header.Get(headerSHA256))
}
