package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// rule says what is wrong with the value of one key. It sees values that are
// written in a file only, after their variables were replaced.
type rule func(v any) complaint

const (
	ms   = Duration(time.Millisecond)
	sec  = Duration(time.Second)
	hour = Duration(time.Hour)
)

// rules are the ranges and forms of all keys; the elements of a list have
// rules of their own, with "[]". A key without a rule may have any value of
// its type. What depends on more than one key is in check.go.
var rules = map[string]rule{
	"agent.state_dir":        absolute,
	"agent.host":             hostName,
	"agent.log_level":        oneOf("debug", "info", "warn", "error"),
	"agent.shutdown_timeout": between(0, 600*sec),
	"agent.scan_interval":    between(10*ms, hour),
	"agent.poll_interval":    between(10*ms, hour),
	"agent.rotate_wait":      between(10*ms, hour),
	"agent.close_inactive":   between(10*ms, 24*hour),
	"agent.max_open_files":   between(8, 1_000_000),
	"agent.max_procs":        between(0, 1024),
	"agent.read_rate":        anyRate,

	"spool.max_size":        between(8*mib, 1024*tib),
	"spool.min_free":        between(0, 1024*tib),
	"spool.segment_size":    between(mib, bits32(128*mib, gib)),
	"spool.when_full":       oneOf("block", "drop_oldest"),
	"spool.commit_interval": between(ms, 60*sec),

	// 5 GB is the limit of one PutObject:
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
	"chunk.max_size":    between(kib, bits32(gib, 5*units["GB"])),
	"chunk.max_age":     between(10*ms, 24*hour),
	"chunk.max_open":    between(1, 10_000),
	"chunk.max_new":     between(1, 1_000_000),
	"chunk.compression": oneOf("gzip", "zstd", "none"),

	"s3.bucket":                 bucket,
	"s3.region":                 matching(63, `[A-Za-z0-9_-]*`, "must be the name of a region", `for example "eu-central-1"`),
	"s3.prefix":                 prefix,
	"s3.key":                    notEmpty,
	"s3.endpoint":               endpoint,
	"s3.access_key_id":          noSpace,
	"s3.secret_access_key":      noSpace,
	"s3.session_token":          noSpace,
	"s3.access_key_id_file":     keyFile,
	"s3.secret_access_key_file": keyFile,
	"s3.credentials_file":       keyFile,
	"s3.profile":                noSpace,
	// The forms of the STS API: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	"s3.role_arn": matching(2048, `|arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+`, "must be the ARN of a role",
		`for example "arn:aws:iam::123456789012:role/spoolship"`),
	"s3.external_id": matching(1224, `|[A-Za-z0-9_+=,.@:/-]{2,}`, "must be 2 to 1224 letters, digits and _+=,.@:/-",
		"copy it from the role's trust policy"),
	"s3.session_name":          matching(64, `[A-Za-z0-9_+=,.@-]{2,}`, "must be 2 to 64 letters, digits and _+=,.@-", ""),
	"s3.duration":              between(900*sec, 12*hour),
	"s3.sts_endpoint":          endpoint,
	"s3.content_type":          matching(255, `[a-z0-9]+/[a-zA-Z0-9.+-]+(; ?[a-zA-Z0-9=._-]+)?`, "must be a media type", `for example "application/json"`),
	"s3.metadata":              metadataPairs,
	"s3.tags":                  tagPairs,
	"s3.acl":                   canned,
	"s3.storage_class":         matching(64, `[A-Za-z0-9_-]*`, "must be the name of a storage class", `for example "STANDARD_IA"`),
	"s3.encryption":            encryption,
	"s3.kms_key_id":            matching(2048, `[A-Za-z0-9:/_-]*`, "must be the id, ARN or alias of a KMS key", `for example "alias/logs"`),
	"s3.expected_bucket_owner": matching(12, `|[0-9]{12}`, "must be the 12 digits of an AWS account", "the owner of the bucket sees them in the console, at the top right"),
	"s3.ca_file":               absoluteOrEmpty,
	"s3.proxy":                 proxy,
	"s3.checksum":              oneOf("auto", "sha256", "md5"),
	"s3.conditional":           oneOf("auto", "always", "never"),
	"s3.max_uploads":           between(1, 256),
	"s3.upload_rate":           anyRate,
	"s3.timeout":               between(100*ms, hour),

	"telemetry.socket":       socket,
	"telemetry.listen":       listen,
	"telemetry.status_group": matching(32, `[A-Za-z0-9_.-]*`, "must be the name or number of a group", `for example "adm"`),

	"input.name": matching(64, `[a-z0-9][a-z0-9_-]*`,
		"must be 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit", ""),
	"input.was": matching(64, `|[a-z0-9][a-z0-9_-]*`,
		"must be the name that the input had: 1 to 64 of a-z, 0-9, _ and -", ""),
	"input.include":           notEmptyList,
	"input.include[]":         pattern,
	"input.exclude[]":         pattern,
	"input.format":            oneOf("json", "text", "cri", "docker"),
	"input.inner_format":      oneOf("text", "json"),
	"input.validate":          oneOf("full", "off"),
	"input.framing":           oneOf("lines", "json"),
	"input.fields":            unique,
	"input.fields[]":          oneOf("time", "stream", "host", "file", "offset", "message"),
	"input.drop_fields":       unique,
	"input.drop_fields[]":     dotted,
	"input.mask_fields":       unique,
	"input.mask_fields[]":     dotted,
	"input.time_field":        dottedOrEmpty,
	"input.time_zone":         notEmpty,
	"input.time_max_skew":     between(0, 100_000*hour),
	"input.start_at":          oneOf("beginning", "end"),
	"input.identity":          oneOf("inode", "fingerprint"),
	"input.follow_symlinks":   oneOf("same-owner", "always", "never"),
	"input.ignore_older":      between(0, 100_000*hour),
	"input.delete_after_ship": between(0, 100_000*hour),
	"input.max_line_size":     between(kib, 64*mib),

	"input.encoding":           encoded,
	"input.multiline_start":    expression,
	"input.multiline_continue": expression,
	"input.multiline_wait":     between(100*ms, hour),
}

// bits32 is the limit on 32 bits, or else the other one. There a length has to
// fit an int, and the spool maps several segments into at most 3 GiB.
func bits32(limit, other Size) Size {
	if strconv.IntSize == 32 {
		return limit
	}
	return other
}

func between[T int | Size | Duration](low, high T) rule {
	return func(v any) complaint {
		if n := v.(T); n < low || n > high {
			return complaint{what: fmt.Sprintf("must be between %v and %v", low, high)}
		}
		return complaint{}
	}
}

func oneOf(words ...string) rule {
	last := len(words) - 1
	what := "must be " + strings.Join(words[:last], ", ") + " or " + words[last]
	return func(v any) complaint {
		if s := v.(string); !slices.Contains(words, s) {
			return complaint{what, didYouMean(s, words)}
		}
		return complaint{}
	}
}

// matching wants texts of an expression. That they have at most longest bytes
// does not stand in it: a program grows with its counts, and every start, of
// "spoolship status" too, makes these programs.
func matching(longest int, expr, what, hint string) rule {
	re := regexp.MustCompile(`^(?:` + expr + `)$`)
	return func(v any) complaint {
		if s := v.(string); len(s) > longest || !re.MatchString(s) {
			return complaint{what, hint}
		}
		return complaint{}
	}
}

// anyRate has a least value: one long line, or a part of an object, must not take
// minutes.
func anyRate(v any) complaint {
	const low, high = Rate(64 * kib), Rate(tib)
	if r := v.(Rate); r != 0 && (r < low || r > high) {
		return complaint{what: fmt.Sprintf("must be 0B/s or between %v and %v", low, high)}
	}
	return complaint{}
}

func notEmpty(v any) complaint {
	if v.(string) == "" {
		return complaint{"must not be empty", "remove the line to use the default"}
	}
	return complaint{}
}

func notEmptyList(v any) complaint {
	if len(v.([]string)) == 0 {
		return complaint{"must not be empty", `name the files to follow: include = ["/var/log/app/*.log"]`}
	}
	return complaint{}
}

// noSpace is for credentials: white space in one is a mistake of pasting or
// of the file that an environment variable was read from.
func noSpace(v any) complaint {
	s, ok := v.(string)
	if !ok {
		s = string(v.(Secret))
	}
	switch {
	case strings.ContainsAny(s, " \t\r\n"):
		return complaint{"must not contain white space", "check for a newline at its end"}
	case len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0]:
		return complaint{"must not be in quotes of its own", "take the inner quotes away, or those in the file that its environment variable is set in"}
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return complaint{"must be printable ASCII; it has a character that no credential has", "copy it again: it may have a byte order mark or an invisible character"}
	}
	return complaint{}
}

func absolute(v any) complaint {
	if s := v.(string); !filepath.IsAbs(s) || strings.Contains(s, "\x00") {
		return complaint{"must be an absolute path", `begin it with "/"`}
	}
	return complaint{}
}

// absoluteOrEmpty is for files that may be left out.
func absoluteOrEmpty(v any) complaint {
	if v.(string) == "" {
		return complaint{}
	}
	return absolute(v)
}

// keyFile is the path of a file that holds credentials, not one of them.
func keyFile(v any) complaint {
	if absoluteOrEmpty(v) != (complaint{}) {
		return complaint{"must be the absolute path of a file", "name the file that holds the credential, not the credential itself"}
	}
	return complaint{}
}

// socket has the limit of unix(7): sun_path holds 108 bytes with the final NUL.
func socket(v any) complaint {
	const longest = 107
	if len(v.(string)) > longest {
		return complaint{fmt.Sprintf("must have at most %d bytes, the limit of socket names", longest), "use a shorter path"}
	}
	return absolute(v)
}

// listen is for an address of this host. Its port is fixed: nobody would know
// where to ask otherwise.
func listen(v any) complaint {
	s := v.(string)
	if s == "" {
		return complaint{}
	}
	host, port, err := net.SplitHostPort(s)
	n, notPort := strconv.ParseUint(port, 10, 16)
	if _, notIP := netip.ParseAddr(host); err != nil || notPort != nil || n == 0 || notIP != nil && hostName(host) != (complaint{}) {
		return complaint{"must be an address and a port from 1 to 65535", `for example "127.0.0.1:9464"`}
	}
	return complaint{}
}

// hostName allows what is the same in every object key and URL.
var hostName = matching(253, `|[A-Za-z0-9][A-Za-z0-9._-]*`,
	"must be letters, digits, dots, _ and -, at most 253 of them", "")

// bucket is what no store has as a name; awsBucket says more.
func bucket(v any) complaint {
	const longest = 255
	s := v.(string)
	switch {
	case strings.HasPrefix(s, "arn:"):
		return complaint{"must be a name, not an ARN", "use the last part of the ARN, or the access point's alias"}
	case strings.Contains(s, "/"):
		return complaint{"must be the name of a bucket alone", "put what follows it into prefix"}
	case s == "" || len(s) > longest || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`?#%{}"\`, r) }):
		return complaint{"must be the name of a bucket: 1 to 255 printable characters of ASCII", "use the name that the store shows"}
	}
	return complaint{}
}

func prefix(v any) complaint {
	const longest = 512 // half of what S3 allows for a whole key
	s := v.(string)
	switch {
	case strings.HasPrefix(s, "/"):
		return complaint{`must not begin with "/"`, "leave the first slash out"}
	case strings.ContainsAny(s, "{}"):
		return complaint{"is put before the key as it is, without templates", "move the part with braces to key"}
	case len(s) > longest:
		return complaint{what: fmt.Sprintf("must have at most %d bytes", longest)}
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return complaint{what: "must not contain control characters"}
	}
	return complaint{}
}

func endpoint(v any) complaint {
	s := v.(string)
	if s == "" {
		return complaint{}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return complaint{"must be a URL that begins with http:// or https://", `for example "https://s3.example.com:9000"`}
	case u.User != nil:
		return complaint{"must not contain credentials", "use access_key_id and secret_access_key"}
	case u.RawQuery != "" || u.Fragment != "":
		return complaint{"must not have a query or fragment", `remove what follows "?" or "#"`}
	}
	return complaint{}
}

// pattern is for include and exclude, which are matched against whole paths:
// a relative one would silently match nothing.
func pattern(v any) complaint {
	s := v.(string)
	switch {
	case s == "":
		return complaint{what: "must not be empty"}
	case !strings.HasPrefix(s, "/"):
		return complaint{"must be an absolute pattern", `begin it with "/"; "/**/*.gz" matches in every directory`}
	case strings.HasSuffix(s, "/"):
		return complaint{"must match files, not a directory", `add "*" for the files in it, or "**/*.log"`}
	case !doublestar.ValidatePattern(s):
		return complaint{"is not a valid pattern", `close every [ and {; put \ before one that is meant literally`}
	}
	return complaint{}
}

func unique(v any) complaint {
	list := v.([]string)
	if once := slices.Compact(slices.Sorted(slices.Values(list))); len(once) < len(list) {
		return complaint{"must not name a field twice", ""}
	}
	return complaint{}
}

// dottedOrEmpty is for a path that may be left out.
func dottedOrEmpty(v any) complaint {
	if v.(string) == "" {
		return complaint{}
	}
	return dotted(v)
}

// dotted is for the paths of fields. What is written for other tools would
// silently match nothing, and leak.
func dotted(v any) complaint {
	s := v.(string)
	switch {
	case s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, ".."):
		return complaint{"must be keys joined by single dots", `for example "user.password"`}
	case strings.HasPrefix(s, "$") || strings.HasPrefix(s, "/") || strings.ContainsAny(s, "*[]"):
		return complaint{"must be plain keys joined by dots", `for example "user.password"; it is also found in arrays, without an index`}
	}
	return complaint{}
}
