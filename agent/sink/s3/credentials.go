package s3

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// credentialsError marks a failure to get credentials, which happens before
// anything is sent.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "get credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// keyring is the credentials provider of a Sink. It loads its source again when
// a file of it has changed, or when the credentials were turned down: rotated
// ones need no restart. It marks failures, and remembers what it handed out so
// that no error text can repeat it. It may be used concurrently.
type keyring struct {
	access Access
	load   func(context.Context) (aws.CredentialsProvider, error)
	last   atomic.Pointer[aws.Credentials]

	mu     sync.Mutex
	source aws.CredentialsProvider // nil: to be loaded
	stamp  string                  // of the source's files when it was loaded
}

// Retrieve implements aws.CredentialsProvider.
func (k *keyring) Retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := untraced(ctx)
	defer cancel()
	source, err := k.current(ctx)
	if err != nil {
		return aws.Credentials{}, &credentialsError{err}
	}
	c, err := source.Retrieve(ctx)
	if err != nil {
		return c, &credentialsError{err}
	}
	k.last.Store(&c)
	return c, nil
}

// untraced returns a context that ends with ctx and has none of its values: the
// trace of an attempt must not take a request for credentials for one to S3.
func untraced(ctx context.Context) (context.Context, context.CancelFunc) {
	bare, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	return bare, func() { stop(); cancel() }
}

// current returns the source, loaded anew if its files have changed. The files
// are looked at before they are read: a change in between is seen next time.
func (k *keyring) current(ctx context.Context) (aws.CredentialsProvider, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	stamp := stampOf(k.access.files())
	if k.source != nil && k.stamp == stamp {
		return k.source, nil
	}
	source, err := k.load(ctx)
	if err != nil {
		return nil, err
	}
	k.source, k.stamp = source, stamp
	return source, nil
}

// forget has the next request load the credentials anew. It says whether they
// can be others then.
func (k *keyring) forget() bool {
	if k.access.fixed() {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.source = nil
	return true
}

// stampOf changes when one of the files is written or replaced.
func stampOf(files []string) string {
	var b strings.Builder
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			b.WriteString("none;")
			continue
		}
		var inode uint64
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = st.Ino
		}
		fmt.Fprintf(&b, "%d %d %d;", inode, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// signer signs with the credentials it is given. The SDK's own keeps the key it
// derived for an access key id, and would go on with it when only the secret
// was corrected.
//
// Accept-Encoding is left out: Google rewrites the header before it checks the
// signature, and the transport asks for no compression either way.
type signer struct{}

// SignHTTP implements the SDK's HTTPSignerV4.
func (signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, payloadHash, service, region string,
	at time.Time, options ...func(*v4.SignerOptions),
) error {
	r.Header.Del("Accept-Encoding")
	s := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return s.SignHTTP(ctx, c, r, payloadHash, service, region, at, options...)
}

// maxText bounds the text of an error, in bytes.
const maxText = 500

// clean makes text from outside fit for an error: on one line, of bounded
// length, without the secrets. A server can repeat what it was sent.
func (k *keyring) clean(text string) string {
	if c := k.last.Load(); c != nil {
		for _, secret := range []string{c.SecretAccessKey, c.SessionToken} {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "[secret]")
			}
		}
	}
	if len(k.access.ExternalID) > 5 { // a shorter one is part of words
		text = strings.ReplaceAll(text, k.access.ExternalID, "[external id]")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }), " ")
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}
