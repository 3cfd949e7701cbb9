package sinktest

import (
	"bufio"
	"crypto/md5" //nolint:gosec // as stores have it
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// exchange is one request and its answer.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	key  string
	body []byte // once it was read
}

// ServeHTTP answers PutObject and refuses every other call, since
// s3:PutObject is the only permission that a sink may need.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	x := &exchange{w: w, r: r, key: key}
	switch {
	case r.Method != http.MethodPut || key == "":
		x.fail(http.StatusMethodNotAllowed, "MethodNotAllowed")
	case bucket != Bucket:
		io.Copy(io.Discard, r.Body)
		x.fail(http.StatusNotFound, "NoSuchBucket")
	default:
		s.serve(x)
	}
}

// serve lets the script have its way, or else stores the object.
func (s *Server) serve(x *exchange) {
	if fault := s.arrive(x.r, x.key); fault.act != nil {
		fault.act(s, x)
		return
	}
	if s.put(x) {
		x.succeed(x.r.Header.Get("X-Amz-Checksum-Sha256"))
	}
}

// exists says whether the request's condition fails already.
func (s *Server) exists(x *exchange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[x.key] != nil && x.r.Header.Get("If-None-Match") == "*"
}

// put reads, checks and stores the object. It answers only if it refuses.
func (s *Server) put(x *exchange) (ok bool) {
	if code := checkHeaders(x.r); code != "" {
		io.Copy(io.Discard, x.r.Body)
		x.fail(statusOf(code), code)
		return false
	}
	// A condition that fails already is answered before the body is asked for.
	if s.exists(x) {
		x.fail(http.StatusPreconditionFailed, "PreconditionFailed")
		return false
	}
	body, err := io.ReadAll(x.r.Body)
	if err != nil {
		x.fail(http.StatusBadRequest, "IncompleteBody")
		return false
	}
	x.body = body
	if code := checkBody(x.r, body); code != "" {
		x.fail(statusOf(code), code)
		return false
	}
	o := &Object{Body: body, ContentType: x.r.Header.Get("Content-Type"), Metadata: metadata(x.r.Header)}
	if !s.store(x.key, o, x.r.Header.Get("If-None-Match") == "*") {
		x.fail(http.StatusPreconditionFailed, "PreconditionFailed")
		return false
	}
	return true
}

// metadata collects the x-amz-meta- headers.
func metadata(h http.Header) map[string]string {
	m := map[string]string{}
	for name := range h {
		if key, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-meta-"); ok {
			m[key] = h.Get(name)
		}
	}
	return m
}

// checkBody compares the body with all of its hashes.
func checkBody(r *http.Request, body []byte) (code string) {
	sum := sha256.Sum256(body)
	if r.Header.Get("X-Amz-Content-Sha256") != hexOf(sum[:]) {
		return "XAmzContentSHA256Mismatch"
	}
	checksum, md5 := r.Header.Get("X-Amz-Checksum-Sha256"), r.Header.Get("Content-Md5")
	switch {
	case checksum == "" && md5 == "":
		return "InvalidRequest" // Object Lock wants one of them
	case checksum != "" && checksum != base64.StdEncoding.EncodeToString(sum[:]),
		md5 != "" && md5 != base64.StdEncoding.EncodeToString(md5Of(body)):
		return "BadDigest"
	}
	return ""
}

func md5Of(body []byte) []byte {
	sum := md5.Sum(body) //nolint:gosec // as stores have it
	return sum[:]
}

func statusOf(code string) int {
	switch code {
	case "SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied":
		return http.StatusForbidden
	case "MissingContentLength":
		return http.StatusLengthRequired
	}
	return http.StatusBadRequest
}

// succeed confirms the object, and repeats that SHA-256 unless it is "".
func (x *exchange) succeed(checksum string) {
	x.setHeaders([]string{"Etag", strconv.Quote(hexOf(md5Of(x.body))), "X-Amz-Request-Id", "SINKTEST"})
	if checksum != "" {
		x.setHeaders([]string{"X-Amz-Checksum-Sha256", checksum})
	}
	x.w.WriteHeader(http.StatusOK)
}

// fail answers with an error document.
func (x *exchange) fail(status int, code string) {
	x.setHeaders([]string{"Content-Type", "application/xml", "X-Amz-Request-Id", "SINKTEST"})
	x.w.WriteHeader(status)
	if code != "" {
		io.WriteString(x.w, document(code))
	}
}

// failEarly writes the answer past net/http, which would read the body first,
// and resets the connection.
func (x *exchange) failEarly(status int, code string) {
	conn, w := x.hijack()
	doc := document(code)
	fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(doc), doc)
	w.Flush()
	reset(conn)
}

// reset ends the connection with a reset instead of an answer.
func (x *exchange) reset() {
	conn, _ := x.hijack()
	reset(conn)
}

func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter) {
	conn, w, err := x.w.(http.Hijacker).Hijack()
	if err != nil {
		panic("sinktest: hijack: " + err.Error()) // HTTP/1.1 connections always allow it
	}
	return conn, w
}

// reset closes conn so that the peer sees ECONNRESET, not an orderly end.
func reset(conn net.Conn) {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// document is S3's error document.
func document(code string) string {
	var message strings.Builder
	xml.EscapeText(&message, []byte("sinktest says "+code))
	return xml.Header + "<Error><Code>" + code + "</Code><Message>" + message.String() + "</Message><RequestId>SINKTEST</RequestId></Error>"
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
