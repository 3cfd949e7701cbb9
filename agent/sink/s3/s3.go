package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // S3 uses it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/spoolship/spoolship/agent/sink"
)

// Sink puts objects into one bucket. It is a sink.Sink.
type Sink struct {
	options Options
	state   endpointState
	pace    *pace
	keys    *keyring
	http    aws.HTTPClient
	client  *awss3.Client
}

// New makes a Sink. It reads the environment and the AWS profile but does no
// network I/O, so wrong or missing credentials show at the first Put. Its error
// lists all mistakes of o, each with its config key.
func New(ctx context.Context, o Options) (*Sink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	stamp := stampOf(o.files())
	cfg, err := loadConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Sink{
		options: o,
		pace:    newPace(o.UploadRate),
		keys:    newKeyring(o, stamp, cfg.Credentials),
		http:    o.HTTPClient,
	}
	if s.http == nil {
		s.http = newHTTPClient(cfg.HTTPClient, o.MaxConns)
	}
	s.client = awss3.NewFromConfig(cfg, s.configure)
	s.state.start = newPlace(o, cfg.Region, s.client.Options().BaseEndpoint)
	s.state.now, s.state.tried = newTarget(s.state.start, o.Checksum), map[string]bool{}
	return s, nil
}

// loadConfig takes what o leaves open from the AWS environment and profile.
func loadConfig(ctx context.Context, o Options) (aws.Config, error) {
	with, err := o.Way.load()
	if err != nil {
		return aws.Config{}, err
	}
	if o.Region != "" {
		with = append(with, config.WithRegion(o.Region))
	}
	cfg, err := o.Access.load(ctx, with...)
	if err != nil {
		return cfg, err
	}
	if cfg.Region == "" && o.Endpoint == "" {
		return cfg, fmt.Errorf("s3.region: missing; set it to the region of bucket %q, for example \"eu-central-1\"", o.Bucket)
	}
	if cfg.Region == "" {
		cfg.Region = fallbackRegion
	}
	return cfg, nil
}

// newKeyring starts with the credentials that are there, and loads others as o
// describes them.
func newKeyring(o Options, stamp string, source aws.CredentialsProvider) *keyring {
	return &keyring{access: o.Access, stamp: stamp, source: source,
		load: func(ctx context.Context) (aws.CredentialsProvider, error) {
			cfg, err := loadConfig(ctx, o)
			return cfg.Credentials, err
		},
	}
}

// configure is this package's choice for each option of the SDK that matters.
func (s *Sink) configure(c *awss3.Options) {
	s.options.connect(c, s.keys, s.http)
	c.Retryer = aws.NopRetryer{}
	c.ContinueHeaderThresholdBytes = -1
	c.APIOptions = append(c.APIOptions, customize)
}

// connect is what calls of all kinds have in common.
func (o Options) connect(c *awss3.Options, keys *keyring, client aws.HTTPClient) {
	c.Credentials = keys
	c.HTTPSignerV4 = signer{}
	c.HTTPClient = client
	c.UsePathStyle = o.PathStyle
	c.UseAccelerate = o.Accelerate
	if o.DualStack {
		c.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	if o.FIPS {
		c.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if o.Endpoint != "" {
		c.BaseEndpoint = &o.Endpoint
	}
	c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	// A directory bucket's session would need a permission and a call more.
	c.DisableS3ExpressSessionAuth = aws.Bool(true)
	if o.UserAgent != "" {
		c.APIOptions = append(c.APIOptions, userAgent(o.UserAgent))
	}
}

// Put implements sink.Sink: one PutObject request. Put seeks o.Body to its
// start, reads it once, and reads no more of it once it has returned.
// Cancelling ctx ends the attempt at once, with an error that is the context's
// (errors.Is).
func (s *Sink) Put(ctx context.Context, o *sink.Object) error {
	a := &attempt{object: o, body: &body{reader: o.Body, size: o.Size, pace: s.pace}}
	s.state.take(a)
	if a.body.err = a.prepare(); a.body.err != nil {
		return s.judge(ctx, a)
	}
	timed, cancel := context.WithTimeout(ctx, attemptTimeout(s.options.Timeout, o.Size)+s.pace.longer(o.Size, s.options.MaxConns))
	defer cancel()
	a.body.ctx = timed
	_, a.err = s.client.PutObject(a.context(timed), s.request(a), a.perCall)
	if a.body.md5 != nil {
		a.md5 = a.body.md5.Sum(nil)
	}
	return s.judge(ctx, a)
}

// prepare puts the body to its start, and has its MD5 made: before it is sent if
// that is how the store is told, or while it is sent if it may have to prove the
// answer.
func (a *attempt) prepare() error {
	if _, err := a.object.Body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch {
	case a.checksum == checksumMD5:
		return a.hash()
	case !a.echoes:
		a.body.md5 = md5.New() //nolint:gosec // see proof.go
	}
	return nil
}

// request translates the object of a.
func (s *Sink) request(a *attempt) *awss3.PutObjectInput {
	o := a.object
	in := &awss3.PutObjectInput{
		Bucket:        &s.options.Bucket,
		Key:           &o.Key,
		Body:          a.body,
		ContentLength: &o.Size,
		Metadata:      s.options.metadata(o),
	}
	if a.checksum == checksumMD5 {
		in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(a.md5))
	} else {
		in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(o.SHA256[:]))
	}
	if o.ContentType != "" {
		in.ContentType = &o.ContentType
	}
	s.options.apply(in)
	if o.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	return in
}

// perCall goes where the attempt goes, and asks for a 100-continue before the
// body of a conditional request.
func (a *attempt) perCall(c *awss3.Options) {
	c.Region = a.region
	if a.object.IfAbsent && a.expect {
		c.ContinueHeaderThresholdBytes = 1
	}
}

// judge turns a finished attempt into the answer to Put. Errors name the key and
// the bucket. What the destination says of itself is in the text only, cleaned;
// errors of this machine can also be found with errors.Is.
func (s *Sink) judge(ctx context.Context, a *attempt) error {
	a.cancelled = ctx.Err()
	now := time.Now()
	err := a.classify(a, now)
	var e *sink.Error
	if !errors.As(err, &e) {
		s.state.confirm(a)
	} else {
		s.state.correct(a, e, now)
		if turnsDown[e.Code] && s.keys.forget() && expired[e.Code] {
			e.Class = sink.Temporary // the next attempt asks for new ones
		}
		cause := e.Err
		if e.Status != 0 {
			cause = nil
		}
		e.Err = &putError{
			text:  fmt.Sprintf("put %q into bucket %q: %s", a.object.Key, s.options.Bucket, s.keys.clean(e.Err.Error())),
			cause: cause,
		}
		e.Code, e.Hint = s.keys.clean(e.Code), s.keys.clean(e.Hint)
	}
	return err
}

// Close closes the idle connections. Calls that are under way go on.
func (s *Sink) Close() error {
	if c, ok := s.http.(*http.Client); ok {
		c.CloseIdleConnections()
	}
	return nil
}
