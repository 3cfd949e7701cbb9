package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a Retry-After header can ask for.
const maxRetryAfter = time.Hour

// answer is what came back for a request. The document's fields are empty if
// the body is not an S3 error document.
type answer struct {
	status  int
	tls     bool // it came over TLS: its certificate was verified
	header  http.Header
	body    []byte
	long    bool   // the body goes on beyond maxAnswer
	code    string // <Code>, for example "AccessDenied"
	message string // <Message>
	region  string // <Region>: the region that the request should be signed for
	host    string // <Endpoint>: the host that it should be sent to
}

// readAnswer reads the answer. The answer is returned even when its body breaks
// off, which is the error.
func readAnswer(r *http.Response) (*answer, error) {
	a := &answer{status: r.StatusCode, tls: r.TLS != nil, header: r.Header}
	body, err := io.ReadAll(r.Body)
	a.body = bytes.TrimSpace(body)
	a.parse()
	if a.long = errors.Is(err, errTooLong); err == nil || a.long {
		return a, nil
	}
	return a, &answerError{err}
}

// parse takes the fields out of S3's error document:
//
//	<Error><Code>…</Code><Message>…</Message><Region>…</Region>…</Error>
func (a *answer) parse() {
	var doc struct {
		XMLName  xml.Name
		Code     string
		Message  string
		Region   string
		Endpoint string
	}
	if xml.Unmarshal(a.body, &doc) != nil || doc.XMLName.Local != "Error" {
		return
	}
	if isName(doc.Code) {
		a.code = doc.Code
		a.message = strings.TrimSpace(doc.Message)
	}
	if isRegion(doc.Region) {
		a.region = doc.Region
	}
	if isName(doc.Endpoint) {
		a.host = doc.Endpoint
	}
}

// isRegion reports whether text can be a region, which becomes a part of a host's
// name.
func isRegion(text string) bool {
	return isName(text) && len(text) <= 63 && !strings.Contains(text, ".")
}

// isName reports whether text can be a code or a host: these are compared,
// counted and shown, so nothing else may pass for one.
func isName(text string) bool {
	return len(text) <= 100 && text != "" && strings.Trim(text, nameCharacters) == ""
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// isDocument says whether the body is markup: an error document or a web page,
// neither of which confirms anything.
func (a *answer) isDocument() bool { return bytes.HasPrefix(a.body, []byte("<")) }

// fromS3 says whether S3 itself may have answered: with an error document, with
// one of its headers, or with nothing at all.
func (a *answer) fromS3() bool {
	return a.code != "" || len(a.body) == 0 || a.requestID() != ""
}

// requestID is what the store's operator needs to find a request.
func (a *answer) requestID() string { return a.header.Get("X-Amz-Request-Id") }

// bucketRegion is the bucket's real region, "" if the answer does not name it.
func (a *answer) bucketRegion() string {
	if region := a.header.Get("X-Amz-Bucket-Region"); isRegion(region) {
		return region
	}
	return a.region
}

// location is where a redirection leads to, as a URL without path, query or
// credentials; "" if it does not say.
func (a *answer) location() string {
	u, err := url.Parse(a.header.Get("Location"))
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && isName(strings.NewReplacer(":", "", "[", "", "]", "").Replace(u.Host)):
		return u.Scheme + "://" + u.Host
	case a.host != "":
		return "https://" + a.host
	}
	return ""
}

// names says whether the error document speaks of a header.
func (a *answer) names(header string) bool {
	return a.code != "" && strings.Contains(strings.ToLower(string(a.body)), strings.ToLower(header))
}

// retryAfter decodes the Retry-After header (RFC 9110, 10.2.3: seconds or a
// date), at most an hour; 0 if there is none or it has passed.
func (a *answer) retryAfter(now time.Time) time.Duration {
	value := strings.TrimSpace(a.header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), maxRetryAfter))
	}
	return 0
}
