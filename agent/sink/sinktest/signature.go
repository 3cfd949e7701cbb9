package sinktest

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkHeaders returns the S3 code for a request whose headers S3 refuses, or "".
func checkHeaders(r *http.Request) (code string) {
	hash := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case r.ContentLength < 0 || len(r.TransferEncoding) > 0:
		return "MissingContentLength"
	case len(hash) != 2*sha256.Size:
		return "InvalidRequest" // not signed, or signed in chunks: allowed by S3, not here
	}
	return checkSignature(r, hash)
}

// authorization is a decoded header of the form
//
//	AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/s3/aws4_request, SignedHeaders=a;b, Signature=HEX
type authorization struct {
	id, scope, signed, signature string
}

// parseAuthorization decodes the header; ok is false if it is malformed.
func parseAuthorization(header string) (a authorization, ok bool) {
	fields, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return a, false
	}
	for field := range strings.SplitSeq(fields, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			a.id, a.scope, _ = strings.Cut(value, "/")
		case "SignedHeaders":
			a.signed = value
		case "Signature":
			a.signature = value
		}
	}
	return a, a.id != "" && a.signed != "" && a.signature != "" && strings.Count(a.scope, "/") == 3
}

// checkSignature verifies a Signature Version 4 (AWS General Reference,
// "Create a signed AWS API request").
func checkSignature(r *http.Request, payloadHash string) (code string) {
	a, ok := parseAuthorization(r.Header.Get("Authorization"))
	switch {
	case !ok:
		return "AccessDenied"
	case a.id != AccessKeyID:
		return "InvalidAccessKeyId"
	case strings.Split(a.scope, "/")[1] != Region:
		return "AuthorizationHeaderMalformed"
	}
	signed := strings.Split(a.signed, ";")
	for _, name := range []string{"host", "x-amz-content-sha256", "x-amz-date"} {
		if !slices.Contains(signed, name) {
			return "AccessDenied"
		}
	}
	if slices.Contains(signed, "accept-encoding") {
		return "SignatureDoesNotMatch" // Google's front end rewrites it
	}
	if !hmac.Equal([]byte(sign(r, a, payloadHash)), []byte(a.signature)) {
		return "SignatureDoesNotMatch"
	}
	return ""
}

// sign computes the signature that the request should have.
func sign(r *http.Request, a authorization, payloadHash string) string {
	canonical := sha256.Sum256([]byte(canonicalRequest(r, a.signed, payloadHash)))
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + a.scope + "\n" + hexOf(canonical[:])
	key := []byte("AWS4" + SecretAccessKey)
	for part := range strings.SplitSeq(a.scope, "/") {
		key = mac(key, part)
	}
	return hexOf(mac(key, text))
}

// canonicalRequest lists what is signed, one part per line.
func canonicalRequest(r *http.Request, signed, payloadHash string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for name := range strings.SplitSeq(signed, ";") {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + signed + "\n" + payloadHash)
	return b.String()
}

// headerValue is a header as it is signed. net/http takes some out of the map.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	return strings.Join(strings.Fields(strings.Join(r.Header.Values(name), ",")), " ")
}

func canonicalQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
