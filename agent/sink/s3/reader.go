package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sync/errgroup"

	"github.com/spoolship/spoolship/agent/sink"
)

// Reader lists and gets the objects of one bucket, for commands that people
// wait for: it needs s3:ListBucket and s3:GetObject, and what fails is tried
// three times in all. It may be used concurrently.
type Reader struct {
	options Options
	place   place
	keys    *keyring
	client  *awss3.Client
	http    aws.HTTPClient
}

// Entry is an object as a listing has it.
type Entry struct {
	Key  string
	Size int64 // in bytes
}

// Stored is an object that is being read.
type Stored struct {
	Metadata map[string]string // keys in lower case
	Body     io.ReadCloser     // as it is stored; errors of it are an *sink.Error
}

// NewReader makes a Reader of o's bucket; what o says of uploads is not used. It
// does no network I/O. Its error lists all mistakes of o, each with its config
// key.
func NewReader(ctx context.Context, o Options) (*Reader, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	stamp := stampOf(o.files())
	cfg, err := loadConfig(ctx, o)
	if err != nil {
		return nil, err
	}
	r := &Reader{options: o, keys: newKeyring(o, stamp, cfg.Credentials), http: o.HTTPClient}
	if r.http == nil {
		r.http = newHTTPClient(cfg.HTTPClient, o.MaxConns)
	}
	r.client = awss3.NewFromConfig(cfg, func(c *awss3.Options) {
		o.connect(c, r.keys, r.http)
		c.Retryer = retry.NewStandard()
	})
	r.place = newPlace(o, cfg.Region, r.client.Options().BaseEndpoint)
	return r, nil
}

// List calls entries with the objects whose keys begin with prefix, page by page and in
// no order. It asks with up to that many requests at once, each of other folders, and
// calls entries from as many goroutines. The first error ends it: one of entries, or an
// *sink.Error.
func (r *Reader) List(ctx context.Context, prefix string, requests int, entries func([]Entry) error) error {
	folders := []string{prefix}
	for len(folders) > 0 && len(folders) < foldersPerRequest*requests && requests > 1 {
		var mu sync.Mutex
		var below []string
		err := r.each(ctx, folders, "/", requests, func(p *awss3.ListObjectsV2Output) error {
			mu.Lock()
			for _, folder := range p.CommonPrefixes {
				below = append(below, aws.ToString(folder.Prefix))
			}
			mu.Unlock()
			return entries(entriesOf(p))
		})
		if err != nil {
			return err
		}
		folders = below
	}
	return r.each(ctx, folders, "", requests, func(p *awss3.ListObjectsV2Output) error { return entries(entriesOf(p)) })
}

// foldersPerRequest is how many folders each request should have to choose from, so
// that a large one that comes last does not keep one request busy alone.
const foldersPerRequest = 4

func entriesOf(p *awss3.ListObjectsV2Output) []Entry {
	list := make([]Entry, len(p.Contents))
	for i, o := range p.Contents {
		list[i] = Entry{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size)}
	}
	return list
}

// each lists the folders, that many at once, with a delimiter unless that is "", and
// calls page with each page.
func (r *Reader) each(ctx context.Context, folders []string, delimiter string, requests int, page func(*awss3.ListObjectsV2Output) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(requests)
	for _, folder := range folders {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return r.pages(ctx, folder, delimiter, page) })
	}
	return g.Wait()
}

// pages lists one prefix, page after page.
func (r *Reader) pages(ctx context.Context, prefix, delimiter string, page func(*awss3.ListObjectsV2Output) error) error {
	in := &awss3.ListObjectsV2Input{Bucket: &r.options.Bucket, Prefix: &prefix, RequestPayer: r.options.payer()}
	if delimiter != "" {
		in.Delimiter = &delimiter
	}
	if r.options.BucketOwner != "" {
		in.ExpectedBucketOwner = &r.options.BucketOwner
	}
	empty := 0
	for {
		p, err := r.client.ListObjectsV2(ctx, in, func(o *awss3.Options) { o.APIOptions = append(o.APIOptions, fastListing) })
		if err != nil {
			return r.failed(ctx, "list", prefix, err)
		}
		if empty++; len(p.Contents) > 0 || len(p.CommonPrefixes) > 0 {
			empty = 0
		}
		for _, folder := range p.CommonPrefixes {
			if f := aws.ToString(folder.Prefix); len(f) <= len(prefix) || !strings.HasPrefix(f, prefix) {
				return r.failed(ctx, "list", prefix, fmt.Errorf("the store names a folder that is not in it: %.100q", f))
			}
		}
		if err := page(p); err != nil {
			return err
		}
		before := aws.ToString(in.ContinuationToken)
		in.ContinuationToken = p.NextContinuationToken
		switch {
		case !aws.ToBool(p.IsTruncated):
			return nil
		case aws.ToString(in.ContinuationToken) == "", aws.ToString(in.ContinuationToken) == before:
			return r.failed(ctx, "list", prefix, errors.New("the store says that there is more and not where"))
		case empty == maxEmptyPages:
			return r.failed(ctx, "list", prefix, fmt.Errorf("the store sends empty pages without end, %d by now", empty))
		}
	}
}

// Get opens the object of that key, which has size bytes by the listing; the
// caller closes its body, which is not read beyond them. Its error is an
// *sink.Error. A body that breaks off is asked for again from there, as long as
// the object is the same.
func (r *Reader) Get(ctx context.Context, key string, size int64) (*Stored, error) {
	ctx = withSize(ctx, size)
	out, err := r.get(ctx, key, nil, nil)
	if err != nil {
		return nil, err
	}
	return &Stored{Metadata: out.Metadata, Body: &download{out.Body, r, ctx, key, size, out.ETag, 0, resumes}}, nil
}

// get asks for an object, from a range on of that which has that ETag if they
// are not nil.
func (r *Reader) get(ctx context.Context, key string, from, etag *string) (*awss3.GetObjectOutput, error) {
	in := &awss3.GetObjectInput{Bucket: &r.options.Bucket, Key: &key, RequestPayer: r.options.payer(), Range: from, IfMatch: etag}
	if r.options.BucketOwner != "" {
		in.ExpectedBucketOwner = &r.options.BucketOwner
	}
	out, err := r.client.GetObject(ctx, in)
	if err != nil {
		return nil, r.failed(ctx, "get", key, err)
	}
	return out, nil
}

// Close closes the idle connections.
func (r *Reader) Close() error {
	if c, ok := r.http.(*http.Client); ok {
		c.CloseIdleConnections()
	}
	return nil
}

// maxEmptyPages is how many pages without an object may follow each other; stores
// send some where objects were deleted.
const maxEmptyPages = 1000

// resumes is how often a download is asked for again.
const resumes = 3

// download is a body that goes on where it broke off. It tells failures to read
// it from damage of what is in it.
type download struct {
	io.ReadCloser
	r    *Reader
	ctx  context.Context //nolint:containedctx // of the call of Get, whose result this is
	key  string
	size int64 // of the whole object
	etag *string
	at   int64 // bytes read
	left int   // resumes
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.ReadCloser.Read(p)
		d.at += int64(n)
		switch {
		case err == nil || err == io.EOF: //nolint:errorlint // io.EOF is never wrapped by a reader
			return n, err
		case d.left == 0 || d.etag == nil || d.ctx.Err() != nil || errors.Is(err, errTooLong):
			return n, d.r.failed(d.ctx, "get", d.key, &answerError{err})
		}
		d.left--
		from := fmt.Sprintf("bytes=%d-", d.at)
		out, err := d.r.get(withSize(d.ctx, d.size-d.at), d.key, &from, d.etag)
		if err != nil {
			return n, err
		}
		d.Close()
		if d.ReadCloser = out.Body; n > 0 {
			return n, nil
		}
	}
}

// failed makes the error of a call: what failed, why, and what can be done.
func (r *Reader) failed(ctx context.Context, call, key string, err error) error {
	e := &sink.Error{}
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	var garbled *smithy.DeserializationError
	text := ""
	if errors.As(err, &response) && response.Response != nil {
		e.Status = response.HTTPStatusCode()
	}
	switch {
	case ctx.Err() != nil:
		e.Code, text, err = codeCancelled, ctx.Err().Error(), ctx.Err()
	case errors.As(err, &api) && e.Status != 0:
		e.Code, text = api.ErrorCode(), api.ErrorCode()+": "+api.ErrorMessage()
		rule := ruleFor(e.Code, e.Status)
		e.Class, e.Hint = rule.class, rule.hint
		switch {
		case e.Code == "NoSuchKey":
			e.Hint = "it was deleted since the bucket was listed: run it again"
		case e.Status == http.StatusForbidden && rule.hint == hintAccess && call == "list":
			e.Hint = "allow the action s3:ListBucket on arn:aws:s3:::{bucket} for these credentials; spoolship policy iam --read prints the policy"
		case e.Status == http.StatusForbidden && rule.hint == hintAccess:
			e.Hint = "allow the action s3:GetObject on arn:aws:s3:::{bucket}/* for these credentials, and kms:Decrypt if the bucket encrypts with its own KMS key; spoolship policy iam --read prints the policy"
		}
	case errors.As(err, &garbled):
		e.Class, e.Hint, text = sink.Config, hintNotS3, "the answer is not S3's: "+garbled.Err.Error()
	default:
		err = innermost(err)
		r.place.explain(e, err)
		text = err.Error()
	}
	if e.Status != 0 {
		err = nil // the text says it all
	}
	e.Hint = r.keys.clean(r.place.hint(e.Hint))
	e.Err = &putError{text: r.keys.clean(fmt.Sprintf("%s %q in bucket %q: %s", call, key, r.options.Bucket, text)), cause: err}
	return e
}

// payer is who pays for a request.
func (o ObjectOptions) payer() types.RequestPayer {
	if o.RequestPayer {
		return types.RequestPayerRequester
	}
	return ""
}
