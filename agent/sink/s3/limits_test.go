package s3

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// tap counts what a test server could write before its client was satisfied.
type tap struct{ written atomic.Int64 }

// pour writes text without end, up to most bytes.
func (f *tap) pour(w io.Writer, text string, most int64) {
	for f.written.Load() < most {
		n, err := io.WriteString(w, text)
		f.written.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// services are all that the agent asks for credentials.
var services = map[string]func(t *testing.T, url string) Access{
	"STS": func(_ *testing.T, url string) Access {
		return Access{AccessKeyID: "A", SecretAccessKey: "B", RoleARN: "arn:aws:iam::123456789012:role/ship", STSEndpoint: url}
	},
	"web identity": func(t *testing.T, url string) Access {
		jwt := filepath.Join(t.TempDir(), "token")
		writeFile(t, jwt, "jwt")
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", jwt)
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
		t.Setenv("AWS_ENDPOINT_URL_STS", url)
		return Access{}
	},
	"container": func(t *testing.T, url string) Access {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url+"/creds")
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")
		return Access{}
	},
	"instance": func(t *testing.T, url string) Access {
		t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
		return Access{}
	},
	"SSO": func(t *testing.T, url string) Access {
		home := t.TempDir()
		t.Setenv("HOME", home)
		const start = "https://example.awsapps.com/start"
		file := filepath.Join(home, "config")
		writeFile(t, file, "[profile sso]\nsso_start_url = "+start+"\nsso_region = eu-central-1\nsso_account_id = 123456789012\nsso_role_name = ship\n")
		t.Setenv("AWS_CONFIG_FILE", file)
		cache := filepath.Join(home, ".aws", "sso", "cache")
		if err := os.MkdirAll(cache, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(cache, "e8be5486177c5b5392bd9aa76563515b29358e6e.json"), // SHA-1 of the start URL
			`{"startUrl":"`+start+`","region":"eu-central-1","accessToken":"sso-token","expiresAt":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
		t.Setenv("AWS_ENDPOINT_URL_SSO", url)
		return Access{Profile: "sso"}
	},
}

// Whichever service never stops to answer, in its head or in its body, packed or
// not: it costs no more than its bound.
func TestEndlessCredentials(t *testing.T) {
	const enough = 32 << 20 // the kernel's buffers are below
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 1<<20))
	z.Close()
	for kind, answer := range map[string]func(f *tap, w http.ResponseWriter){
		"body": func(f *tap, w http.ResponseWriter) { f.pour(w, strings.Repeat("x", 4096), enough) },
		"xml": func(f *tap, w http.ResponseWriter) {
			io.WriteString(w, "<a>")
			f.pour(w, "<b>"+strings.Repeat("x", 4096)+"</b>", enough)
		},
		"error": func(f *tap, w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			f.pour(w, strings.Repeat("x", 4096), enough)
		},
		"bomb": func(f *tap, w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			f.pour(w, bomb.String(), enough)
		},
		"head": func(f *tap, w http.ResponseWriter) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			f.pour(conn, "X-Filler: "+strings.Repeat("x", 4096)+"\r\n", enough)
		},
	} {
		for name, access := range services {
			t.Run(name+" "+kind, func(t *testing.T) {
				f := &tap{}
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(f, w) }))
				t.Cleanup(srv.Close)
				a := access(t, srv.URL)
				o := optionsFor(sinktest.NewServer(t))
				o.Access = a
				s, err := New(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				e := failed(t, s.Put(t.Context(), sinktest.NewObject("key", []byte("x"))))
				if e.Code != codeCredentials || f.written.Load() == 0 || f.written.Load() >= enough {
					t.Errorf("%d bytes could be written; got %+v", f.written.Load(), e)
				}
				if len(e.Error()) > 1000 {
					t.Errorf("the error has %d bytes", len(e.Error()))
				}
			})
		}
	}
}

// No service may send a request for credentials on to somebody else.
func TestCredentialsAreNotRedirected(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	for _, status := range []int{302, 307} {
		for name, access := range services {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				var asked atomic.Int64
				other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
				t.Cleanup(other.Close)
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), status)
				}))
				t.Cleanup(srv.Close)
				o := optionsFor(sinktest.NewServer(t))
				o.Access = access(t, srv.URL)
				if e := failed(t, newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x")))); e.Code != codeCredentials {
					t.Errorf("got %+v", e)
				}
				if n := asked.Load(); n != 0 {
					t.Errorf("the other host was asked %d times", n)
				}
			})
		}
	}
}

// The same of the store itself: answers to uploads, listings and downloads.
func TestEndlessStore(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	const enough = 32 << 20
	for name, answer := range map[string]func(f *tap, w http.ResponseWriter){
		"200": func(f *tap, w http.ResponseWriter) {
			w.Header().Set("ETag", `"x"`)
			f.pour(w, strings.Repeat("x", 4096), enough)
		},
		"xml": func(f *tap, w http.ResponseWriter) {
			io.WriteString(w, "<ListBucketResult>")
			f.pour(w, "<Contents><Key>"+strings.Repeat("x", 4096)+"</Key></Contents>", enough)
		},
		"error": func(f *tap, w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "<Error><Code>")
			f.pour(w, "AccessDenied", enough)
		},
		"head": func(f *tap, w http.ResponseWriter) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			f.pour(conn, "X-Filler: "+strings.Repeat("x", 4096)+"\r\n", enough)
		},
	} {
		for call, do := range map[string]func(t *testing.T, o Options, r *Reader) error{
			"put": func(t *testing.T, o Options, _ *Reader) error {
				return newSink(t, o).Put(t.Context(), sinktest.NewObject("key", []byte("x")))
			},
			"list": func(t *testing.T, _ Options, r *Reader) error {
				return r.List(t.Context(), "", 1, func([]Entry) error { return nil })
			},
			"get": func(t *testing.T, _ Options, r *Reader) error {
				o, err := r.Get(t.Context(), "key", 1000)
				if err == nil {
					defer o.Body.Close()
					var n int64
					if n, err = io.Copy(io.Discard, o.Body); n > 1000 {
						t.Errorf("%d bytes of 1000 were read", n)
					}
				}
				return err
			},
		} {
			t.Run(call+" "+name, func(t *testing.T) {
				f := &tap{}
				srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(f, w) }))
				t.Cleanup(srv.Close)
				o := optionsFor(sinktest.NewServer(t))
				o.Endpoint = srv.URL
				r, err := NewReader(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				e := failed(t, do(t, o, r))
				if f.written.Load() >= enough {
					t.Errorf("%d bytes could be written: %v", f.written.Load(), e)
				}
				if len(e.Error()) > 1000 {
					t.Errorf("the error has %d bytes", len(e.Error()))
				}
			})
		}
	}
}

// A body that trickles, or stops, costs its reader the time of its bound and no
// more; the time that the reader takes for itself does not count.
func TestSlowBody(t *testing.T) {
	drip := make(chan bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for {
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			select {
			case <-drip:
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	answer, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	b := &boundedBody{ReadCloser: answer.Body, cancel: func() { answer.Body.Close() }, left: bound{1 << 20, 200 * time.Millisecond}}
	defer b.Close()
	time.Sleep(300 * time.Millisecond) // the reader is busy
	if _, err := b.Read(make([]byte, 1)); err != nil {
		t.Errorf("time of the reader was counted: %v", err)
	}
	began := time.Now()
	n, err := io.Copy(io.Discard, b)
	if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > 2*time.Second {
		t.Errorf("%d bytes in %v: %v", n, took, err)
	}
	if code, class, hint := diagnose(&answerError{err}); code != codeTimeout || class != sink.Temporary || hint == "" {
		t.Errorf("diagnosed as %s, %v, %q", code, class, hint)
	}
}

// A listing that never comes to an end, or goes round, is given up.
func TestEndlessPages(t *testing.T) {
	for name, page := range map[string]func(n int64) string{
		"empty": func(n int64) string {
			return fmt.Sprintf("<NextContinuationToken>%d</NextContinuationToken>", n)
		},
		"the same": func(int64) string {
			return "<NextContinuationToken>again</NextContinuationToken><Contents><Key>k</Key></Contents>"
		},
	} {
		var calls atomic.Int64
		r := newReader(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<ListBucketResult><IsTruncated>true</IsTruncated>%s</ListBucketResult>", page(calls.Add(1)))
		})
		listed := r.List(t.Context(), "", 1, func([]Entry) error { return nil })
		if e := failed(t, listed); calls.Load() > maxEmptyPages {
			t.Errorf("%s: %d calls, %v", name, calls.Load(), e)
		}
	}
}
