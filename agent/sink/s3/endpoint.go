package s3

import (
	"net/http"
	"sync"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
)

// target is where an attempt goes and how it asks.
type target struct {
	place
	checksum checksum
	adaptive bool // the checksum is changed if the store does not take it
	expect   bool // conditional requests ask for a 100-continue
	// echoes means that answers of this endpoint repeat the SHA-256: one that does
	// not is no confirmation.
	echoes     bool
	generation int // counts corrections
}

// checksum is how the store is told what the body must be.
type checksum uint8

const (
	checksumSHA256 checksum = iota // x-amz-checksum-sha256
	checksumMD5                    // Content-MD5, which every store knows
)

// newTarget returns the target at p. Options.Checksum is one of its values.
func newTarget(p place, option string) target {
	t := target{place: p, expect: true, adaptive: (option == "" || option == "auto") && !p.aws()}
	if option == "md5" {
		t.checksum = checksumMD5
	}
	t.echoes = p.aws() && t.checksum == checksumSHA256
	return t
}

// Answers that correct a request are claims: anybody who answers can make them.
// So maxCorrections of them are followed between two successes, or else in
// correctionPause.
const (
	maxCorrections  = 2
	correctionPause = time.Minute
)

// endpointState is the target of the next attempt: what the options say, until the
// destination corrects it. It may be used concurrently.
//
// The clock needs no field here: the SDK signs with the time of the last
// answer. All that is decided is whether a try with it is still to be made.
type endpointState struct {
	mu        sync.Mutex
	start     place // by the options
	now       target
	confirmed bool            // now has worked
	tried     map[string]bool // corrections since the last success
	last      time.Time       // of the last correction
}

// take gives an attempt its target.
func (s *endpointState) take(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.target = s.now
}

// confirm notes that the store has taken an object as it was sent by a.
func (s *endpointState) confirm(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tried)
	if a.generation == s.now.generation {
		s.confirmed = true
		s.now.echoes = s.now.echoes || a.echoed()
	}
}

// correct follows an answer that says how the request should have been made.
// The first of the attempts that were made alike tells; the others are merely
// repeated. What was followed in vain is an operator's matter.
func (s *endpointState) correct(a *attempt, e *sink.Error, now time.Time) {
	what, to := a.correction(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.generation != s.now.generation {
		if what != "" {
			e.Class, e.Hint = sink.Temporary, ""
		}
		return
	}
	if now.Sub(s.last) > correctionPause {
		clear(s.tried)
	}
	switch {
	case what != "" && !s.tried[what] && len(s.tried) < maxCorrections:
		s.tried[what], s.last = true, now
		s.move(to)
		e.Class = sink.Adapted
	case !s.confirmed && s.now.place != s.start && (a.answer == nil || what != "" || e.Class == sink.Config):
		// The claim led nowhere. Where it came from there may be an answer again.
		to := s.now
		to.place = s.start
		s.move(to)
	}
}

// move makes to the target from now on.
func (s *endpointState) move(to target) {
	to.generation = s.now.generation + 1
	s.now, s.confirmed = to, false
}

// refusedExpect reports whether the answer is 417 to a request that asked for a
// 100-continue, as old proxies have it.
func (a *attempt) refusedExpect() bool {
	return a.answer.status == http.StatusExpectationFailed && a.object.IfAbsent && a.expect
}

// refusedChecksum reports whether the answer may turn down x-amz-checksum-sha256, or
// asks for Content-MD5 in its place.
func (a *attempt) refusedChecksum() bool {
	r := a.answer
	_, known := codeRules[r.code]
	return a.checksum == checksumSHA256 && (r.status == http.StatusNotImplemented ||
		r.status >= 400 && r.status < 500 && !known && (r.names("x-amz-checksum") || r.names("content-md5")))
}

// correction names what an answer corrects, "" if nothing, and returns the target
// by it.
func (a *attempt) correction(e *sink.Error) (what string, to target) {
	to = a.target
	if a.answer == nil {
		return "", to
	}
	switch {
	case a.refusedExpect():
		to.expect = false
		return "expect", to
	case a.adaptive && a.refusedChecksum() && e.Class != sink.NotConditional:
		to.checksum, to.adaptive, to.echoes = checksumMD5, false, false
		return "checksum", to
	case e.Code == "RequestTimeTooSkewed":
		if _, err := http.ParseTime(a.answer.header.Get("Date")); err != nil {
			return "", to
		}
		return "clock", to
	case ruleFor(e.Code, e.Status).hint == hintRegion:
		if region := a.answer.bucketRegion(); region != "" && region != a.region {
			to.place = to.in(region)
			return "region " + region, to
		}
	}
	return "", to
}
