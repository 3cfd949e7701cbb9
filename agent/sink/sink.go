// Package sink is the contract between the shipper and a destination.
package sink

import (
	"context"
	"errors"
	"io"
	"time"
)

// Object is one object to put. The same Object may be put again after a failed
// attempt, but not concurrently: its Body has one position.
type Object struct {
	Key         string
	ContentType string
	Metadata    map[string]string // keys in lower case
	Size        int64             // bytes of Body that are the object
	SHA256      [32]byte          // of those bytes
	// Body is put from its start, wherever it is positioned. Put may read it
	// more than once, and does not touch it after it has returned.
	Body io.ReadSeeker
	// IfAbsent asks that an existing object of this key be left alone.
	IfAbsent bool
}

// Sink puts objects. Put makes exactly one attempt, never retries, may be
// called concurrently, and returns nil only if the object is durably there: the
// destination said so, and its answer shows that it has the object's bytes.
// With IfAbsent, ErrExists says that an object of that key is there already.
// Any other error is an *Error.
type Sink interface {
	Put(ctx context.Context, o *Object) error
}

// ErrExists is the answer to IfAbsent when the key exists.
var ErrExists = errors.New("object exists already")

// Class is what an error means for the shipper.
type Class uint8

// The classes.
const (
	Temporary      Class = iota // will pass: server errors, network, time-outs
	Throttled                   // slow down
	Config                      // an operator must act: credentials, permissions, bucket, region
	NotConditional              // the destination does not know If-None-Match
	Adapted                     // the sink does what the destination asked for from now on: try again at once
)

var classNames = [...]string{"temporary", "throttled", "config", "not_conditional", "adapted"}

// String returns the class's name in status and metrics.
func (c Class) String() string { return classNames[c] }

// Classes returns all classes.
func Classes() []Class { return []Class{Temporary, Throttled, Config, NotConditional, Adapted} }

// Error is a failed attempt. Its text is one line, names the object and shows no
// secret. An ended context and an error of Object.Body can be found in it with
// errors.Is and errors.As.
type Error struct {
	Class      Class
	Code       string        // short and stable, for example "AccessDenied" or "connection refused"
	Status     int           // HTTP status; 0 if there was no answer
	RetryAfter time.Duration // 0 if the destination did not say
	InDoubt    bool          // the object may be there, or may still come to be there
	Spoilt     bool          // what may be there is not what was sent: the next attempt must not be conditional
	Hint       string        // what the operator can do; "" if nothing
	Err        error
}

// Error returns the text of the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
