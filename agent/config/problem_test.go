package config

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// problems returns the Problems of an error of Load.
func problems(t *testing.T, err error) Problems {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("error %v holds no Problems", err)
	}
	return ps
}

func removeLine(text []byte, begin string) []byte {
	var kept [][]byte
	for _, line := range bytes.Split(text, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte(begin)) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}

const (
	inputPart = "[[input]]\nname = \"app\"\ninclude = [\"/l\"]\n" // lines 1 to 3
	s3Part    = "[s3]\nbucket = \"events\"\n"
)

// The whole message of every mistake. FILE is the main file.
var mistakes = []struct {
	name, text string
	want       []string
}{
	{"nothing", "", []string{
		`FILE: s3.bucket: is missing; add the line [s3] and below it: bucket = "NAME"`,
		`FILE: input: is missing: there is nothing to follow; add the line [[input]] and below it: name = "app" and include = ["/var/log/app/*.log"]`,
	}},
	{"missing bucket", inputPart + "[s3]\nregion = \"x\"\n", []string{
		`FILE:4: s3.bucket: is missing; add the line: bucket = "NAME"`,
	}},
	{"missing name and include", s3Part + "\n[[input]]\nformat = \"json\"\n[[input]]\nname = \"b\"\ninclude = [\"/b\"]\n", []string{
		`FILE:4: input[0].name: is missing; give the input a name of its own: name = "app"`,
		`FILE:4: input[0].include: is missing; name the files to follow: include = ["/var/log/app/*.log"]`,
	}},
	{"syntax", "[s3]\nbucket = events\n", []string{
		`FILE:2: is not valid TOML: expected value but found this instead; check the quotes and brackets of this line`,
	}},
	{"duplicate key", "[s3]\nbucket = \"a\"\nbucket = \"b\"\n", []string{
		`FILE:3: is not valid TOML: Key 's3.bucket' has already been defined; remove or rename one of the two`,
	}},
	{"unknown keys", s3Part + "regoin = \"x\"\nstate_dir = \"/x\"\nzzz = 1\n" + inputPart + "[chunks]\n\"a b\" = 1\n", []string{
		`FILE:3: s3.regoin: is not a known key; did you mean "region"?`,
		`FILE:4: s3.state_dir: is not a known key; it belongs in [agent]`,
		`FILE:5: s3.zzz: is not a known key; known keys here: accelerate, access_key_id, access_key_id_file, acl, bucket, bucket_key, ca_file, checksum, conditional, content_type, credentials_file, dualstack, duration, encryption, endpoint, expected_bucket_owner, external_id, fips, key, kms_key_id, max_uploads, metadata, path_style, prefix, profile, proxy, region, request_payer, role_arn, secret_access_key, secret_access_key_file, session_name, session_token, storage_class, sts_endpoint, tags, timeout, upload_rate`,
		`FILE:9: chunks: is not a known key; did you mean "chunk"?`,
	}},
	{"keys are case-sensitive", s3Part + "Region = \"x\"\n\"a.b\\n\" = 1\n" + inputPart, []string{
		`FILE:3: s3.Region: is not a known key; did you mean "region"?`,
		`FILE:4: s3."a.b\n": is not a known key; known keys here: accelerate, access_key_id, access_key_id_file, acl, bucket, bucket_key, ca_file, checksum, conditional, content_type, credentials_file, dualstack, duration, encryption, endpoint, expected_bucket_owner, external_id, fips, key, kms_key_id, max_uploads, metadata, path_style, prefix, profile, proxy, region, request_payer, role_arn, secret_access_key, secret_access_key_file, session_name, session_token, storage_class, sts_endpoint, tags, timeout, upload_rate`,
	}},
	{"wrong types", `agent = 5
[spool]
max_size = 4294967296
commit_interval = 250
[s3]
bucket = ["events"]
path_style = "true"
max_uploads = "4"
timeout = 2024-01-01
[[input]]
name = 7
include = "/l"
exclude = [ # one
  "/a",
  [1], 2.5,
]
[input.chunk]
level = {a = 1}
`, []string{
		`FILE:1: agent: must be a table; write it as [agent], with its keys below it`,
		`FILE:3: spool.max_size: must be a size with its unit, in quotes (got 4294967296); write it like "8MiB" (units: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)`,
		`FILE:4: spool.commit_interval: must be a duration with its unit, in quotes (got 250); write it like "250ms", "60s", "5m" or "24h"`,
		`FILE:6: s3.bucket: must be a string (got a list); write it in quotes: "…"`,
		`FILE:7: s3.path_style: must be true or false (got "true"); write it without quotes`,
		`FILE:8: s3.max_uploads: must be a whole number (got "4"); write it without quotes`,
		`FILE:9: s3.timeout: must be a duration with its unit, in quotes (got a date); write it like "250ms", "60s", "5m" or "24h"`,
		`FILE:11: input[0].name: must be a string (got 7); write it in quotes: "…"`,
		`FILE:12: input[0].include: must be a list of strings (got "/l"); write it in brackets: ["…"]`,
		`FILE:15: input[0].exclude[1]: must be a string (got a list); write it in quotes: "…"`,
		`FILE:15: input[0].exclude[2]: must be a string (got 2.5); write it in quotes: "…"`,
		`FILE:18: input[0].chunk.level: must be a whole number (got a table); write it without quotes`,
	}},
	{"input is no list", s3Part + "[input]\nname = \"app\"\n", []string{
		`FILE:3: input: must be a list of tables; write it as [[input]], with two brackets`,
	}},
	{"input list of others", "input = [{name = \"a\", include = [\"/a\"]}, 5]\n" + s3Part, []string{
		`FILE:1: input: must be a list of tables; write it as [[input]], with two brackets`,
	}},
	{"agent ranges", s3Part + inputPart + `[agent]
state_dir = "var/lib"
host = "a/b"
log_level = "warning"
shutdown_timeout = "-1s"
scan_interval = "1ms"
close_inactive = "25h"
max_open_files = 0
poll_interval = "1 s"
[telemetry]
socket = "run.sock"
`, []string{
		`FILE:7: agent.state_dir: must be an absolute path (got "var/lib"); begin it with "/"`,
		`FILE:8: agent.host: must be letters, digits, dots, _ and -, at most 253 of them (got "a/b")`,
		`FILE:9: agent.log_level: must be debug, info, warn or error (got "warning")`,
		`FILE:10: agent.shutdown_timeout: must be between 0s and 10m (got "-1s")`,
		`FILE:11: agent.scan_interval: must be between 10ms and 1h (got "1ms")`,
		`FILE:12: agent.close_inactive: must be between 10ms and 24h (got "25h")`,
		`FILE:13: agent.max_open_files: must be between 8 and 1000000 (got 0)`,
		`FILE:14: agent.poll_interval: must be a duration with its unit (got "1 s"); write it like "250ms", "60s", "5m" or "24h"`,
		`FILE:16: telemetry.socket: must be an absolute path (got "run.sock"); begin it with "/"`,
	}},
	{"no address to listen on", s3Part + inputPart + `[telemetry]
listen = "127.0.0.1"
`, []string{
		`FILE:7: telemetry.listen: must be an address and a port from 1 to 65535 (got "127.0.0.1"); for example "127.0.0.1:9464"`,
	}},
	{"profiles without an address", s3Part + inputPart + `[telemetry]
pprof = true
`, []string{
		`FILE:7: telemetry.pprof: has a meaning only with listen; the socket always has profiles (got true); set listen, or remove the line`,
	}},
	{"limits", s3Part + inputPart + `[agent]
max_procs = -1
read_rate = "50MiB"
`, []string{
		`FILE:7: agent.max_procs: must be between 0 and 1024 (got -1)`,
		`FILE:8: agent.read_rate: must be bytes per second (got "50MiB"); write it like "50MiB/s"; "0B/s" is no limit`,
	}},
	{"read rate range", s3Part + inputPart + `[agent]
read_rate = "1KiB/s"
`, []string{
		`FILE:7: agent.read_rate: must be 0B/s or between 64KiB/s and 1TiB/s (got "1KiB/s")`,
	}},
	{"spool ranges", s3Part + inputPart + `[spool]
max_size = "64M"
min_free = "-1GiB"
segment_size = "2GiB"
when_full = "drop_newest"
commit_interval = "99999999999999999999s"
[chunk]
max_size = "9223372036854775807KiB"
max_age = "0s"
compression = "gz"
level = 12
`, []string{
		`FILE:7: spool.max_size: must be a size with its unit (got "64M"); write it like "8MiB" (units: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)`,
		`FILE:8: spool.min_free: must be between 0B and 1024TiB (got "-1GiB")`,
		`FILE:9: spool.segment_size: must be between 1MiB and 1GiB (got "2GiB")`,
		`FILE:10: spool.when_full: must be block or drop_oldest (got "drop_newest"); did you mean "drop_oldest"?`,
		`FILE:11: spool.commit_interval: must be a duration with its unit (got "99999999999999999999s"); write it like "250ms", "60s", "5m" or "24h"`,
		`FILE:13: chunk.max_size: must be a size with its unit (got "9223372036854775807KiB"); write it like "8MiB" (units: B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)`,
		`FILE:14: chunk.max_age: must be between 10ms and 24h (got "0s")`,
		`FILE:15: chunk.compression: must be gzip, zstd or none (got "gz")`,
	}},
	{"sizes against each other", s3Part + inputPart + `[input.chunk]
max_size = "5MiB"
[spool]
max_size = "16MiB"
segment_size = "4MiB"
[chunk]
max_size = "3MiB"
`, []string{
		`FILE:7: input[0].chunk.max_size: must be at most a quarter of spool.max_size, which is 16MiB (got "5MiB"); lower it, or raise spool.max_size`,
		`FILE:10: spool.segment_size: must be at most an eighth of max_size, which is 16MiB (got "4MiB"); lower it, or remove the line`,
	}},
	{"levels", `[chunk]
compression = "zstd"
level = 19
` + s3Part + `[[input]]
name = "a"
include = ["/a"]
[input.chunk]
compression = "gzip"
[[input]]
name = "b"
include = ["/b"]
chunk = {compression = "gzip", level = 10}
[[input]]
name = "c"
include = ["/c"]
[input.chunk]
level = 20
[[input]]
name = "d"
include = ["/d"]
[input.chunk]
compression = "none"
level = 1
`, []string{
		`FILE:10: input[0].chunk.compression: has levels 1 to 9, but [chunk] sets level 19 (got "gzip"); set level here too`,
		`FILE:14: input[1].chunk.level: must be between 1 and 9 for gzip (got 10)`,
		`FILE:19: input[2].chunk.level: must be between 1 and 19 for zstd (got 20)`,
		`FILE:25: input[3].chunk.level: has no meaning with compression = "none" (got 1); remove the line`,
	}},
	{"s3", inputPart + `[s3]
bucket = "my/bucket"
region = "eu central"
prefix = "/events/"
key = ""
endpoint = "s3.example.com:9000"
conditional = "allways"
max_uploads = 0
timeout = "1ms"
upload_rate = "1KiB/s"
`, []string{
		`FILE:5: s3.bucket: must be the name of a bucket alone (got "my/bucket"); put what follows it into prefix`,
		`FILE:6: s3.region: must be the name of a region (got "eu central"); for example "eu-central-1"`,
		`FILE:7: s3.prefix: must not begin with "/" (got "/events/"); leave the first slash out`,
		`FILE:8: s3.key: must not be empty (got ""); remove the line to use the default`,
		`FILE:9: s3.endpoint: must be a URL that begins with http:// or https:// (got "s3.example.com:9000"); for example "https://s3.example.com:9000"`,
		`FILE:10: s3.conditional: must be auto, always or never (got "allways"); did you mean "always"?`,
		`FILE:11: s3.max_uploads: must be between 1 and 256 (got 0)`,
		`FILE:12: s3.timeout: must be between 100ms and 1h (got "1ms")`,
		`FILE:13: s3.upload_rate: must be 0B/s or between 64KiB/s and 1TiB/s (got "1KiB/s")`,
	}},
	{"objects", inputPart + s3Part + `content_type = "json"
metadata = "team"
tags = "a=b,a=c"
acl = "public-read"
storage_class = "COLD"
encryption = "SSE-C"
kms_key_id = "a b"
expected_bucket_owner = "123"
ca_file = "ca.pem"
proxy = "http://me:pass@proxy:3128"
`, []string{
		`FILE:6: s3.content_type: must be a media type (got "json"); for example "application/json"`,
		`FILE:7: s3.metadata: must be name=value, several joined by commas, each name once (got "team"); for example "team=ops,env=prod"`,
		`FILE:8: s3.tags: must be name=value, several joined by commas, each name once (got "a=b,a=c"); for example "team=ops,env=prod"`,
		`FILE:9: s3.acl: must not make logs public (got "public-read"); use private, bucket-owner-read or bucket-owner-full-control`,
		`FILE:10: s3.storage_class: must be STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE or REDUCED_REDUNDANCY, or empty (got "COLD"); choose one of them; for a store other than AWS, set endpoint`,
		`FILE:11: s3.encryption: must not be a key of the client's: every reader of the bucket would need it (got "SSE-C"); use "AES256" or "aws:kms"`,
		`FILE:12: s3.kms_key_id: must be the id, ARN or alias of a KMS key (got "a b"); for example "alias/logs"`,
		`FILE:13: s3.expected_bucket_owner: must be the 12 digits of an AWS account (got "123"); the owner of the bucket sees them in the console, at the top right`,
		`FILE:14: s3.ca_file: must be an absolute path; begin it with "/"`,
		`FILE:15: s3.proxy: must not contain credentials; put them into HTTPS_PROXY, and remove this line`,
	}},
	{"objects that contradict", inputPart + s3Part + `kms_key_id = "alias/logs"
endpoint = "https://s3.example.com"
fips = true
accelerate = true
`, []string{
		`FILE:6: s3.kms_key_id: is set, but encryption is not "aws:kms" (got "alias/logs"); set encryption = "aws:kms", or remove the line`,
		`FILE:8: s3.fips: chooses an endpoint of AWS, but endpoint is set (got true); remove one of the two`,
		`FILE:9: s3.accelerate: chooses an endpoint of AWS, but endpoint is set (got true); remove one of the two`,
	}},
	{"accelerated", inputPart + s3Part + "path_style = true\naccelerate = true\nbucket_key = true\n", []string{
		`FILE:7: s3.accelerate: does not go with fips or path_style (got true); remove one of them`,
		`FILE:8: s3.bucket_key: is set, but encryption is not "aws:kms" (got true); set encryption = "aws:kms", or remove the line`,
	}},
	{"metadata of ours", inputPart + s3Part + "metadata = \"spoolship-chunk=1\"\ntags = \"a=b\\n\"\n", []string{
		`FILE:6: s3.metadata: must not begin a name with "spoolship-", which the agent sets itself (got "spoolship-chunk=1"); choose another name`,
		`FILE:7: s3.tags: must be letters, digits, spaces and +-=._:/@ (got "a=b\n")`,
	}},
	{"key without secret", inputPart + s3Part + "access_key_id = \"AKIA\"\n", []string{
		`FILE:6: s3.access_key_id: is set, but secret_access_key is not; set both, or neither to use the default AWS credential chain`,
	}},
	{"secret without key", inputPart + s3Part + "secret_access_key = \"hush\"\n", []string{
		`FILE:6: s3.secret_access_key: is set, but access_key_id is not; set both, or neither to use the default AWS credential chain`,
	}},
	{"token alone", inputPart + s3Part + "session_token = \"hush\"\n", []string{
		`FILE:6: s3.session_token: is set, but access_key_id and secret_access_key are not; set all three, or none`,
	}},
	{"key files", inputPart + s3Part + "access_key_id_file = \"/k\"\n", []string{
		`FILE:6: s3.access_key_id_file: is set, but secret_access_key_file is not; set both, or neither to use the default AWS credential chain`,
	}},
	{"half of the key files", inputPart + s3Part + "secret_access_key_file = \"/k\"\n", []string{
		`FILE:6: s3.secret_access_key_file: is set, but access_key_id_file is not; set both, or neither to use the default AWS credential chain`,
	}},
	{"two sources", inputPart + s3Part + "access_key_id = \"a\"\nsecret_access_key = \"b\"\nprofile = \"p\"\n", []string{
		`FILE:8: s3.profile: is set, and so is access_key_id: there can be one source of credentials; remove one of the two`,
	}},
	{"role", inputPart + s3Part + "role_arn = \"spoolship\"\nexternal_id = \"x\"\nsession_name = \"a b\"\nduration = \"1m\"\nsts_endpoint = \"sts\"\ncredentials_file = \"keys\"\n", []string{
		`FILE:6: s3.role_arn: must be the ARN of a role; for example "arn:aws:iam::123456789012:role/spoolship"`,
		`FILE:7: s3.external_id: must be 2 to 1224 letters, digits and _+=,.@:/-; copy it from the role's trust policy`,
		`FILE:8: s3.session_name: must be 2 to 64 letters, digits and _+=,.@-`,
		`FILE:9: s3.duration: must be between 15m and 12h (got "1m")`,
		`FILE:10: s3.sts_endpoint: must be a URL that begins with http:// or https://; for example "https://s3.example.com:9000"`,
		`FILE:11: s3.credentials_file: must be the absolute path of a file; name the file that holds the credential, not the credential itself`,
	}},
	{"role's settings without a role", inputPart + s3Part + "external_id = \"ab\"\nsts_endpoint = \"https://sts\"\n", []string{
		`FILE:6: s3.external_id: is set, but role_arn is not; set role_arn, or remove the line`,
		`FILE:7: s3.sts_endpoint: is set, but role_arn is not (got "https://sts"); set role_arn, or remove the line`,
	}},
	{"events", s3Part + `[[input]]
name = "a"
include = ["/a"]
multiline_start = 'a'
[[input]]
name = "b"
include = ["/b"]
format = "text"
multiline_start = "("
multiline_continue = '^\s'
multiline_wait = "1ms"
fields = ["stream", "message"]
[[input]]
name = "c"
include = ["/c"]
format = "cri"
validate = "full"
multiline_wait = "1s"
fields = ["stream"]
`, []string{
		`FILE:6: input[0].multiline_start: has a meaning only with lines of text (got "a"); remove the line, or change format`,
		"FILE:11: input[1].multiline_start: missing closing ): `(` (got \"(\"); close every ( and [; put \\ before one that is meant literally",
		`FILE:13: input[1].multiline_wait: must be between 100ms and 1h (got "1ms")`,
		`FILE:14: input[1].fields: has "stream", which only the lines of containers tell (got a list); remove it, or set format = "cri" or "docker"`,
		`FILE:19: input[2].validate: has a meaning only with inner_format = "json" (got "full"); add inner_format = "json", or remove the line`,
		`FILE:21: input[2].fields: must contain "message", which is the line itself (got a list)`,
	}},
	{"framing", s3Part + "[[input]]\nname = \"a\"\ninclude = [\"/a\"]\nformat = \"text\"\nframing = \"json\"\n" +
		"[[input]]\nname = \"b\"\ninclude = [\"/b\"]\nframing = \"json\"\nvalidate = \"off\"\n[[input]]\nname = \"c\"\ninclude = [\"/c\"]\nframing = \"object\"\n", []string{
		`FILE:7: input[0].framing: has a meaning only with format = "json" (got "json"); remove the line, or change format`,
		`FILE:11: input[1].framing: needs validate = "full": only a check tells where an object ends (got "json"); remove the line validate, or this one`,
		`FILE:16: input[2].framing: must be lines or json (got "object")`,
	}},
	{"encoding", s3Part + "[[input]]\nname = \"a\"\ninclude = [\"/a\"]\nformat=\"docker\"\nencoding = \"latin1\"\n[[input]]\nname = \"b\"\ninclude = [\"/b\"]\nformat = \"text\"\nencoding = \"utf-16\"\n" +
		"[[input]]\nname = \"c\"\ninclude = [\"/c\"]\nformat = \"text\"\nencoding = \"utf-16le\"\nmultiline_continue = \"x\"\nmax_line_size = \"1025B\"\n" +
		"[[input]]\nname = \"d\"\ninclude = [\"/d\"]\nformat = \"text\"\nencoding = \"iso-2022-jp\"\n[[input]]\nname = \"e\"\ninclude = [\"/e\"]\nframing = \"json\"\nencoding = \"utf-16le\"\n[[input]]\nname = \"f\"\ninclude = [\"/f\"]\nformat = \"cri\"\nencoding = \"utf-16le\"\n", []string{
		`FILE:7: input[0].encoding: has no meaning with format = "docker", whose lines are in UTF-8 always (got "latin1"); remove the line, or change format`,
		`FILE:12: input[1].encoding: must be utf-8, utf-16le, utf-16be, or the IANA name of an encoding whose newline is one byte (got "utf-16"); use "utf-16le", as Windows writes it, or "utf-16be"; a byte order mark is left out in both`,
		`FILE:18: input[2].multiline_continue: can't be used with an encoding of two bytes a character (got "x"); remove the line, or have the file written in UTF-8`,
		`FILE:19: input[2].max_line_size: must be an even number of bytes, as characters of this encoding have two (got "1025B")`,
		`FILE:24: input[3].encoding: must be utf-8, utf-16le, utf-16be, or the IANA name of an encoding whose newline is one byte (got "iso-2022-jp"); its lines can't be read from the middle of a file: have them written in UTF-8`,
		`FILE:29: input[4].encoding: can't be used with framing = "json": where an object ends is known in UTF-8 only (got "utf-16le"); remove one of the two, or have the file written in UTF-8`,
		`FILE:34: input[5].encoding: can't have two bytes a character with format = "cri", whose lines end with one (got "utf-16le"); remove the line, or change format`,
	}},
	{"removal", s3Part + "[[input]]\nname = \"a\"\ninclude = [\"/a\"]\ndelete_after_ship = \"1d\"\n[[input]]\nname = \"b\"\ninclude = [\"/b\"]\nstart_at = \"end\"\n" +
		"delete_after_ship = \"24h\"\n[[input]]\nname = \"c\"\ninclude = [\"/c\"]\ndelete_after_ship = \"24h\"\nidentity = \"name\"\n[[input]]\nname = \"d\"\ninclude = [\"/d\"]\ndelete_after_ship = \"24h\"\nidentity = \"fingerprint\"\n[spool]\nwhen_full = \"drop_oldest\"\n", []string{
		`FILE:6: input[0].delete_after_ship: must be a duration with its unit (got "1d"); write it like "250ms", "60s", "5m" or "24h"`,
		`FILE:11: input[1].delete_after_ship: would delete lines that are never shipped, those before start_at = "end" (got "24h"); remove the line, or set start_at = "beginning"`,
		`FILE:15: input[2].delete_after_ship: would delete what [spool] when_full = "drop_oldest" gives up (got "24h"); remove the line, or set when_full = "block"`,
		`FILE:16: input[2].identity: must be inode or fingerprint (got "name")`,
		`FILE:20: input[3].delete_after_ship: would delete files that can't be told from others by identity = "fingerprint" alone (got "24h"); remove the line, or set identity = "inode"`,
	}},
	{"two patterns", s3Part + "[[input]]\nname = \"a\"\ninclude = [\"/a\"]\nformat = \"text\"\nmultiline_start = 'a'\nmultiline_continue = 'b'\n", []string{
		`FILE:7: input[0].multiline_start: is set, and so is multiline_continue, which says the same the other way round (got "a"); remove one of the two`,
	}},
	{"inputs", s3Part + `[[input]]
name = "App"
include = []
[[input]]
name = "b"
include = ["/ok", "var/log/*.log", "/var/[a", "/dir/", ""]
exclude = ["*.gz", "/{a"]
format = "jsonl"
fields = ["message"]
start_at = "beginning "
max_line_size = "1B"
[[input]]
name = "c"
include = ["/c"]
fields = ["message"]
[[input]]
name = "b"
include = ["/b"]
format = "text"
validate = "off"
fields = ["time", "msg"]
[[input]]
name = "e"
include = ["/e"]
format = "text"
fields = ["time", "file"]
[[input]]
name = "f"
include = ["/f"]
format = "text"
fields = ["message", "time", "message"]
`, []string{
		`FILE:4: input[0].name: must be 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit (got "App")`,
		`FILE:5: input[0].include: must not be empty (got a list); name the files to follow: include = ["/var/log/app/*.log"]`,
		`FILE:8: input[1].include[1]: must be an absolute pattern (got "var/log/*.log"); begin it with "/"; "/**/*.gz" matches in every directory`,
		`FILE:8: input[1].include[2]: is not a valid pattern (got "/var/[a"); close every [ and {; put \ before one that is meant literally`,
		`FILE:8: input[1].include[3]: must match files, not a directory (got "/dir/"); add "*" for the files in it, or "**/*.log"`,
		`FILE:8: input[1].include[4]: must not be empty (got "")`,
		`FILE:9: input[1].exclude[0]: must be an absolute pattern (got "*.gz"); begin it with "/"; "/**/*.gz" matches in every directory`,
		`FILE:9: input[1].exclude[1]: is not a valid pattern (got "/{a"); close every [ and {; put \ before one that is meant literally`,
		`FILE:10: input[1].format: must be json, text, cri or docker (got "jsonl"); did you mean "json"?`,
		`FILE:12: input[1].start_at: must be beginning or end (got "beginning "); did you mean "beginning"?`,
		`FILE:13: input[1].max_line_size: must be between 1KiB and 64MiB (got "1B")`,
		`FILE:17: input[2].fields: must not contain "message" with lines of JSON, where the line is the record (got a list); remove it, or change format`,
		`FILE:19: input[3].name: is the name of another input (got "b"); choose another: the first is at FILE:7`,
		`FILE:22: input[3].validate: has a meaning only with format = "json" (got "off"); remove the line, or change format`,
		`FILE:23: input[3].fields[1]: must be time, stream, host, file, offset or message (got "msg")`,
		`FILE:28: input[4].fields: must contain "message", which is the line itself (got a list)`,
		`FILE:33: input[5].fields: must not name a field twice (got a list)`,
	}},
	{"fields", s3Part + `[[input]]
name = "a"
include = ["/a"]
drop_fields = ["", "a..b", "$.a", "a[0].b", ".a", "ok.x"]
mask_fields = ["x", "y", "x"]
[input.static_fields]
"a b" = 1
list = [1]
date = 2024-01-01
nan = nan
env = "${ENV}"
[[input]]
name = "b"
include = ["/b"]
static_fields = 5
drop_fields = ["a", "b.c"]
mask_fields = ["b.c"]
[[input]]
name = "c"
include = ["/c"]
validate = "off"
fields = ["host"]
path_fields = "/{c}"
drop_fields = ["a"]
mask_fields = ["b"]
static_fields = {env = "prod"}
[[input]]
name = "d"
include = ["/d"]
format = "text"
drop_fields = ["a"]
mask_fields = ["b"]
`, []string{
		`FILE:6: input[0].drop_fields[0]: must be keys joined by single dots (got ""); for example "user.password"`,
		`FILE:6: input[0].drop_fields[1]: must be keys joined by single dots (got "a..b"); for example "user.password"`,
		`FILE:6: input[0].drop_fields[2]: must be plain keys joined by dots (got "$.a"); for example "user.password"; it is also found in arrays, without an index`,
		`FILE:6: input[0].drop_fields[3]: must be plain keys joined by dots (got "a[0].b"); for example "user.password"; it is also found in arrays, without an index`,
		`FILE:6: input[0].drop_fields[4]: must be keys joined by single dots (got ".a"); for example "user.password"`,
		`FILE:7: input[0].mask_fields: must not name a field twice (got a list)`,
		`FILE:9: input[0].static_fields."a b": is not the name of a field; use up to 64 letters, digits, _ and -, the first a letter or _`,
		`FILE:10: input[0].static_fields.list: must be a string, a number, true or false (got a list); a list, a table or a date can be written as a string`,
		`FILE:11: input[0].static_fields.date: must be a string, a number, true or false (got a date); a list, a table or a date can be written as a string`,
		`FILE:12: input[0].static_fields.nan: must be a string, a number, true or false (got NaN); a list, a table or a date can be written as a string`,
		`FILE:13: input[0].static_fields.env: environment variable ENV is not set (got "${ENV}"); set it for the service, or give a default: ${ENV:-default}`,
		`FILE:17: input[1].static_fields: must be a table; write it as [input.static_fields], with its fields below it`,
		`FILE:19: input[1].mask_fields[0]: is in drop_fields too (got "b.c"); remove it from one of the two`,
		`FILE:24: input[2].fields: needs validate = "full": lines that are trusted can't be changed safely (got a list); remove the line validate, or this one`,
		`FILE:25: input[2].path_fields: needs validate = "full": lines that are trusted can't be changed safely (got "/{c}"); remove the line validate, or this one`,
		`FILE:26: input[2].drop_fields: needs validate = "full": lines that are trusted can't be changed safely (got a list); remove the line validate, or this one`,
		`FILE:27: input[2].mask_fields: needs validate = "full": lines that are trusted can't be changed safely (got a list); remove the line validate, or this one`,
		`FILE:28: input[2].static_fields: needs validate = "full": lines that are trusted can't be changed safely; remove the line validate, or this one`,
		`FILE:33: input[3].drop_fields: has a meaning only with format = "json" (got a list); remove the line, or change format`,
		`FILE:34: input[3].mask_fields: has a meaning only with format = "json" (got a list); remove the line, or change format`,
	}},
	{"variables", s3Part + `region = "${REGION}"
prefix = "${a b}"
endpoint = "http://${A}${B}"
access_key_id = "${KEY_ID}"
[[input]]
name = "${"
include = ["${A:-${B}}"]
`, []string{
		`FILE:3: s3.region: environment variable REGION is not set (got "${REGION}"); set it for the service, or give a default: ${REGION:-default}`,
		`FILE:4: s3.prefix: holds a ${ that does not begin a variable (got "${a b}"); write ${NAME} or ${NAME:-default}, or $${ for a literal ${`,
		`FILE:5: s3.endpoint: environment variables A, B are not set; set it for the service, or give a default: ${A:-default}`,
		`FILE:6: s3.access_key_id: environment variable KEY_ID is not set; set it for the service, or give a default: ${KEY_ID:-default}`,
		`FILE:8: input[0].name: holds a ${ that does not begin a variable (got "${"); write ${NAME} or ${NAME:-default}, or $${ for a literal ${`,
		`FILE:9: input[0].include[0]: holds a ${ that does not begin a variable (got "${A:-${B}}"); write ${NAME} or ${NAME:-default}, or $${ for a literal ${`,
	}},
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			path := write(t, m.text, nil)
			_, _, err := Load(path, env(nil))
			problems(t, err)
			got := strings.ReplaceAll(err.Error(), path, "FILE")
			if want := strings.Join(m.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
