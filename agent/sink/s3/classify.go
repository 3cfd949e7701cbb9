package s3

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
)

// classify says what an attempt came to: nil, sink.ErrExists or an *sink.Error.
// It is a pure function of its arguments.
func (p place) classify(a *attempt, now time.Time) error {
	switch {
	case a.body.err != nil:
		return &sink.Error{Code: codeUnreadable, InDoubt: a.begun.Load(), Err: fmt.Errorf("read the object: %w", a.body.err)}
	case a.answer == nil || a.err != nil:
		return p.unanswered(a)
	case a.stored():
		return nil
	}
	e := p.refused(a, a.answer)
	if e == nil {
		return sink.ErrExists
	}
	e.Status = a.answer.status
	e.RetryAfter = a.answer.retryAfter(now)
	e.Hint = p.hint(e.Hint)
	return e
}

// refused classifies an answer that is not a confirmation; nil means that the
// key exists and IfAbsent asked for that.
func (p place) refused(a *attempt, r *answer) *sink.Error {
	switch {
	case r.status == http.StatusOK && r.code != "":
		// S3 may find an error after it has sent the status line.
		return fromRule(r, r.code, ruleFor(r.code, http.StatusInternalServerError))
	case r.status < 300:
		e := fromRule(r, codeNotS3, a.unproved())
		e.Spoilt = true // a checksum that differs may be that of what is stored
		return e
	case r.status == http.StatusPreconditionFailed && a.object.IfAbsent:
		return existing(r)
	case a.object.IfAbsent && unconditional(r):
		return fromRule(r, "NotImplemented", rule{class: sink.NotConditional})
	case a.refusedExpect():
		return fromRule(r, statusCode(r.status), rule{class: sink.Config, hint: hintExpect})
	case r.status < 400:
		return p.redirected(r)
	case a.refusedChecksum() && r.names("x-amz-checksum"):
		return fromRule(r, r.code, rule{class: sink.Config, hint: hintChecksum})
	case r.status < 500 && !r.fromS3():
		return fromRule(r, codeNotS3, rule{class: sink.Config, hint: hintNotS3})
	}
	return p.byCode(r)
}

// existing decides on a 412 to a conditional request. Only S3's own word counts
// as "delivered": its error document, or no document and a request id. If
// something else said it, the request goes out once more without the condition,
// which is safe because it puts the same object.
func existing(r *answer) *sink.Error {
	if r.code == "PreconditionFailed" || len(r.body) == 0 && r.requestID() != "" {
		return nil
	}
	return fromRule(r, codeNotS3, rule{sink.NotConditional, hintNotS3, true})
}

// unconditional says whether the destination turned down If-None-Match itself.
func unconditional(r *answer) bool {
	return r.status == http.StatusNotImplemented ||
		r.status == http.StatusBadRequest && r.names("If-None-Match")
}

// redirected classifies a redirection: S3's name another region, others come
// from portals.
func (p place) redirected(r *answer) *sink.Error {
	to := r.location()
	if r.code == "" && r.bucketRegion() == "" {
		ru := rule{class: sink.Temporary, hint: hintNotS3}
		if to != "" {
			ru.hint = fmt.Sprintf("{endpoint} did not answer like S3, but sends on to %s, which is not followed: set s3.endpoint = %q if that is the store; else a proxy or a login page answers in its place", to, to)
		}
		return fromRule(r, codeNotS3, ru)
	}
	e := p.byCode(r)
	if to != "" {
		e.Hint += "; the answer names " + to
	}
	return e
}

// byCode looks the answer's code up, and its status if the code is unknown.
// Where the region is wrong and S3 names the right one, that is the hint.
func (p place) byCode(r *answer) *sink.Error {
	code := r.code
	if code == "" {
		code = statusCode(r.status)
	}
	ru := ruleFor(code, r.status)
	if region := r.bucketRegion(); ru.hint == hintRegion && region != "" {
		ru.hint = fmt.Sprintf("bucket %q is in region %q: set s3.region = %q (it is %q)", p.bucket, region, region, p.region)
		if region == p.region {
			ru.hint = fmt.Sprintf("bucket %q is in region %q, which {endpoint} does not serve: set s3.region = %q and correct s3.endpoint", p.bucket, region, region)
		}
	}
	return fromRule(r, code, ru)
}

// fromRule makes the error of an answer.
func fromRule(r *answer, code string, ru rule) *sink.Error {
	text := fmt.Sprintf("the answer is %d %s", r.status, code)
	if r.message != "" {
		text += ": " + r.message
	}
	if id := r.requestID(); id != "" {
		text += " (request " + id + ")"
	}
	return &sink.Error{Class: ru.class, Code: code, Hint: ru.hint, InDoubt: ru.doubt, Err: errors.New(text)}
}
