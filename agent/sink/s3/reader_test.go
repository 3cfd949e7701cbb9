package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spoolship/spoolship/agent/sink"
	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// newReader makes a reader of a server that answers with answer.
func newReader(t *testing.T, answer http.HandlerFunc) *Reader {
	t.Helper()
	srv := httptest.NewServer(answer)
	r, err := NewReader(t.Context(), Options{
		Bucket: sinktest.Bucket, Region: sinktest.Region, Endpoint: srv.URL, PathStyle: true,
		Access:        Access{AccessKeyID: sinktest.AccessKeyID, SecretAccessKey: sinktest.SecretAccessKey},
		ObjectOptions: ObjectOptions{RequestPayer: true, BucketOwner: "123456789012"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); srv.Close() })
	return r
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>says %s</Message></Error>", code, sinktest.SecretAccessKey)
}

// A listing has all pages, and a failure in between is tried again.
func TestListPages(t *testing.T) {
	var calls atomic.Int64
	r := newReader(t, func(w http.ResponseWriter, q *http.Request) {
		if n := calls.Add(1); n == 2 {
			refuse(w, http.StatusServiceUnavailable, "SlowDown")
			return
		}
		query := q.URL.Query()
		if query.Get("prefix") != "p/" || query.Get("list-type") != "2" || q.URL.Path != "/"+sinktest.Bucket ||
			q.Header.Get("X-Amz-Request-Payer") != "requester" || q.Header.Get("X-Amz-Expected-Bucket-Owner") != "123456789012" {
			t.Errorf("asked for %s with %v", q.URL, q.Header)
		}
		page, _ := strconv.Atoi(query.Get("continuation-token"))
		fmt.Fprintf(w, "<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", page < 2, page+1)
		for n := range 1000 {
			fmt.Fprintf(w, "<Contents><Key>p/%d</Key><Size>%d</Size></Contents>", 1000*page+n, n)
		}
		fmt.Fprint(w, "</ListBucketResult>")
	})
	n := 0
	err := r.List(t.Context(), "p/", 1, func(page []Entry) error {
		for _, e := range page {
			if e.Key != fmt.Sprintf("p/%d", n) || e.Size != int64(n%1000) {
				t.Fatalf("object %d is %+v", n, e)
			}
			n++
		}
		return nil
	})
	if err != nil || n != 3000 || calls.Load() != 4 {
		t.Errorf("%d objects in %d calls", n, calls.Load())
	}
}

// A listing with many requests has each object once, however deep the folders are
// and wherever the objects lie.
func TestListFolders(t *testing.T) {
	var keys []string
	for i := range 3000 {
		keys = append(keys, []string{
			fmt.Sprintf("p/app/dt=2026-01-%02d/hour=%02d/%d", i%28, i%24, i), fmt.Sprintf("p/app/%d", i), fmt.Sprintf("p/%d", i), fmt.Sprintf("p/web/%d/%d", i%3, i),
		}[i%4])
	}
	slices.Sort(keys)
	var busy, most atomic.Int64
	r := newReader(t, func(w http.ResponseWriter, q *http.Request) {
		if n := busy.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer busy.Add(-1)
		page(w, keys, q.URL.Query())
	})
	for _, requests := range []int{1, 2, 16} {
		var mu sync.Mutex
		var got []string
		most.Store(0)
		err := r.List(t.Context(), "p/", requests, func(page []Entry) error {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range page {
				got = append(got, e.Key)
			}
			return nil
		})
		slices.Sort(got)
		if err != nil || !slices.Equal(got, keys) || most.Load() > int64(requests) {
			t.Errorf("%d requests, %d at once: %d of %d keys, %v", requests, most.Load(), len(got), len(keys), err)
		}
	}
}

// page answers a listing of keys, which are sorted, with pages of 100.
func page(w io.Writer, keys []string, query url.Values) {
	prefix, delimiter, after := query.Get("prefix"), query.Get("delimiter"), query.Get("continuation-token")
	fmt.Fprint(w, "<ListBucketResult>")
	n, last := 0, ""
	for _, key := range keys {
		rest, inside := strings.CutPrefix(key, prefix)
		if !inside || key <= after || after != "" && strings.HasSuffix(after, "/") && strings.HasPrefix(key, after) {
			continue
		}
		item, text := key, fmt.Sprintf("<Contents><Key>%s</Key><Size>1</Size></Contents>", key)
		if folder, _, below := strings.Cut(rest, "/"); below && delimiter != "" {
			item = prefix + folder + "/"
			text = fmt.Sprintf("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", item)
		}
		if item == last {
			continue
		}
		if n == 100 {
			fmt.Fprintf(w, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", last)
			break
		}
		fmt.Fprint(w, text)
		n, last = n+1, item
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

// A store that answers with a folder above the one that was asked for, or with the
// same again, is not followed in circles.
func TestListFoldersInCircles(t *testing.T) {
	for _, folder := range []string{"p/", "", "q/x/"} {
		r := newReader(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<ListBucketResult><CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes></ListBucketResult>", folder)
		})
		err := r.List(t.Context(), "p/", 4, func([]Entry) error { return nil })
		if e := failed(t, err); !strings.Contains(e.Error(), "not in it") {
			t.Errorf("%q: got %v", folder, e)
		}
	}
}

func TestReadErrors(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		ctx    context.Context
		list   string // parts of the errors' text and hint
		get    string
	}{
		"denied": {
			answer: func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "AccessDenied") },
			list:   "s3:ListBucket on arn:aws:s3:::bucket", get: "s3:GetObject on arn:aws:s3:::bucket/*",
		},
		"no bucket": {answer: func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "NoSuchBucket") }, list: "create bucket", get: "create bucket"},
		"no object": {answer: func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "NoSuchKey") }, list: "NoSuchKey", get: "deleted since"},
		"wrong key": {answer: func(w http.ResponseWriter, _ *http.Request) { refuse(w, 403, "InvalidAccessKeyId") }, list: "s3.access_key_id", get: "s3.access_key_id"},
		"cancelled": {ctx: ended, answer: func(http.ResponseWriter, *http.Request) {}, list: "canceled", get: "canceled"},
		"not S3":    {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, list: "did not answer like S3", get: ""},
		"no way on": {answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<R><IsTruncated>true</IsTruncated></R>") }, list: "not where", get: ""},
		"breaks off": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, "<a>")
		}, list: "list", get: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReader(t, tt.answer)
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx
			}
			listed := r.List(ctx, "p/", 1, func([]Entry) error { return nil })
			o, got := r.Get(ctx, "key", 1<<10)
			if got == nil {
				_, got = io.ReadAll(o.Body)
				o.Body.Close()
			}
			for call, err := range map[string]error{tt.list: listed, tt.get: got} {
				if call == "" {
					continue
				}
				var e *sink.Error
				if !errors.As(err, &e) || !strings.Contains(e.Error()+"; "+e.Hint, call) || !strings.Contains(e.Error(), `bucket "bucket"`) {
					t.Errorf("got %v (%+v), want %q", err, e, call)
				} else if strings.Contains(e.Error()+e.Hint, sinktest.SecretAccessKey) {
					t.Errorf("a secret in %v", e)
				}
			}
		})
	}
}

func TestGet(t *testing.T) {
	r := newReader(t, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.EscapedPath() != "/bucket/a%2520b/c" {
			t.Errorf("asked for %s", q.URL.EscapedPath())
		}
		w.Header().Set("X-Amz-Meta-Spoolship-Queue", "1")
		w.Header().Set("Content-Encoding", "gzip") // by other tools: the bytes are wanted as they are
		fmt.Fprint(w, "\x1f\x8bx")
	})
	o, err := r.Get(t.Context(), "a%20b/c", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	if body, err := io.ReadAll(o.Body); string(body) != "\x1f\x8bx" || err != nil || o.Metadata["spoolship-queue"] != "1" {
		t.Errorf("got %q, %v, %v", body, err, o.Metadata)
	}
}

// A download that breaks off goes on from there, a few times, and never with
// another object's bytes.
func TestGetResumes(t *testing.T) {
	const content = "0123456789abcdef"
	var breaks, calls atomic.Int64
	var replaced atomic.Bool
	r := newReader(t, func(w http.ResponseWriter, q *http.Request) {
		if calls.Add(1) > 1 && q.Header.Get("If-Match") != `"1"` {
			t.Errorf("went on with If-Match %q", q.Header.Get("If-Match"))
		}
		from, etag := 0, `"1"`
		if replaced.Load() {
			etag = `"2"`
		}
		if s := q.Header.Get("Range"); s != "" {
			fmt.Sscanf(s, "bytes=%d-", &from)
		}
		if m := q.Header.Get("If-Match"); m != "" && m != etag {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
		to := len(content)
		if breaks.Add(-1) >= 0 {
			to = min(to, from+3)
		}
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, content[from:to])
	})
	get := func() (string, error) {
		o, err := r.Get(t.Context(), "key", int64(len(content)))
		if err != nil {
			return "", err
		}
		defer o.Body.Close()
		body, err := io.ReadAll(o.Body)
		return string(body), err
	}
	for n := range int64(resumes + 1) {
		breaks.Store(n)
		calls.Store(0)
		if body, err := get(); body != content || err != nil || calls.Load() != n+1 {
			t.Errorf("%d breaks: got %q, %v in %d calls", n, body, err, calls.Load())
		}
	}
	breaks.Store(resumes + 1)
	calls.Store(0)
	if body, err := get(); err == nil {
		t.Errorf("got %q", body)
	}
	breaks.Store(1)
	calls.Store(0)
	o, err := r.Get(t.Context(), "key", int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	replaced.Store(true)
	var e *sink.Error
	if _, err := io.ReadAll(o.Body); !errors.As(err, &e) || e.Status != http.StatusPreconditionFailed {
		t.Errorf("a replaced object: %v", err)
	}
}
