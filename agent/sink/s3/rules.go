package s3

import (
	"fmt"
	"net/http"

	"github.com/spoolship/spoolship/agent/sink"
)

// rule is what an answer means.
type rule struct {
	class sink.Class
	hint  string
	doubt bool // the object may be there although the answer is not yes
}

// The codes of this package's own, next to S3's.
const (
	codeNotS3       = "not S3" // an answer that S3 would not give
	codeUnreadable  = "object unreadable"
	codeInvalid     = "invalid request" // the SDK would not send it
	codeCancelled   = "cancelled"
	codeTimeout     = "time-out"
	codeCredentials = "no credentials"
	codeDNS         = "name not resolved"
	codeRefused     = "connection refused"
	codeReset       = "connection reset"
	codeClosed      = "connection closed"
	codeUnreachable = "network unreachable"
	codeCertificate = "certificate not trusted"
	codeNoTLS       = "not TLS"
	codeProxy       = "proxy failure"
	codeTLS         = "TLS failure"
	codeNetwork     = "network failure"
)

// codeRules are S3's error codes (API reference, "Error responses"), and those
// of the stores that add their own, where the status alone does not say enough.
var codeRules = map[string]rule{
	"AccessDenied":          {sink.Config, hintAccess, false},
	"AllAccessDisabled":     {sink.Config, hintAccess, false},
	"InvalidAccessKeyId":    {sink.Config, hintKey, false},
	"XAdminUserNotFound":    {sink.Config, hintKey, false}, // versitygw, with 404
	"NoSuchUser":            {sink.Config, hintKey, false},
	"InvalidSecurity":       {sink.Config, hintKey, false}, // Google
	"SignatureDoesNotMatch": {sink.Config, hintSignature, false},
	"ExpiredToken":          {sink.Config, hintExpired, false},
	"ExpiredTokenException": {sink.Config, hintExpired, false},
	"TokenRefreshRequired":  {sink.Config, hintExpired, false},
	"InvalidToken":          {sink.Config, "the session token does not belong to the access key: check s3.session_token or AWS_SESSION_TOKEN", false},
	"RequestTimeTooSkewed":  {sink.Config, "this machine's clock is wrong: set it, and check that time synchronisation runs", false},

	"NoSuchBucket":                       {sink.Config, hintBucket, false},
	"InvalidBucketName":                  {sink.Config, hintBucket, false},
	"AuthorizationHeaderMalformed":       {sink.Config, hintRegion, false},
	"IllegalLocationConstraintException": {sink.Config, hintRegion, false},
	"PermanentRedirect":                  {sink.Config, hintRegion, false},
	"TemporaryRedirect":                  {sink.Config, hintRegion, false},
	"Redirect":                           {sink.Config, hintRegion, false},

	"EntityTooLarge":                  {sink.Config, hintTooBig, false},
	"MaxMessageLengthExceeded":        {sink.Config, hintTooBig, false},
	"KeyTooLongError":                 {sink.Config, "the object key is too long for {endpoint}: shorten s3.prefix or s3.key", false},
	"MetadataTooLarge":                {sink.Config, "{endpoint} takes less metadata than S3: shorten the input's name", false},
	"QuotaExceeded":                   {sink.Config, hintQuota, false},
	"XMinioAdminBucketQuotaExceeded":  {sink.Config, hintQuota, false},
	"XMinioStorageFull":               {sink.Temporary, "the disks of {endpoint} are full", true},
	"NotImplemented":                  {sink.Config, "{endpoint} does not implement a part of PutObject that is needed (SHA-256 checksums, metadata): use a newer version of it, or another store", false},
	"InvalidStorageClass":             {sink.Config, "{endpoint} does not know this storage class for bucket \"{bucket}\": correct s3.storage_class, or remove it", false},
	"AccessControlListNotSupported":   {sink.Config, "bucket \"{bucket}\" has ACLs disabled: remove s3.acl", false},
	"InvalidTag":                      {sink.Config, "{endpoint} does not take these tags: correct s3.tags", false},
	"InvalidEncryptionAlgorithmError": {sink.Config, hintEncryption, false},
	"KMSNotConfigured":                {sink.Config, hintEncryption, false},
	"KMS.NotFoundException":           {sink.Config, hintEncryption, false},
	"KMS.DisabledException":           {sink.Config, hintEncryption, false},
	"BadDigest":                       {sink.Temporary, "", false},
	"InvalidDigest":                   {sink.Temporary, "", false},
	"XAmzContentSHA256Mismatch":       {sink.Temporary, "", false},
	"XAmzContentChecksumMismatch":     {sink.Temporary, "", false},
	"IncompleteBody":                  {sink.Temporary, "", false},
	"RequestTimeout":                  {sink.Temporary, "", false},
	"ConditionalRequestConflict":      {sink.Temporary, "", true}, // another request for the key, which may be ours, is under way
	"OperationAborted":                {sink.Temporary, "", true},
	"SlowDown":                        {sink.Throttled, "", true},
	"SlowDownWrite":                   {sink.Throttled, "", true},
	"Throttling":                      {sink.Throttled, "", true},
	"ThrottlingException":             {sink.Throttled, "", true},
	"TooManyRequests":                 {sink.Throttled, "", false},
	"RequestLimitExceeded":            {sink.Throttled, "", true},
	"BandwidthLimitExceeded":          {sink.Throttled, "", true},
}

// expired are the codes of credentials that were right once.
var expired = map[string]bool{"ExpiredToken": true, "ExpiredTokenException": true, "TokenRefreshRequired": true}

// turnsDown are the codes after which other credentials may help.
var turnsDown = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "TokenRefreshRequired": true,
	"InvalidToken": true, "InvalidAccessKeyId": true, "SignatureDoesNotMatch": true,
}

// statusRules stand in for a code that is missing or unknown.
var statusRules = map[int]rule{
	http.StatusUnauthorized:          {sink.Config, hintKey, false},
	http.StatusForbidden:             {sink.Config, hintAccess, false},
	http.StatusNotFound:              {sink.Config, hintBucket, false},
	http.StatusProxyAuthRequired:     {sink.Config, "the proxy wants credentials: put them into HTTPS_PROXY (http://user:password@host:port), and leave s3.proxy empty", false},
	http.StatusRequestTimeout:        {sink.Temporary, "", false},
	http.StatusConflict:              {sink.Temporary, "", true},
	http.StatusRequestEntityTooLarge: {sink.Config, hintTooBig, false},
	http.StatusExpectationFailed:     {sink.Config, "a proxy on the way to {endpoint} refuses requests as it can't forward them: have it replaced, or name another in s3.proxy", false},
	http.StatusTooEarly:              {sink.Temporary, "", false},
	http.StatusTooManyRequests:       {sink.Throttled, "", false},
	http.StatusNotImplemented:        codeRules["NotImplemented"],
	http.StatusInsufficientStorage:   codeRules["XMinioStorageFull"],
}

// ruleFor finds the rule of a code, or else of a status.
func ruleFor(code string, status int) rule {
	if r, ok := codeRules[code]; ok {
		r.doubt = r.doubt || status >= 500 && status != http.StatusNotImplemented
		return r
	}
	if r, ok := statusRules[status]; ok {
		return r
	}
	switch {
	case status >= 500:
		return rule{sink.Temporary, "", true}
	case status >= 400:
		return rule{sink.Config, hintRefused, false}
	}
	return rule{sink.Config, hintRegion, false}
}

// statusCode makes a short code of a status, as S3's own are written.
func statusCode(status int) string {
	switch status {
	case http.StatusForbidden:
		return "AccessDenied"
	case http.StatusMovedPermanently, http.StatusPermanentRedirect:
		return "PermanentRedirect"
	}
	if text := http.StatusText(status); text != "" {
		return text
	}
	return fmt.Sprintf("status %d", status)
}
