//go:build e2e

package hostile

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// refusal answers as S3 does, with headers in pairs.
func refusal(status int, code, more string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", fmt.Sprintf("4442587FB7D0%04d", serial.Add(1)))
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>No.</Message>%s</Error>", code, more)
	}
}

// page answers as something else would.
func page(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const html = "<!DOCTYPE html>\n<html><body>Welcome to nginx!</body></html>"

// Whatever answers in S3's place, the chunk is kept, health is bad, one line
// says what to do however often it is tried, and in the end every line arrives
// once.
func TestStore(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc // nil: nobody listens
		says   []string
	}{
		{"a web server", page(200, html), []string{"200", "did not answer like S3", "s3.endpoint"}},
		{"a web server without pages", page(404, html), []string{"404", "did not answer like S3", "s3.endpoint"}},
		{"a web server that forbids", page(403, html), []string{"403", "did not answer like S3", "s3.endpoint"}},
		{"a portal", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/login", http.StatusFound)
		}, []string{"302", "did not answer like S3"}},
		{"empty 200", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }, []string{"200", "did not answer like S3"}},
		{"closed port", nil, []string{"connection refused", "nothing accepts connections"}},
		{"wrong region, redirected", refusal(301, "PermanentRedirect", "", "X-Amz-Bucket-Region", "eu-north-1"),
			[]string{"301 PermanentRedirect", `set s3.region = \"eu-north-1\"`}},
		{"wrong region, signature", refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>"),
			[]string{"400 AuthorizationHeaderMalformed", `set s3.region = \"eu-north-1\"`}},
		{"unknown key", refusal(403, "InvalidAccessKeyId", ""), []string{"InvalidAccessKeyId", "check s3.access_key_id"}},
		{"wrong secret", refusal(403, "SignatureDoesNotMatch", ""), []string{"SignatureDoesNotMatch", "check s3.secret_access_key"}},
		{"expired token", refusal(400, "ExpiredToken", ""), []string{"ExpiredToken", "renew"}},
		{"no permission", refusal(403, "AccessDenied", ""), []string{"AccessDenied", "s3:PutObject on arn:aws:s3:::events/*"}},
		{"wrong clock", refusal(403, "RequestTimeTooSkewed", ""), []string{"RequestTimeTooSkewed", "clock"}},
		{"no bucket", refusal(404, "NoSuchBucket", ""), []string{"NoSuchBucket", `create bucket \"events\"`, "s3.bucket"}},
		{"only errors", refusal(500, "InternalError", ""), []string{"500 InternalError"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.configure()
			w.log("a.log", events(100))
			w.answers(c.answer)
			if c.answer == nil {
				w.way.Down()
			}
			w.cannotShip(c.says)
			w.answers(nil)
			if err := w.way.Up(); err != nil {
				t.Fatal(err)
			}
			w.ships()
		})
	}
}

// take lets the store have a request, but the probe, which is no chunk.
func (w *world) take(rw http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "_spoolship_probe_") {
		rw.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
		return
	}
	w.Front.ServeHTTP(rw, r)
}

// A wrong region in the configuration costs a warning, and nothing else.
func TestWrongRegionIsFollowed(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("a.log", events(100))
	elsewhere := refusal(301, "PermanentRedirect", "", "X-Amz-Bucket-Region", "eu-north-1")
	w.judges(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "/eu-north-1/s3/") {
			w.take(rw, r)
			return
		}
		io.Copy(io.Discard, r.Body)
		elsewhere(rw, r)
	})
	words := []string{"eu-north-1", "set s3.region"}
	p := w.command("check", "--probe").exits(0)
	p.complaint(append(words, "warning: ")...)
	p = w.follow()
	w.shipped(100)
	p.complaint(append(words, "level=WARN", "going on")...)
	p.stop()
	w.arrived()
}

// A user or role that may put objects and nothing else is all that the agent
// needs: to start, to ship, to stop, to start again and to drain.
func TestPutObjectIsAllThatIsNeeded(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	w.configure()
	denied := refusal(403, "AccessDenied", "")
	var others atomic.Int64
	w.judges(func(rw http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); r.Method == http.MethodPut && len(q) <= 1 && (len(q) == 0 || q.Get("x-id") == "PutObject") &&
			strings.Count(r.URL.Path, "/") > 1 && r.Header.Get("X-Amz-Copy-Source") == "" {
			w.take(rw, r)
			return
		}
		others.Add(1)
		denied(rw, r)
	})
	w.command("check", "--probe").exits(0)
	for range 2 { // the second start finds a state
		p := w.follow()
		w.log("a.log", events(100))
		w.shipped(100)
		w.command("status").exits(0)
		w.command("spool", "ls").exits(0)
		p.stop()
	}
	w.log("a.log", events(100))
	w.ships()
	if n := others.Load(); n != 0 {
		t.Errorf("%d requests were something else than PutObject", n)
	}
}

// cannotShip has the agent try to ship two chunks, in vain, and checks that it
// says so once, in the words that a log line has.
func (w *world) cannotShip(says []string) {
	w.t.Helper()
	w.command("check", "--probe").exits(1).complaint(append(unquoted(says), "spoolship: error: ", "bucket events")...)
	p := w.follow()
	w.sealed(1)
	w.log("a.log", events(100))
	w.sealed(2)
	eventually(w.t, "bad health after many attempts", func() bool {
		s, code := w.status()
		return code == 1 && s.Uploads.Failures >= 5 && len(s.Problems) == 1
	})
	p.complaint(append(says, "level=ERROR", "upload of app: ")...)
	status := w.command("status").exits(1)
	head, _, _ := strings.Cut(status.out.String(), "\n\n")
	if !strings.HasPrefix(head, "degraded: ") || !containsAll(head, unquoted(says)) {
		w.t.Errorf("status does not begin with the problem, %q:\n%s", says, status.out.String())
	}
	p.stop()
}

// unquoted is how words look outside of a log line.
func unquoted(words []string) []string {
	return strings.Split(strings.ReplaceAll(strings.Join(words, "\x00"), `\"`, `"`), "\x00")
}

// Endpoints that are no web server at all, or are asked in the wrong way.
func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		name     string
		endpoint func(w *world) string
		says     []string
	}{
		{"https of a plain server", func(w *world) string { return strings.Replace(w.way.URL(), "http", "https", 1) },
			[]string{"does not speak TLS", "write http:// in s3.endpoint"}},
		{"another protocol", func(w *world) string { return talker(w.t, "SSH-2.0-OpenSSH_10.0\r\n") },
			[]string{"SSH-2.0-OpenSSH", "did not answer like S3"}},
		{"nobody answers", func(w *world) string { return talker(w.t, "") }, []string{"not done in time", "s3.endpoint"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.log("a.log", events(100))
			w.cfg.Endpoint, w.cfg.Timeout = c.endpoint(w), 200*time.Millisecond
			w.configure()
			w.cannotShip(c.says)
			w.cfg.Endpoint, w.cfg.Timeout = w.way.URL(), 0
			w.configure()
			w.ships()
		})
	}
}

// talker takes a whole request and answers it with words that are no HTTP, or
// never.
func talker(t *testing.T, words string) (endpoint string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if words == "" {
			<-r.Context().Done()
			return
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(c, words)
		c.Close()
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// An agent that could not ship recovers by itself, and says so once.
func TestStoreComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("a.log", events(100))
	w.answers(refusal(403, "AccessDenied", ""))
	p := w.follow()
	p.prints("level=ERROR", "AccessDenied")
	w.answers(nil)
	p.prints("upload of app: fine again", "failures=")
	eventually(t, "good health", func() bool {
		s, code := w.status()
		return code == 0 && s.Uploads.Records == 100
	})
	p.stop()
	w.arrived()
}

// Secrets are in no message and no answer.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.cfg.SecretKey = "a-very-secret-key"
	w.configure("[agent]\n", "[agent]\nlog_level = \"debug\"\n")
	w.log("a.log", events(1))
	w.answers(refusal(403, "SignatureDoesNotMatch", "<StringToSign>AWS4-HMAC-SHA256</StringToSign>"))
	p := w.follow()
	p.prints("SignatureDoesNotMatch", "level=ERROR")
	all := p.err.String()
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"check", "--probe"}, {"spool", "ls"}} {
		q := w.command(args...)
		q.code()
		all += q.out.String() + q.err.String()
	}
	if strings.Contains(all, w.cfg.SecretKey) {
		t.Errorf("the secret is shown:\n%s", all)
	}
	p.stop()
}
