package agent

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink/s3"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// bucketLines are the records in srv, in the order of their keys. Every object
// must have had one content only.
func bucketLines(t *testing.T, srv *sinktest.Server) []string {
	t.Helper()
	var all []string
	objects := srv.Objects()
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if objects[key].Changed {
			t.Errorf("%s was stored with different bytes", key)
		}
		zr, err := gzip.NewReader(bytes.NewReader(objects[key].Body))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		text, err := io.ReadAll(zr)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

// answerCase is what stands between the agent and its store.
type answerCase struct {
	fault sinktest.Fault
	once  bool   // it comes once: what it asks for is done then; else to more tries than pass in silence
	level string // of the one line in the log; "" if there is none
	says  string // a part of it: the fix, or what happened where there is none
}

const failing = unhealthyAfter

var answerCases = map[string]answerCase{
	"500":                    {fault: sinktest.Answer(500, "InternalError"), level: "ERROR", says: "500 InternalError"},
	"500, once":              {fault: sinktest.Answer(500, "InternalError"), once: true},
	"502 of a proxy":         {fault: sinktest.Reply(502, "<html>bad gateway</html>"), level: "ERROR", says: "502 Bad Gateway"},
	"503 slow down":          {fault: sinktest.SlowDown("0"), level: "ERROR", says: "503 SlowDown"},
	"429":                    {fault: sinktest.Answer(429, "TooManyRequests"), level: "ERROR", says: "429 TooManyRequests"},
	"error after storing":    {fault: sinktest.LateError(500, "InternalError"), once: true},
	"400 bad digest":         {fault: sinktest.Answer(400, "BadDigest"), level: "ERROR", says: "400 BadDigest"},
	"400 request timeout":    {fault: sinktest.Answer(400, "RequestTimeout"), level: "ERROR", says: "400 RequestTimeout"},
	"400 invalid argument":   {fault: sinktest.Answer(400, "InvalidArgument"), level: "ERROR", says: "refuses the request"},
	"400 entity too large":   {fault: sinktest.Answer(400, "EntityTooLarge"), level: "ERROR", says: "smaller chunk.max_size"},
	"301 wrong region":       {fault: sinktest.WrongRegion(otherRegion), once: true, level: "WARN", says: `set s3.region = \"us-west-2\"`},
	"403 access denied":      {fault: sinktest.Answer(403, "AccessDenied"), level: "ERROR", says: "allow the action s3:PutObject"},
	"403 wrong secret":       {fault: sinktest.Answer(403, "SignatureDoesNotMatch"), level: "ERROR", says: "check s3.secret_access_key"},
	"403 unknown key":        {fault: sinktest.Answer(403, "InvalidAccessKeyId"), level: "ERROR", says: "check s3.access_key_id"},
	"400 expired token":      {fault: sinktest.Answer(400, "ExpiredToken"), level: "ERROR", says: "renew them"},
	"403 wrong clock":        {fault: sinktest.Answer(403, "RequestTimeTooSkewed"), once: true, level: "WARN", says: "clock is wrong"},
	"403 wrong clock, stays": {fault: sinktest.Answer(403, "RequestTimeTooSkewed"), level: "WARN", says: "clock is wrong"},
	"404 no bucket":          {fault: sinktest.Answer(404, "NoSuchBucket"), level: "ERROR", says: "create bucket"},
	"409":                    {fault: sinktest.Answer(409, "ConditionalRequestConflict"), level: "ERROR", says: "409 ConditionalRequestConflict"},
	"501":                    {fault: sinktest.Answer(501, "NotImplemented"), level: "ERROR", says: "does not implement"},
	"407 of a proxy":         {fault: sinktest.Reply(407, "", "Proxy-Authenticate", "Basic"), level: "ERROR", says: "the proxy wants credentials"},
	"page with 200":          {fault: sinktest.HTML(), level: "ERROR", says: "proxy or a login page answers in its place"},
	"stored, no ETag":        {fault: sinktest.NoETag(), level: "ERROR", says: "did not answer like S3"},
	"stored, other checksum": {fault: sinktest.WrongChecksum(), level: "ERROR", says: "did not answer like S3"},
	"portal":                 {fault: sinktest.Reply(302, "", "Location", "http://login.invalid/"), level: "ERROR", says: "login page"},
	"reset in the body":      {fault: sinktest.CutBody(10), level: "ERROR", says: "connection"},
	"answer lost":            {fault: sinktest.LoseAnswer(), once: true},
	"no answer in time":      {fault: sinktest.Hang(), level: "ERROR", says: "did not answer in time"},
}

const otherRegion = "us-west-2"

// shipAnswered ships lines to a store that follows the script, and returns the
// store and what was logged.
func shipAnswered(t *testing.T, script func(n int, r sinktest.Request) sinktest.Fault) (*sinktest.Server, string) {
	t.Helper()
	s := newSite(t)
	want := s.write(t, "a.log", 0, 100)
	srv := sinktest.NewServer(t)
	srv.Script(func(r sinktest.Request) sinktest.Fault { return script(r.N, r) })
	dest, err := s3.New(t.Context(), s3.Options{
		Bucket: sinktest.Bucket, Region: sinktest.Region, Endpoint: srv.URL, PathStyle: true, Timeout: 200 * time.Millisecond,
		Access: s3.Access{AccessKeyID: sinktest.AccessKeyID, SecretAccessKey: sinktest.SecretAccessKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer dest.Close()
	var log logBuffer
	a := s.agent(t, Options{Sink: dest, Once: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameLines(t, bucketLines(t, srv), want)
	return srv, log.String()
}

// Whatever is answered, the chunk is kept and in the end delivered once, and one
// line says what to do.
func TestEveryAnswerKeepsTheChunk(t *testing.T) {
	for name, c := range answerCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, log := shipAnswered(t, func(n int, r sinktest.Request) sinktest.Fault {
				switch {
				case strings.Contains(r.Header.Get("Authorization"), otherRegion): // the way back
					return sinktest.WrongRegion(sinktest.Region)
				case n == 1 || n <= failing && !c.once:
					return c.fault
				}
				return sinktest.Fault{}
			})
			told := 0
			for line := range strings.Lines(log) {
				if c.says != "" && strings.Contains(line, c.says) && strings.Contains(line, "level="+c.level) {
					told++
				}
			}
			if want := min(1, len(c.says)); told != want {
				t.Errorf("said %d times, want %d:\n%s", told, want, log)
			}
			if c.says == "" && (strings.Contains(log, "level=WARN") || strings.Contains(log, "level=ERROR")) {
				t.Errorf("what passes is not worth a line:\n%s", log)
			}
		})
	}
}

// A 412 that comes before the body, with a reset, leads to an unconditional
// attempt and not to a circle.
func TestEarly412EndsInDelivery(t *testing.T) {
	srv, _ := shipAnswered(t, func(n int, r sinktest.Request) sinktest.Fault {
		switch {
		case n == 1:
			return sinktest.LoseAnswer()
		case r.IfAbsent:
			return sinktest.EarlyReset(http.StatusPreconditionFailed, "PreconditionFailed")
		}
		return sinktest.Fault{}
	})
	if n := len(srv.Requests()); n > 3 {
		t.Errorf("%d attempts", n)
	}
}

// A store that does not know the condition is asked for it once.
func TestUnknownConditionIsNotAskedAgain(t *testing.T) {
	srv, log := shipAnswered(t, func(n int, r sinktest.Request) sinktest.Fault {
		switch {
		case r.IfAbsent:
			return sinktest.Answer(501, "NotImplemented")
		case n <= 3:
			return sinktest.Answer(500, "InternalError") // in doubt: the next is conditional, or would be
		}
		return sinktest.Fault{}
	})
	var asked []bool
	for _, r := range srv.Requests() {
		asked = append(asked, r.IfAbsent)
	}
	if want := []bool{false, true, false, false}; !slices.Equal(asked, want) || strings.Count(log, "does not know If-None-Match") != 1 {
		t.Errorf("conditional %v, want %v:\n%s", asked, want, log)
	}
}
