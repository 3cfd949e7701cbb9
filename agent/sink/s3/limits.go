package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Limits of answers, of whichever service gives them. The transport bounds the
// head: maxHeaders bytes, and answerTimeout or credentialsTimeout until it is
// complete. A body is bounded by its operation's bound.
const (
	maxHeaders         = 64 << 10
	credentialsTimeout = 20 * time.Second

	// maxAnswer is enough for everything but a listing and an object. S3's error
	// documents and the answers of STS, SSO and the metadata services have a few
	// KiB.
	maxAnswer   = 64 << 10
	answerTime  = 20 * time.Second
	maxPage     = 8 << 20 // 1,000 keys of 1,024 bytes, each escaped fivefold, and their sizes
	pageTimeout = 2 * time.Minute
)

// bound limits a body: its bytes, and the time for which its reader waits for
// them. Time that the reader spends elsewhere does not count.
type bound struct {
	bytes int64
	time  time.Duration
}

// boundOf returns the bound for an answer to the SDK's call of ctx.
func boundOf(ctx context.Context, r *smithyhttp.Response) bound {
	if awsmiddleware.GetServiceID(ctx) == "S3" && r.StatusCode/100 == 2 {
		switch awsmiddleware.GetOperationName(ctx) {
		case "ListObjectsV2":
			return bound{maxPage, pageTimeout}
		case "GetObject":
			return objectBound(ctx)
		}
	}
	return bound{maxAnswer, answerTime}
}

// limitAnswers puts bounds around the answers to all calls of a client. It is
// the innermost step of the pipeline, so that nothing of the SDK reads past it.
func limitAnswers(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("LimitAnswer", limitAnswer), middleware.After)
}

func limitAnswer(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	ctx, cancel := context.WithCancel(ctx)
	out, metadata, err := next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || response == nil || response.Response == nil {
		cancel()
		return out, metadata, err
	}
	response.Body = &boundedBody{ReadCloser: response.Body, cancel: cancel, left: boundOf(ctx, response)}
	return out, metadata, err
}

// boundedBody is a body within a bound.
type boundedBody struct {
	io.ReadCloser
	cancel context.CancelFunc // ends the request
	left   bound
}

var (
	errTooLong = errors.New("the answer is longer than any that is right")
	errTooSlow = fmt.Errorf("the answer is not complete in time: %w", os.ErrDeadlineExceeded)
)

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left.time <= 0 {
		return 0, errTooSlow
	}
	began := time.Now()
	late := time.AfterFunc(b.left.time, b.cancel)
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left.bytes+1)])
	intime := late.Stop()
	b.left.time -= time.Since(began)
	b.left.bytes -= int64(n)
	switch {
	case b.left.bytes < 0:
		b.cancel()
		return n - 1, errTooLong
	case !intime && err != nil && !errors.Is(err, io.EOF):
		return n, errTooSlow
	}
	return n, err
}

// Close implements io.Closer.
func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// answerError is a failure to read an answer.
type answerError struct{ err error }

func (e *answerError) Error() string { return "read the answer: " + e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

type sizeKey struct{}

// withSize returns ctx for a call that gets an object of size bytes.
func withSize(ctx context.Context, size int64) context.Context {
	return context.WithValue(ctx, sizeKey{}, size)
}

// objectBound gives an object as many bytes as were announced, and as much time
// as its upload had by default.
func objectBound(ctx context.Context) bound {
	size, _ := ctx.Value(sizeKey{}).(int64)
	return bound{size, attemptTimeout(defaultTimeout, size)}
}

// limitedClient makes the client that the SDK's own clients start from: those of
// STS, SSO and the metadata services.
func limitedClient(options ...func(*http.Transport)) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(append(options, limitTransport)...)
}

// limitTransport bounds the heads of answers, has bodies count as they come over
// the wire, and refuses what redirects lead to: a request for credentials, or one
// that is signed with them, is meant for one host.
func limitTransport(t *http.Transport) {
	t.MaxResponseHeaderBytes = maxHeaders
	t.ResponseHeaderTimeout = credentialsTimeout
	t.DisableCompression = true
	proxy := t.Proxy
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.Response != nil { // the redirection that led here
			return nil, errRedirected
		}
		return proxy(r)
	}
}

var errRedirected = errors.New("the answer is a redirection, which is not followed")
