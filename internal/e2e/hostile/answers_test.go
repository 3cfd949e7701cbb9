//go:build e2e

package hostile

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// says answers with status, body and pairs of headers.
func says(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// Whatever says yes in the store's place, over plain HTTP, delivers nothing: the
// lines are kept, and arrive once the store is back.
func TestYesOfSomebodyElse(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"a portal's JSON with an ETag", says(200, `{"login":"required"}`, "ETag", `"1"`)},
		{"a portal's JSON, ETag and request id", says(200, `{"login":"required"}`, "ETag", `"1"`, "X-Amz-Request-Id", "1")},
		{"one ETag for everything", says(200, "", "ETag", `"0123456789abcdef0123456789abcdef"`, "X-Amz-Request-Id", "1")},
		{"a weak ETag", says(200, "", "ETag", `W/"1"`)},
		{"text without an ETag", says(200, "ok")},
		{"201", says(201, "", "ETag", `"1"`)},
		{"204", says(204, "", "ETag", `"1"`)},
		{"304", says(304, "", "ETag", `"1"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.configure()
			w.log("a.log", events(100))
			w.answers(c.answer)
			w.cannotShip([]string{"did not answer like S3", "login page"})
			w.answers(nil)
			w.ships()
			row(t, !t.Failed(), "upload answered by "+c.name, "100 lines kept, and arrive later", "delivered only by proof")
		})
	}
}

// Once the store has repeated the checksum, a yes without it is none.
func TestYesWithoutTheChecksum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bucket.JSON)
	w.configure()
	w.log("a.log", events(100))
	p := w.follow()
	w.shipped(100)
	w.judges(func(rw http.ResponseWriter, r *http.Request) {
		h := md5.New()
		io.Copy(h, r.Body)
		rw.Header().Set("ETag", strconv.Quote(hex.EncodeToString(h.Sum(nil))))
	})
	w.log("a.log", events(100))
	p.prints("repeated the SHA-256")
	w.answers(nil)
	w.shipped(200)
	p.stop()
	w.arrived()
	row(t, !t.Failed(), "the store repeats the SHA-256, then somebody else the MD5", "100 lines kept, and arrive later", "the SHA-256 is demanded for good")
}

// measured counts what a handler could write to a client that should go away.
func measured(n *atomic.Int64, begin, text string, status int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		says(status, begin, headers...)(w, r)
		for r.Context().Err() == nil {
			m, err := io.WriteString(w, text)
			if n.Add(int64(m)); err != nil {
				return
			}
		}
	}
}

// Answers without end, of the store and of STS: they cost little, in bytes and in
// memory, and other uploads go on when they are over.
func TestEndlessAnswers(t *testing.T) {
	const span, most, memory = 5 * time.Second, 256 << 20, 160 << 10
	filler := strings.Repeat("x", 32<<10)
	for _, c := range []struct {
		name   string
		sts    bool
		answer func(n *atomic.Int64) http.HandlerFunc
	}{
		{"STS: a body without end", true, func(n *atomic.Int64) http.HandlerFunc { return measured(n, "<a>", filler, 200) }},
		{"STS: an error without end", true, func(n *atomic.Int64) http.HandlerFunc { return measured(n, "<a>", filler, 403) }},
		{"STS: elements without end", true, func(n *atomic.Int64) http.HandlerFunc {
			return measured(n, "<a>", strings.Repeat("<b/>", 8<<10), 200)
		}},
		{"store: a 200 without end", false, func(n *atomic.Int64) http.HandlerFunc { return measured(n, "", filler, 200, "ETag", `"1"`) }},
		{"store: an error without end", false, func(n *atomic.Int64) http.HandlerFunc { return measured(n, "<Error><Code>", filler, 403) }},
		{"store: a head without end", false, func(n *atomic.Int64) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
				for {
					m, err := io.WriteString(conn, "X-Filler: "+filler[:4<<10]+"\r\n")
					if n.Add(int64(m)); err != nil {
						return
					}
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, bucket.JSON)
			var n atomic.Int64
			if c.sts {
				sts := httptest.NewServer(c.answer(&n))
				t.Cleanup(sts.Close)
				w.configure("[s3]\n", "[s3]\nrole_arn = \"arn:aws:iam::123456789012:role/ship\"\nsts_endpoint = \""+sts.URL+"\"\n")
			} else {
				w.configure()
				w.answers(c.answer(&n))
			}
			w.log("a.log", events(100))
			p := w.follow()
			time.Sleep(span) // that long it may try
			peak := peakKiB(t, p.cmd.Process.Pid)
			row(t, n.Load() > 0 && n.Load() < most && peak < memory, c.name,
				fmt.Sprintf("%d MiB written to it, %d MiB of memory in %v", n.Load()>>20, peak>>10, span), fmt.Sprintf("< %d MiB, < %d MiB", most>>20, memory>>10))
			p.stop()
			w.answers(nil)
			w.configure()
			w.ships()
		})
	}
	t.Run("listing", func(t *testing.T) {
		w := newWorld(t, bucket.JSON)
		w.configure()
		var n atomic.Int64
		w.answers(measured(&n, "<ListBucketResult>", strings.Repeat("<Contents></Contents>", 1<<10), 200))
		p := w.command("audit")
		p.exits(1).complaint("spoolship: error: ", "did not answer like S3")
		row(t, n.Load() < most, "audit: a page without end", fmt.Sprintf("%d MiB written to it", n.Load()>>20), fmt.Sprintf("< %d MiB", most>>20))
	})
}

// peakKiB is the most memory that a process has had.
func peakKiB(t *testing.T, pid int) (kib int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fmt.Sscan(rest, &kib)
	return kib
}

// Claims without end of where the bucket is: few requests, few lines, bad health.
func TestEndlessRedirects(t *testing.T) {
	const span, most = 10 * time.Second, 60
	for _, c := range []struct {
		name   string
		answer func(n int64) http.HandlerFunc
	}{
		{"301 to one region after the other", func(n int64) http.HandlerFunc {
			return refusal(301, "PermanentRedirect", "", "X-Amz-Bucket-Region", fmt.Sprintf("us-east-%d", n))
		}},
		{"400 naming one region after the other", func(n int64) http.HandlerFunc {
			return refusal(400, "AuthorizationHeaderMalformed", fmt.Sprintf("<Region>us-east-%d</Region>", n))
		}},
		{"417, whatever is left out", func(int64) http.HandlerFunc { return says(417, "") }},
		{"a clock that is never right", func(n int64) http.HandlerFunc {
			return refusal(403, "RequestTimeTooSkewed", "", "Date", time.Now().Add(time.Duration(n)*time.Hour).UTC().Format(http.TimeFormat))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.configure()
			var n atomic.Int64
			w.answers(func(rw http.ResponseWriter, r *http.Request) { c.answer(n.Add(1))(rw, r) })
			w.log("a.log", events(100))
			p := w.follow()
			time.Sleep(span) // that long it may try
			requests, lines := n.Load(), strings.Count(p.err.String(), "\n")
			s, code := w.status()
			row(t, requests > 0 && requests < most && lines < most && code == 1 && len(s.Problems) == 1, c.name,
				fmt.Sprintf("%d requests, %d log lines in %v, status exits %d", requests, lines, span, code), fmt.Sprintf("< %d of each, 1", most))
			p.stop()
			w.answers(nil)
			w.ships()
		})
	}
}

// Stores with ways of their own take every line, exactly once, and are told nothing
// of that twice.
func TestOddStores(t *testing.T) {
	for _, c := range []struct {
		name string
		odd  func(w *world, rw http.ResponseWriter, r *http.Request) bool // answers, or passes the request on
	}{
		{"Accept-Encoding must not be signed (Google)", func(_ *world, rw http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.Header.Get("Authorization"), "accept-encoding") {
				refusal(403, "SignatureDoesNotMatch", "")(rw, r)
				return true
			}
			return false
		}},
		{"x-amz-checksum-sha256 is refused (Backblaze)", func(_ *world, rw http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Amz-Checksum-Sha256") != "" {
				says(400, "<Error><Code>InvalidArgument</Code><Message>Unsupported header 'x-amz-checksum-sha256' received for this API call.</Message></Error>")(rw, r)
				return true
			}
			sum, err := hex.DecodeString(r.Header.Get("X-Amz-Content-Sha256"))
			if err != nil || r.Header.Get("Content-Md5") == "" {
				refusal(400, "InvalidRequest", "")(rw, r)
				return true
			}
			r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum)) // for the front
			return false
		}},
		{"417 to Expect: 100-continue", func(_ *world, rw http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Expect") != "" {
				says(417, "<html>Expectation Failed</html>")(rw, r)
				return true
			}
			return false
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bucket.JSON)
			w.configure("[s3]\n", "[s3]\nconditional = \"always\"\n")
			var mu sync.Mutex
			odd := 0
			w.judges(func(rw http.ResponseWriter, r *http.Request) {
				if c.odd(w, rw, r) {
					mu.Lock()
					defer mu.Unlock()
					odd++
					return
				}
				w.take(rw, r)
			})
			w.command("check", "--probe").exits(0)
			odd = 0
			p := w.follow()
			for n := range int64(3) {
				w.log("a.log", events(100))
				w.shipped(100 * (n + 1))
			}
			p.stop()
			w.arrived()
			mu.Lock()
			defer mu.Unlock()
			row(t, odd <= 1 && !t.Failed(), c.name, fmt.Sprintf("met %d times, 300 lines arrived", odd), "met once")
		})
	}
}

// Names that AWS does not have are taken where another store is named.
func TestNamesOfOtherStores(t *testing.T) {
	for _, name := range []string{"My_Events", "tenant:events", "EVENTS", "e"} {
		w := newWorld(t, bucket.JSON)
		w.cfg.Bucket = name
		w.configure("[s3]\n", "[s3]\nstorage_class = \"Cold_1\"\n")
		var path, class string
		w.answers(func(rw http.ResponseWriter, r *http.Request) {
			path, class = r.URL.Path, r.Header.Get("X-Amz-Storage-Class")
			says(200, "", "ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)(rw, r)
		})
		w.command("check", "--probe").exits(0)
		row(t, strings.HasPrefix(path, "/"+name+"/") && class == "Cold_1", "bucket "+name+" and a storage class of another store", "uploads to "+path, "/"+name+"/…")
		w.configure("[s3]\n", "[s3]\nstorage_class = \"Cold_1\"\n", "endpoint = ", "# endpoint = ")
		aws := w.command("check").exits(2)
		row(t, containsAll(aws.err.String(), []string{"s3.bucket: must be 3 to 63", "s3.storage_class: must be STANDARD", "set endpoint"}), "the same at AWS", "refused, with the rules", "refused")
	}
}

// path_style was forgotten: the host before which the bucket's name was put is not
// known, and the hint says so.
func TestForgottenPathStyle(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	w.cfg.Endpoint = "https://s3.invalid:9000"
	w.configure("path_style = true\n", "")
	p := w.command("check", "--probe").exits(1)
	p.complaint("spoolship: error: ", "events.s3.invalid", "set s3.path_style = true")
	row(t, !t.Failed(), "path_style is forgotten", "the hint names path_style", "it does")
}

// A policy by prefix lets the probes of those inputs through whose objects it lets
// through, and audit does not call them foreign.
func TestProbeOfEachInput(t *testing.T) {
	w := newWorld(t, bucket.JSON)
	web := w.cfg.Inputs[0]
	web.Name, web.Include = "web", []string{w.Logs() + "/*.web"}
	w.cfg.Inputs = append(w.cfg.Inputs, web)
	w.cfg.Prefix = "events/"
	w.configure()
	for _, allowed := range []string{"/events/events/app/", "/events/events/web/", "/events/events/", "/events/other/"} {
		w.judges(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, allowed) {
				io.Copy(io.Discard, r.Body)
				refusal(403, "AccessDenied", "")(rw, r)
				return
			}
			w.Front.ServeHTTP(rw, r)
		})
		p := w.command("check", "--probe")
		code := p.code()
		works := strings.Count(p.out.String(), ": upload works, s3://")
		want := strings.Count("/events/events/app/ /events/events/web/", allowed)
		row(t, works == want && (code == 0) == (want == 2), "check --probe where a policy allows "+allowed, fmt.Sprintf("%d of 2 inputs work, exit code %d", works, code), fmt.Sprintf("%d of 2", want))
	}
	w.answers(nil)
	w.log("a.log", events(10))
	w.command("run", "--once").exits(0)
	audit := w.command("audit").exits(0)
	row(t, !strings.Contains(audit.out.String(), "foreign"), "audit of a bucket with probes", "no foreign key", "none")
}
