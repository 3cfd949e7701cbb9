package s3

import (
	"net/http"
	"sync"

	"github.com/spoolship/spoolship/agent/sink"
)

// bearings is where requests go and which region signs them: what the options
// say, until S3 knows better. It may be used concurrently.
//
// The clock needs no field here: the SDK signs with the time of the last
// answer. All that is decided is whether a try with it is still to be made.
type bearings struct {
	mu    sync.Mutex
	place place
	turn  int             // counts corrections
	tried map[string]bool // corrections since the last success
}

// take gives an attempt its place.
func (b *bearings) take(a *attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.place, a.turn = b.place, b.turn
}

// confirm notes that S3 has taken a request as it was.
func (b *bearings) confirm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.tried)
}

// correct follows an answer that says how the request should have been made.
// The first of the attempts that were made alike tells; the others are merely
// repeated. What was followed in vain is an operator's matter.
func (b *bearings) correct(a *attempt, e *sink.Error) {
	what, region := a.correction(e)
	if what == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case a.turn != b.turn:
		e.Class, e.Hint = sink.Temporary, ""
	case !b.tried[what]:
		b.tried[what] = true
		b.turn++
		b.place = b.place.in(region)
		e.Class = sink.Adapted
	}
}

// correction says what an answer corrects, "" if nothing, and which region is
// the right one then.
func (a *attempt) correction(e *sink.Error) (what, region string) {
	if a.answer == nil {
		return "", ""
	}
	if e.Code == "RequestTimeTooSkewed" {
		if _, err := http.ParseTime(a.answer.header.Get("Date")); err != nil {
			return "", ""
		}
		return "clock", a.place.region
	}
	region = a.answer.bucketRegion()
	if ruleFor(e.Code, e.Status).hint != hintRegion || region == "" || region == a.place.region {
		return "", ""
	}
	return "region " + region, region
}
