package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// oneOrNone is oneOf for keys that may be left empty.
func oneOrNone(words ...string) rule {
	one := oneOf(words...)
	return func(v any) complaint {
		if v.(string) == "" {
			return complaint{}
		}
		c := one(v)
		if c != (complaint{}) {
			c.what += ", or empty"
		}
		return c
	}
}

func canned(v any) complaint {
	s := v.(string)
	if strings.HasPrefix(s, "public") || s == "authenticated-read" {
		return complaint{"must not make logs public", "use private, bucket-owner-read or bucket-owner-full-control"}
	}
	return oneOrNone("private", "bucket-owner-read", "bucket-owner-full-control")(v)
}

func encryption(v any) complaint {
	if s := strings.ToLower(v.(string)); strings.Contains(s, "sse-c") || strings.Contains(s, "customer") {
		return complaint{"must not be a key of the client's: every reader of the bucket would need it", `use "AES256" or "aws:kms"`}
	}
	return oneOrNone("AES256", "aws:kms", "aws:kms:dsse")(v)
}

func proxy(v any) complaint {
	c := endpoint(v)
	if c.what == "must not contain credentials" {
		c.hint = "put them into HTTPS_PROXY, and remove this line"
	}
	return c
}

// pairs checks the form name=value,name=value and that each name and value has
// only characters that fits matches.
func pairs(text string, fits *regexp.Regexp, which string) complaint {
	if text == "" {
		return complaint{}
	}
	if !fits.MatchString(text) {
		return complaint{what: "must be " + which}
	}
	names := map[string]bool{}
	for pair := range strings.SplitSeq(text, ",") {
		name, _, ok := strings.Cut(pair, "=")
		if name = strings.TrimSpace(name); !ok || name == "" || names[name] {
			return complaint{"must be name=value, several joined by commas, each name once", `for example "team=ops,env=prod"`}
		}
		names[name] = true
	}
	return complaint{}
}

// The characters of https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
// and, in names, of HTTP headers.
var (
	tagText      = regexp.MustCompile(`^[\p{L}\p{N} +=._:/@,-]*$`)
	metadataText = regexp.MustCompile(`^(\s*[A-Za-z0-9_.-]*(=[ -+.-~-]*)?,?)*$`)
)

func tagPairs(v any) complaint {
	return pairs(v.(string), tagText, "letters, digits, spaces and +-=._:/@")
}

func metadataPairs(v any) complaint {
	s := v.(string)
	for pair := range strings.SplitSeq(strings.ToLower(s), ",") {
		if strings.HasPrefix(strings.TrimSpace(pair), "spoolship-") {
			return complaint{`must not begin a name with "spoolship-", which the agent sets itself`, "choose another name"}
		}
	}
	return pairs(s, metadataText, "names of letters, digits, _, . and -, and values of printable ASCII")
}

// bucketName is the common part of
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

var awsClasses = oneOrNone("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "REDUCED_REDUNDANCY")

// checkAWS refuses names that AWS does not have. Other stores have others.
func (l *loader) checkAWS() {
	s := l.cfg.S3
	if !isAWS(s.Endpoint) || l.bad["s3.endpoint"] {
		return
	}
	for _, key := range []struct {
		path  string
		found complaint
	}{{"s3.bucket", awsBucket(s.Bucket)}, {"s3.storage_class", awsClass(s.StorageClass)}} {
		if key.found != (complaint{}) && l.has(key.path) && !l.bad[key.path] {
			key.found.hint += "; for a store other than AWS, set endpoint"
			l.problem(key.path, key.found)
		}
	}
}

// isAWS reports whether an endpoint belongs to AWS, as the default does.
func isAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return endpoint == "" || err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}

// awsBucket checks the name of a bucket of AWS.
func awsBucket(name string) complaint {
	if _, notAddr := netip.ParseAddr(name); bucketName.MatchString(name) && !strings.Contains(name, "..") && notAddr != nil {
		return complaint{}
	}
	return complaint{"must be 3 to 63 of a-z, 0-9, dots and hyphens, the first and last a letter or digit", "use the name that the S3 console shows"}
}

// awsClass checks a storage class of AWS.
func awsClass(name string) complaint {
	c := awsClasses(name)
	if c != (complaint{}) {
		c.hint = "choose one of them"
	}
	return c
}

// checkObjects refuses settings of objects that would be without effect.
func (l *loader) checkObjects() {
	s := l.cfg.S3
	if l.bad["s3.encryption"] || strings.HasPrefix(s.Encryption, "aws:kms") {
		return
	}
	for _, key := range []struct {
		path string
		set  bool
	}{{"s3.kms_key_id", s.KMSKeyID != ""}, {"s3.bucket_key", s.BucketKey}} {
		if key.set && !l.bad[key.path] {
			l.problem(key.path, complaint{`is set, but encryption is not "aws:kms"`, `set encryption = "aws:kms", or remove the line`})
		}
	}
}

// checkWay refuses endpoints that contradict each other.
func (l *loader) checkWay() {
	s := l.cfg.S3
	for _, key := range []struct {
		path string
		set  bool
	}{{"s3.dualstack", s.DualStack}, {"s3.fips", s.FIPS}, {"s3.accelerate", s.Accelerate}} {
		if key.set && s.Endpoint != "" {
			l.problem(key.path, complaint{"chooses an endpoint of AWS, but endpoint is set", "remove one of the two"})
		}
	}
	if s.Accelerate && (s.FIPS || s.PathStyle) && s.Endpoint == "" {
		l.problem("s3.accelerate", complaint{"does not go with fips or path_style", "remove one of them"})
	}
}
