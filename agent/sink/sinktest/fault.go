package sinktest

import (
	"encoding/base64"
	"io"
	"net/http"
)

// Fault is what goes wrong with one request; the zero Fault is nothing. Faults
// are made by the functions below.
type Fault struct {
	act func(*Server, *exchange)
}

// Hang stores nothing and never answers: the request ends when the client gives
// up or the server closes.
func Hang() Fault {
	return Fault{func(s *Server, x *exchange) {
		io.Copy(io.Discard, x.r.Body)
		s.hang(x)
	}}
}

// HangBody stops reading after n bytes of the body and never answers.
func HangBody(n int64) Fault {
	return Fault{func(s *Server, x *exchange) {
		io.CopyN(io.Discard, x.r.Body, n)
		s.hang(x)
	}}
}

// CutBody resets the connection after n bytes of the body; 0 is a server that
// accepts connections and is not there.
func CutBody(n int64) Fault {
	return Fault{func(_ *Server, x *exchange) {
		io.CopyN(io.Discard, x.r.Body, n)
		x.reset()
	}}
}

// LoseAnswer stores the object and closes the connection without an answer.
func LoseAnswer() Fault {
	return Fault{func(s *Server, x *exchange) {
		s.put(x)
		x.reset()
	}}
}

// LateError stores the object and answers that it failed.
func LateError(status int, code string) Fault {
	return Fault{func(s *Server, x *exchange) {
		if s.put(x) {
			x.fail(status, code)
		}
	}}
}

// Answer stores nothing and answers with an error document of that code; ""
// sends no document. headers are pairs of name and value.
func Answer(status int, code string, headers ...string) Fault {
	return Fault{func(_ *Server, x *exchange) {
		io.Copy(io.Discard, x.r.Body)
		x.setHeaders(headers)
		x.fail(status, code)
	}}
}

// SlowDown answers 503 with that Retry-After ("" for none).
func SlowDown(retryAfter string) Fault {
	if retryAfter == "" {
		return Answer(http.StatusServiceUnavailable, "SlowDown")
	}
	return Answer(http.StatusServiceUnavailable, "SlowDown", "Retry-After", retryAfter)
}

// WrongRegion answers 301 and names the region where the bucket is.
func WrongRegion(region string) Fault {
	return Answer(http.StatusMovedPermanently, "PermanentRedirect", "X-Amz-Bucket-Region", region)
}

// EarlyReset answers before it has read the body, then resets the connection:
// the client may see the answer or only the reset.
func EarlyReset(status int, code string) Fault {
	return Fault{func(_ *Server, x *exchange) {
		x.failEarly(status, code)
	}}
}

// Reply stores nothing and answers with that status, body and headers, as
// something would that is not S3. S3's own headers are not added.
func Reply(status int, body string, headers ...string) Fault {
	return Fault{func(_ *Server, x *exchange) {
		io.Copy(io.Discard, x.r.Body)
		x.setHeaders(headers)
		x.w.WriteHeader(status)
		io.WriteString(x.w, body)
	}}
}

// HTML is a login page that answers in S3's place, with 200.
func HTML() Fault {
	return Reply(http.StatusOK, "<!DOCTYPE html><html><body>Please log in</body></html>", "Content-Type", "text/html")
}

// NoETag stores the object and answers 200 without an ETag.
func NoETag() Fault {
	return Fault{func(s *Server, x *exchange) {
		if s.put(x) {
			x.w.WriteHeader(http.StatusOK)
		}
	}}
}

// WrongChecksum stores the object and answers with another object's checksum.
func WrongChecksum() Fault {
	return Fault{func(s *Server, x *exchange) {
		if s.put(x) {
			x.succeed(base64.StdEncoding.EncodeToString(make([]byte, 32)))
		}
	}}
}

// Plain stores the object and answers as a store that knows no checksums: with an
// ETag that is the MD5, or with that one unless it is "". headers are pairs of
// name and value.
func Plain(etag string, headers ...string) Fault {
	return Fault{func(s *Server, x *exchange) {
		if s.put(x) {
			x.setHeaders([]string{"Etag", hexOf(md5Of(x.body))})
			if etag != "" {
				x.setHeaders([]string{"Etag", etag})
			}
			x.setHeaders(headers)
			x.w.WriteHeader(http.StatusOK)
		}
	}}
}

// hang waits until the client or the server is gone.
func (s *Server) hang(x *exchange) {
	select {
	case <-x.r.Context().Done():
	case <-s.closed:
	}
}

// setHeaders sets pairs of name and value.
func (x *exchange) setHeaders(pairs []string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		x.w.Header().Set(pairs[i], pairs[i+1])
	}
}
