package s3

import (
	"crypto/md5" //nolint:gosec // S3 uses it, against mistakes and not against people
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	headerSHA256     = "X-Amz-Checksum-Sha256"
	headerEncryption = "X-Amz-Server-Side-Encryption"
)

// stored reports whether the answer proves that the store has the object.
//
// A 200 with an ETag is not enough: over plain HTTP a login page can say that, and
// so can a proxy that answers everything. One of these has to be there, which
// nobody has by chance:
//
//   - the SHA-256 of the object, repeated; once an endpoint has done that, and from
//     the start at AWS, nothing else counts
//   - an ETag that is the MD5 of the object, or the MD5 in X-Goog-Hash
//   - no body, a request id, and either TLS, whose certificate says who answers, or
//     an encryption by KMS: ETags of encrypted objects are not their MD5
//
// That the body is no document, that a checksum does not differ, and that the
// answer came behind the last byte of the object is asked for in every case.
func (a *attempt) stored() bool {
	r := a.answer
	switch {
	case r.status != http.StatusOK, r.header.Get("Etag") == "", r.isDocument(), r.long, a.body.read < a.body.size:
		return false
	case r.header.Get(headerSHA256) != "":
		return a.echoed()
	case a.echoes:
		return false
	case a.hasMD5():
		return true
	}
	return len(r.body) == 0 && r.requestID() != "" && (r.tls || strings.HasPrefix(r.header.Get(headerEncryption), "aws:kms"))
}

// echoed reports whether the answer repeats the object's SHA-256.
func (a *attempt) echoed() bool {
	return a.answer.header.Get(headerSHA256) == base64.StdEncoding.EncodeToString(a.object.SHA256[:])
}

// hasMD5 reports whether the answer has the MD5 of what was sent. Proxies that
// change nothing else make weak ETags of strong ones.
func (a *attempt) hasMD5() bool {
	if len(a.md5) == 0 {
		return false
	}
	etag := strings.Trim(strings.TrimPrefix(a.answer.header.Get("Etag"), "W/"), `"`)
	if strings.EqualFold(etag, hex.EncodeToString(a.md5)) {
		return true
	}
	for _, value := range a.answer.header.Values("X-Goog-Hash") {
		for hash := range strings.SplitSeq(value, ",") {
			if strings.TrimSpace(hash) == "md5="+base64.StdEncoding.EncodeToString(a.md5) {
				return true
			}
		}
	}
	return false
}

// unproved is the rule of a 200 that proves nothing.
func (a *attempt) unproved() rule {
	r := rule{doubt: true, hint: hintNotS3}
	switch {
	case a.answer.status != http.StatusOK, a.answer.header.Get("Etag") == "", a.answer.isDocument():
	case a.echoes && a.answer.header.Get(headerSHA256) == "":
		r.hint = hintEchoes
	default:
		r.hint = hintUnproved
	}
	return r
}

// hash makes the MD5 of the object, whose body is read for that.
func (a *attempt) hash() error {
	h := md5.New() //nolint:gosec // see above
	n, err := io.CopyN(h, a.object.Body, a.object.Size)
	if err != nil {
		return fmt.Errorf("the object ends after %d of %d bytes: %w", n, a.object.Size, unexpected(err))
	}
	a.md5 = h.Sum(nil)
	_, err = a.object.Body.Seek(0, io.SeekStart)
	return err
}

func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // io.CopyN wraps nothing
		return io.ErrUnexpectedEOF
	}
	return err
}
