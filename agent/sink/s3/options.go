package s3

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	defaultTimeout  = 5 * time.Minute
	defaultMaxConns = 8
	// timeoutSize is the object size that Options.Timeout is meant for.
	timeoutSize = 8 << 20
	// fallbackRegion signs requests to an endpoint whose region nobody named:
	// stores that have no regions accept it, it is what their own tools use.
	fallbackRegion = "us-east-1"
)

// Options says where objects go and as whom. Only Bucket is required, and
// Region where neither the environment nor the AWS profile names one.
type Options struct {
	Bucket string
	Region string
	// Endpoint is the URL of a store other than AWS; "" means AWS.
	Endpoint string
	// PathStyle puts the bucket into the path, not into the host name.
	PathStyle bool

	// Checksum is how the store is told what an object's bytes must be: "sha256"
	// (x-amz-checksum-sha256), "md5" (Content-MD5), or "auto", which is also "":
	// the first of them that the store takes.
	Checksum string

	Access
	ObjectOptions
	Way

	// Timeout is how long one attempt may take for an object of up to 8 MiB;
	// larger objects get proportionally more. 0 means 5 minutes.
	Timeout time.Duration
	// MaxConns is the number of connections; further calls wait for one.
	// 0 means 8.
	MaxConns int
	// UploadRate bounds the bytes per second of all calls together; attempts get
	// the time that it costs on top of Timeout. 0 is no bound.
	UploadRate int64
	// UserAgent is added to the SDK's own, as "name" or "name/version".
	UserAgent string
	// HTTPClient replaces the connections described in the package comment; it
	// must not follow redirects. For tests.
	HTTPClient aws.HTTPClient
}

// withDefaults returns o with its zero values filled in.
func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultMaxConns
	}
	return o
}

// attemptTimeout is the time for one attempt to move size bytes, where up to
// timeoutSize have least.
func attemptTimeout(least time.Duration, size int64) time.Duration {
	if size <= timeoutSize {
		return least
	}
	return time.Duration(float64(least) * float64(size) / timeoutSize)
}

// check returns every mistake in o at once.
func (o Options) check() error {
	var errs []error
	if o.Bucket == "" {
		errs = append(errs, errors.New("s3.bucket: missing; set it to the name of the bucket"))
	}
	errs = append(errs, o.Access.check()...)
	errs = append(errs, o.ObjectOptions.check()...)
	errs = append(errs, o.Way.check(o.Endpoint, o.PathStyle)...)
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("s3.timeout: must not be negative (got %v)", o.Timeout))
	}
	if o.MaxConns < 0 {
		errs = append(errs, fmt.Errorf("s3.max_conns: must not be negative (got %d)", o.MaxConns))
	}
	if o.UploadRate < 0 {
		errs = append(errs, fmt.Errorf("s3.upload_rate: must not be negative (got %d)", o.UploadRate))
	}
	if !slices.Contains([]string{"", "auto", "sha256", "md5"}, o.Checksum) {
		errs = append(errs, errors.New("s3.checksum: must be auto, sha256 or md5"))
	}
	if o.Endpoint != "" {
		errs = append(errs, checkEndpoint("s3.endpoint", o.Endpoint))
	}
	if o.STSEndpoint != "" {
		errs = append(errs, checkEndpoint("s3.sts_endpoint", o.STSEndpoint))
	}
	return errors.Join(errs...)
}

// checkEndpoint accepts scheme://host[:port][/path]. It quotes none: what
// was pasted by mistake may be a secret.
func checkEndpoint(setting, endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case strings.Contains(endpoint, "@"):
		return errors.New(setting + ": must not contain credentials; use s3.access_key_id and s3.secret_access_key")
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return fmt.Errorf("%s: not a URL with http:// or https:// and a host; write for example https://minio.example.com:9000", setting)
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New(setting + ": must end with the host or a path; remove what follows ? or #")
	}
	return nil
}
