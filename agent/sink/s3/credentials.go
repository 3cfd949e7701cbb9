package s3

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// credentialsError marks a failure to get credentials, which happens before
// anything is sent.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "get credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// keyring is a credentials provider that marks failures, and that remembers
// what it handed out so that no error text can repeat it.
type keyring struct {
	provider aws.CredentialsProvider
	last     atomic.Pointer[aws.Credentials]
}

// Retrieve implements aws.CredentialsProvider.
func (k *keyring) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := k.provider.Retrieve(ctx)
	if err != nil {
		return c, &credentialsError{err}
	}
	k.last.Store(&c)
	return c, nil
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
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}
