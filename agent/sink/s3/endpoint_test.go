package s3

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// scriptedSink puts to a server that answers every request with refuse's error
// document, and takes it where there is none.
func scriptedSink(t *testing.T, refuse func(w http.ResponseWriter, r *http.Request) (status int, doc string)) *Sink {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		status, doc := refuse(w, r)
		if doc == "" {
			confirm(w, r)
			return
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error>%s</Error>", doc)
	}))
	t.Cleanup(srv.Close)
	return newSink(t, Options{
		Bucket: "b", Region: "eu-central-1", Endpoint: srv.URL, PathStyle: true,
		Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"},
	})
}

// signedFor is the region in the request's signature.
func signedFor(r *http.Request) string { return strings.Split(r.Header.Get("Authorization"), "/")[2] }

// However S3 names the right region, the next attempt is made for it, and the
// region is told once.
func TestRightRegionIsFollowed(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter) (int, string){
		"301": func(w http.ResponseWriter) (int, string) {
			w.Header().Set("X-Amz-Bucket-Region", "us-west-2")
			return 301, "<Code>PermanentRedirect</Code>"
		},
		"307": func(w http.ResponseWriter) (int, string) {
			w.Header().Set("X-Amz-Bucket-Region", "us-west-2")
			return 307, "<Code>TemporaryRedirect</Code>"
		},
		"400": func(http.ResponseWriter) (int, string) {
			return 400, "<Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region>"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scriptedSink(t, func(w http.ResponseWriter, r *http.Request) (int, string) {
				if signedFor(r) == "us-west-2" {
					return 0, ""
				}
				return answer(w)
			})
			e := failed(t, s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))))
			if e.Class != sink.Adapted || e.InDoubt || !strings.Contains(e.Hint, `set s3.region = "us-west-2" (it is "eu-central-1")`) {
				t.Errorf("got %+v", e)
			}
			for range 2 {
				if err := s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))); err != nil {
					t.Errorf("after the correction: %v", err)
				}
			}
		})
	}
}

// The endpoint of AWS goes with the region.
func TestRightRegionHasItsEndpoint(t *testing.T) {
	var hosts []string
	s := newSink(t, Options{
		Bucket: "logs", Region: "eu-central-1", Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"},
		HTTPClient: roundTrip(func(r *http.Request) *http.Response {
			hosts = append(hosts, r.URL.Host)
			answer := httptest.NewRecorder()
			if len(hosts) == 1 {
				answer.Header().Set("X-Amz-Bucket-Region", "us-west-2")
				answer.WriteHeader(http.StatusMovedPermanently)
			} else {
				confirm(answer, r)
			}
			return answer.Result()
		}),
	})
	e := failed(t, s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))))
	if err := s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))); err != nil || e.Class != sink.Adapted {
		t.Errorf("first %+v, then %v", e, err)
	}
	if got := fmt.Sprint(hosts); got != "[logs.s3.eu-central-1.amazonaws.com logs.s3.us-west-2.amazonaws.com]" {
		t.Errorf("asked %s", got)
	}
}

// roundTrip is an HTTP client without a network.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) Do(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	return f(r), nil
}

// A store that names another region every time, or the one it was asked for,
// is not followed for ever.
func TestRegionsThatDoNotHelp(t *testing.T) {
	for name, other := range map[string]string{"in circles": "eu-central-1", "the same": "us-west-2"} {
		s := scriptedSink(t, func(w http.ResponseWriter, r *http.Request) (int, string) {
			region := "us-west-2"
			if signedFor(r) == region {
				region = other
			}
			w.Header().Set("X-Amz-Bucket-Region", region)
			return 301, "<Code>PermanentRedirect</Code>"
		})
		adapted := 0
		for range 10 {
			e := failed(t, s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))))
			if e.Class == sink.Adapted {
				adapted++
			} else if e.Class != sink.Config || !strings.Contains(e.Hint, "set s3.region") {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if adapted == 0 || adapted > 2 {
			t.Errorf("%s: followed %d times", name, adapted)
		}
	}
}

// Claims without end, each another region: two are followed, and then the
// configured place is asked, at the pace of the caller.
func TestEndlessClaims(t *testing.T) {
	for name, claim := range map[string]string{"host": "", "label": "x", "host of somebody": "a.example.com/", "long": strings.Repeat("r", 200)} {
		var n, elsewhere atomic.Int64
		asked := map[string]int{}
		s := scriptedSink(t, func(w http.ResponseWriter, r *http.Request) (int, string) {
			asked[signedFor(r)]++
			if claim == "" || claim == "x" {
				w.Header().Set("X-Amz-Bucket-Region", fmt.Sprintf("us-%s%d", claim, n.Add(1)))
			} else {
				w.Header().Set("X-Amz-Bucket-Region", claim)
				elsewhere.Add(1)
			}
			return 301, "<Code>PermanentRedirect</Code>"
		})
		adapted := 0
		for range 20 {
			if e := failed(t, s.Put(t.Context(), sinktest.NewObject("k", []byte("x")))); e.Class == sink.Adapted {
				adapted++
			} else if e.Class != sink.Config || e.Hint == "" || len(e.Hint) > 600 {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if want := map[bool]int{true: 0, false: maxCorrections}[elsewhere.Load() > 0]; adapted != want {
			t.Errorf("%s: followed %d claims, want %d", name, adapted, want)
		}
		if asked["eu-central-1"] < 18 {
			t.Errorf("%s: asked for %v", name, asked)
		}
	}
}

// A claim that leads to a host that is not there is taken back.
func TestClaimLeadsNowhere(t *testing.T) {
	var hosts []string
	right := false
	s := newSink(t, Options{
		Bucket: "logs", Region: "eu-central-1", Access: Access{AccessKeyID: "id", SecretAccessKey: "secret"},
		HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
			io.Copy(io.Discard, r.Body)
			hosts = append(hosts, r.URL.Host)
			answer := httptest.NewRecorder()
			switch {
			case strings.Contains(r.URL.Host, "nowhere"):
				return nil, &url.Error{Op: "Put", Err: &net.DNSError{Err: "no such host", Name: r.URL.Host, IsNotFound: true}}
			case right:
				confirm(answer, r)
			default:
				answer.Header().Set("X-Amz-Bucket-Region", "nowhere-1")
				answer.WriteHeader(http.StatusMovedPermanently)
			}
			return answer.Result(), nil
		}),
	})
	put := func() error { return s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))) }
	if e := failed(t, put()); e.Class != sink.Adapted {
		t.Errorf("got %+v", e)
	}
	if e := failed(t, put()); e.Code != codeDNS {
		t.Errorf("got %+v", e)
	}
	right = true
	if err := put(); err != nil {
		t.Errorf("%v; asked %v", err, hosts)
	}
}

// doer is an HTTP client without a network, which can fail.
type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// A redirection that is none of S3's is not followed, and the hint says where it
// leads to.
func TestRedirectionIsNamed(t *testing.T) {
	for to, want := range map[string]string{
		"https://s3.example.com:9000/a?token=secret": `set s3.endpoint = "https://s3.example.com:9000"`,
		"/login":                "did not answer like S3",
		"javascript:alert(1)":   "did not answer like S3",
		"http://a\x1b[31m.com/": "did not answer like S3",
		"https://user:secret@portal.example.com/": "https://portal.example.com",
	} {
		srv := sinktest.NewServer(t)
		srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.Reply(302, "<html>", "Location", to) })
		e := failed(t, newSink(t, optionsFor(srv)).Put(t.Context(), sinktest.NewObject("k", nil)))
		if !strings.Contains(e.Hint, want) || strings.Contains(e.Hint, "secret") || len(srv.Requests()) != 1 {
			t.Errorf("%s: %d requests, %+v", to, len(srv.Requests()), e)
		}
	}
}

// Of attempts that were made alike, one tells; the others are just repeated.
func TestCorrectionIsToldOnce(t *testing.T) {
	const uploads = 8
	var arrived sync.WaitGroup
	arrived.Add(uploads)
	s := scriptedSink(t, func(w http.ResponseWriter, r *http.Request) (int, string) {
		if signedFor(r) == "us-west-2" {
			return 0, ""
		}
		arrived.Done()
		arrived.Wait()
		w.Header().Set("X-Amz-Bucket-Region", "us-west-2")
		return 301, "<Code>PermanentRedirect</Code>"
	})
	classes := make(chan sink.Class, uploads)
	for n := range uploads {
		go func() {
			var e *sink.Error
			errors.As(s.Put(t.Context(), sinktest.NewObject(fmt.Sprint(n), []byte("x"))), &e)
			classes <- e.Class
		}()
	}
	count := map[sink.Class]int{}
	for range uploads {
		count[<-classes]++
	}
	if count[sink.Adapted] != 1 || count[sink.Temporary] != uploads-1 {
		t.Errorf("by class: %v", count)
	}
}

// A machine whose clock is wrong signs with the server's; and a server that
// does not take its own time either is not asked again and again at once.
func TestServersClockIsUsed(t *testing.T) {
	const ahead = 3 * time.Hour
	right := true
	s := scriptedSink(t, func(w http.ResponseWriter, r *http.Request) (int, string) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err == nil && at.Sub(now).Abs() < 15*time.Minute && right {
			return 0, ""
		}
		return 403, "<Code>RequestTimeTooSkewed</Code>"
	})
	put := func() error { return s.Put(t.Context(), sinktest.NewObject("k", []byte("x"))) }
	if e := failed(t, put()); e.Class != sink.Adapted || e.InDoubt || !strings.Contains(e.Hint, "clock is wrong") {
		t.Errorf("got %+v", e)
	}
	for range 2 {
		if err := put(); err != nil {
			t.Fatalf("with the server's clock: %v", err)
		}
	}
	right = false
	if e := failed(t, put()); e.Class != sink.Adapted {
		t.Errorf("the clock changed: %+v", e)
	}
	if e := failed(t, put()); e.Class != sink.Config || !strings.Contains(e.Hint, "clock") {
		t.Errorf("its own clock is refused: %+v", e)
	}
}
