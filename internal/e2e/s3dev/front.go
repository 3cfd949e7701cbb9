package s3dev

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Front checks, counts and disturbs the PUTs of the store behind it; other
// requests pass. Its methods may be called by any goroutine.
type Front struct {
	next http.Handler

	mu     sync.Mutex
	faults *Faults
	puts   uint64
	stored map[string]*stored // by path
	stats  Stats
}

// stored is what the front knows of one key.
type stored struct {
	sum   [sha256.Size]byte
	first time.Time // when the answer to the first successful PUT was ready
}

// Stats counts PUTs.
type Stats struct {
	Puts      int64          // requests
	Stored    int64          // distinct keys
	Repeated  int64          // PUTs of a key that was there, with the same bytes
	Existed   int64          // answered 412
	Broken    int64          // versitygw cut the connection (as it does after an early 412)
	Conflicts []string       // keys that were stored again with other bytes
	Refused   []string       // PUTs whose body or headers were wrong
	Faults    map[string]int // injected, by kind
}

// NewFront returns a front before next, without faults.
func NewFront(next http.Handler) *Front {
	return &Front{next: next, stored: map[string]*stored{}, stats: Stats{Faults: map[string]int{}}}
}

// SetFaults replaces the schedule; nil ends all faults.
func (f *Front) SetFaults(s *Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = s
}

// Stats returns the counts so far.
func (f *Front) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Stored = int64(len(f.stored))
	s.Faults = maps.Clone(s.Faults)
	return s
}

// StoredAt says when an object became visible; zero if it is not.
func (f *Front) StoredAt(bucket, key string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.stored["/"+bucket+"/"+key]; s != nil {
		return s.first
	}
	return time.Time{}
}

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		f.next.ServeHTTP(w, r)
		return
	}
	d := f.begin(r)
	switch d.kind {
	case SlowDown:
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", strconv.Itoa(d.retryAfter))
		refuse(w, http.StatusServiceUnavailable, "SlowDown", "please reduce your request rate")
		return
	case ResetMidBody:
		io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		cut(w)
		return
	case EarlyExists:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "the object exists")
		w.(http.Flusher).Flush()
		cut(w)
		return
	}
	f.put(w, r, d)
}

// begin counts the request and draws its fault.
func (f *Front) begin(r *http.Request) fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	exists := r.Header.Get("If-None-Match") == "*" && f.stored[r.URL.Path] != nil
	d := f.faults.draw(f.puts, exists)
	f.puts++
	f.stats.Puts++
	if d.kind != None {
		f.stats.Faults[d.kind.String()]++
	}
	return d
}

// put takes the whole body, checks it, and lets the store have it.
func (f *Front) put(w http.ResponseWriter, r *http.Request, d fault) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	sum := sha256.Sum256(body)
	if problem := wrongSum(r.Header, sum); problem != "" {
		f.refused(r.URL.Path, problem)
		refuse(w, http.StatusBadRequest, "BadDigest", problem)
		return
	}
	switch d.kind {
	case Hang:
		wait(r, d.hang)
		cut(w)
		return
	case CutBefore:
		cut(w)
		return
	}
	// From here on the store decides, even if the client goes away: the front
	// must know what became of the key.
	r = r.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Del("Expect") // the body is here: no "100 Continue" must come between
	answer := httptest.NewRecorder()
	f.next.ServeHTTP(answer, r)
	f.finish(r.URL.Path, sum, answer.Code)
	if d.kind == LostAnswer || answer.Code == http.StatusBadGateway {
		cut(w)
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// finish notes what the store did.
func (f *Front) finish(path string, sum [sha256.Size]byte, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.stored[path]
	switch {
	case status == http.StatusPreconditionFailed:
		f.stats.Existed++
	case status == http.StatusBadGateway:
		f.stats.Broken++
	case status != http.StatusOK:
		f.stats.Refused = append(f.stats.Refused, fmt.Sprintf("%s: the store answered %d", path, status))
	case old == nil:
		f.stored[path] = &stored{sum: sum, first: time.Now()}
	case old.sum == sum:
		f.stats.Repeated++
	default:
		f.stats.Conflicts = append(f.stats.Conflicts, path)
	}
}

func (f *Front) refused(path, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats.Refused = append(f.stats.Refused, path+": "+problem)
}

// wrongSum compares the digest of the body with both headers that promise it.
// A streaming signature or a trailing checksum is refused as well: stores that
// only resemble S3 choke on them, so the agent must not send any.
func wrongSum(h http.Header, sum [sha256.Size]byte) string {
	if got, want := h.Get("X-Amz-Content-Sha256"), hex.EncodeToString(sum[:]); got != want {
		return fmt.Sprintf("x-amz-content-sha256 is %q, the body has %s", got, want)
	}
	if got, want := h.Get("X-Amz-Checksum-Sha256"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return fmt.Sprintf("x-amz-checksum-sha256 is %q, the body has %s", got, want)
	}
	return ""
}

// wait is silent for d, or until the client gives up.
func wait(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// cut resets the connection: linger 0 makes close send RST instead of FIN.
func cut(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return // the client was faster
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}
