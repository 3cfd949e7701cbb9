package s3

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/spoolship/spoolship/agent/sink"
)

// attempt is one Put and what became of it.
type attempt struct {
	object    *sink.Object
	body      *body
	target                // where it goes and how it asks
	md5       []byte      // of the object; nil if nobody needs it
	begun     atomic.Bool // the request's head was written, so its end may have been
	answer    *answer     // nil if none came
	err       error       // of the SDK or the network
	cancelled error       // the caller's context has ended
}

type attemptKey struct{}

// attemptOf returns the attempt that context put into ctx.
func attemptOf(ctx context.Context) *attempt { return ctx.Value(attemptKey{}).(*attempt) }

// context returns ctx for a call that reports to a.
func (a *attempt) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, attemptKey{}, a)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { a.begun.Store(true) },
	})
}

// body hands exactly size bytes of reader to the SDK. It has a length and can't
// seek, so that the SDK neither seeks to find the length nor reads it twice.
//
// The SDK locks around Read and takes that lock before its call returns, which
// is why a late Read of the connection can't race with the caller's next use of
// the reader, and why err is safe to read then.
type body struct {
	reader io.Reader
	pace   *pace
	ctx    context.Context // of the attempt: it ends the waiting
	size   int64
	read   int64
	md5    hash.Hash // of what was read, unless nil
	err    error     // the reader's, which is not the destination's fault
}

// Len is the number of bytes to come.
func (b *body) Len() int { return int(b.size - b.read) }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	left := b.size - b.read
	if left == 0 {
		return 0, io.EOF
	}
	n, err := b.reader.Read(p[:b.pace.most(min(int64(len(p)), left))])
	b.read += int64(n)
	if b.md5 != nil {
		b.md5.Write(p[:n])
	}
	if errors.Is(err, io.EOF) && b.read < b.size {
		err = fmt.Errorf("the object ends after %d of %d bytes: %w", b.read, b.size, io.ErrUnexpectedEOF)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	if late := b.pace.wait(b.ctx, n); late != nil {
		return n, late
	}
	return n, err
}

// putError is the text that users see, around a cause that errors.Is sees.
type putError struct {
	text  string
	cause error
}

func (e *putError) Error() string { return e.text }
func (e *putError) Unwrap() error { return e.cause }
