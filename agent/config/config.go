// Package config is the agent's TOML file: its types, its defaults, and a
// strict loader that reports everything wrong with a file at once.
//
// # Files
//
// [Load] reads one main file and then, in the order of their names, the files
// conf.d/*.toml beside it, which may hold [[input]] tables and nothing else.
// A key that is left out has the value of [Default].
//
// # Strictness
//
// A key that is not known, a value of the wrong type or out of its range, and
// settings that contradict each other are errors, never guesses. Each becomes
// a [Problem] with the line of the key that it is about.
//
// # Variables
//
// In strings, ${NAME} stands for an environment variable and ${NAME:-text}
// has a default for one that is unset or empty; $${ is a literal ${. They are
// replaced after the TOML was parsed, so a value cannot bring in syntax.
//
// The package knows no component of the agent: it checks what can be checked
// from the text alone. What only a component can judge, such as a key
// template, is checked by the agent, which asks [Config.Where] for the line.
package config

import (
	"maps"
	"slices"
)

import "path/filepath"

// Config is the whole configuration. Load and Default return a fresh one that
// belongs to the caller; nothing in this package changes it afterwards.
type Config struct {
	Agent     Agent     `toml:"agent"`
	Spool     Spool     `toml:"spool"`
	Chunk     Chunk     `toml:"chunk"`
	S3        S3        `toml:"s3"`
	Telemetry Telemetry `toml:"telemetry"`
	Inputs    []Input   `toml:"input"`

	at map[string]place // where each key is written; "" is the main file
}

// Files returns the paths of the files that have a key of the configuration.
func (c *Config) Files() []string {
	files := make(map[string]bool)
	for _, p := range c.at {
		files[p.file] = true
	}
	return slices.Sorted(maps.Keys(files))
}

// Agent is [agent].
type Agent struct {
	StateDir        string   `toml:"state_dir"`        // absolute
	Host            string   `toml:"host"`             // Load puts the host's name for ""
	LogLevel        string   `toml:"log_level"`        // debug, info, warn, error
	ShutdownTimeout Duration `toml:"shutdown_timeout"` // how long a stop waits for running uploads
	ScanInterval    Duration `toml:"scan_interval"`    // full look at every glob
	PollInterval    Duration `toml:"poll_interval"`    // look at followed files where inotify is missing
	RotateWait      Duration `toml:"rotate_wait"`      // how long rotated copies must be unchanged before loss is declared
	CloseInactive   Duration `toml:"close_inactive"`   // idle files are closed; a last line without newline of a rotated file is taken
	MaxOpenFiles    int      `toml:"max_open_files"`
	MaxProcs        int      `toml:"max_procs"` // 0: as the Go runtime decides
	ReadRate        Rate     `toml:"read_rate"` // 0: no limit
}

// Spool is [spool].
type Spool struct {
	MaxSize        Size     `toml:"max_size"`     // unacked bytes on disk
	MinFree        Size     `toml:"min_free"`     // left free on the file system
	SegmentSize    Size     `toml:"segment_size"` // at most MaxSize/8
	WhenFull       string   `toml:"when_full"`    // block, drop_oldest
	CommitInterval Duration `toml:"commit_interval"`
}

// Chunk is [chunk]; an input may override each key in [input.chunk].
type Chunk struct {
	MaxSize     Size     `toml:"max_size"`    // compressed bytes of one object
	MaxAge      Duration `toml:"max_age"`     // since its first record
	MaxOpen     int      `toml:"max_open"`    // of one input, in different partitions
	MaxNew      int      `toml:"max_new"`     // partitions that an input may begin a minute
	Compression string   `toml:"compression"` // gzip, zstd, none
	Level       int      `toml:"level"`       // gzip 1 to 9, zstd 1 to 19
}

// S3 is [s3].
type S3 struct {
	Bucket          string `toml:"bucket"`
	Region          string `toml:"region"` // "": from the AWS environment
	Prefix          string `toml:"prefix"` // put before every key as it is
	Key             string `toml:"key"`    // key template
	Endpoint        string `toml:"endpoint"`
	PathStyle       bool   `toml:"path_style"`
	AccessKeyID     string `toml:"access_key_id"` // set together with the secret, or both empty
	SecretAccessKey Secret `toml:"secret_access_key"`
	SessionToken    Secret `toml:"session_token"`

	AccessKeyIDFile     string `toml:"access_key_id_file"` // absolute; set together with the secret's
	SecretAccessKeyFile string `toml:"secret_access_key_file"`
	CredentialsFile     string `toml:"credentials_file"` // absolute; "": the usual one
	Profile             string `toml:"profile"`          // of credentials_file; "": default

	RoleARN      string   `toml:"role_arn"` // "": no role is assumed
	ExternalID   string   `toml:"external_id"`
	SessionName  string   `toml:"session_name"`
	RoleDuration Duration `toml:"duration"` // of the role's sessions
	STSEndpoint  string   `toml:"sts_endpoint"`

	ContentType  string `toml:"content_type"`
	Metadata     string `toml:"metadata"` // name=value, joined by commas
	Tags         string `toml:"tags"`     // name=value, joined by commas
	ACL          string `toml:"acl"`
	StorageClass string `toml:"storage_class"`
	Encryption   string `toml:"encryption"` // AES256, aws:kms, aws:kms:dsse
	KMSKeyID     string `toml:"kms_key_id"`
	BucketKey    bool   `toml:"bucket_key"`
	RequestPayer bool   `toml:"request_payer"`
	BucketOwner  string `toml:"expected_bucket_owner"`

	DualStack  bool   `toml:"dualstack"`
	FIPS       bool   `toml:"fips"`
	Accelerate bool   `toml:"accelerate"`
	CAFile     string `toml:"ca_file"` // absolute
	Proxy      string `toml:"proxy"`   // URL

	Checksum    string   `toml:"checksum"`    // auto, sha256, md5
	Conditional string   `toml:"conditional"` // auto, always, never
	MaxUploads  int      `toml:"max_uploads"`
	UploadRate  Rate     `toml:"upload_rate"` // 0: no limit
	Timeout     Duration `toml:"timeout"`     // of one attempt
}

// Telemetry is [telemetry].
type Telemetry struct {
	Socket string `toml:"socket"` // absolute path of a unix socket
	Listen string `toml:"listen"` // HOST:PORT; "": not over TCP
	PProf  bool   `toml:"pprof"`  // over TCP too

	// StatusGroup may ask over a second socket, StatusSocket, that changes nothing.
	StatusGroup string `toml:"status_group"` // name or number; "": there is none
}

// StatusSocket is the path of the socket for StatusGroup, beside Socket.
func (t Telemetry) StatusSocket() string { return filepath.Join(filepath.Dir(t.Socket), "status.sock") }

// Input is one [[input]]. Chunk and Key hold the merged values after Load.
type Input struct {
	Name        string   `toml:"name"`         // unique
	Was         string   `toml:"was"`          // an earlier name, whose files go on; "": none
	Include     []string `toml:"include"`      // absolute doublestar patterns
	Exclude     []string `toml:"exclude"`      // absolute doublestar patterns
	Format      string   `toml:"format"`       // json, text, cri, docker
	InnerFormat string   `toml:"inner_format"` // cri, docker: json, text
	Validate    string   `toml:"validate"`     // json: full, off
	Framing     string   `toml:"framing"`      // json: lines, json (objects, whatever lines they have)
	Fields      []string `toml:"fields"`       // time, host, file, offset; others than json: message too, and all if none are written; cri, docker: stream
	StartAt     string   `toml:"start_at"`     // beginning, end
	IgnoreOlder Duration `toml:"ignore_older"` // files not written to for longer are not followed; 0: all are
	Identity    string   `toml:"identity"`     // inode, fingerprint

	FollowSymlinks string `toml:"follow_symlinks"` // same-owner, always, never

	// How long a rotated file that is in the bucket stays; 0: for ever.
	DeleteAfterShip Duration `toml:"delete_after_ship"`

	MaxLineSize Size   `toml:"max_line_size"`
	TimeField   string `toml:"time_field"` // json: dotted path of the time that keys have; "": when the line was read
	// How the values of TimeField are read, see chunk.NewTimes.
	TimeFormat  string   `toml:"time_format"`   // "": ISO 8601, or numbers since 1970
	TimeZone    string   `toml:"time_zone"`     // of times that name none
	TimeMaxSkew Duration `toml:"time_max_skew"` // farthest from the time of reading; 0: no bound

	Chunk Chunk  `toml:"chunk"`
	Key   string `toml:"key"`

	Encoding          string   `toml:"encoding"`           // text: name of an encoding that Charset knows
	MultilineStart    string   `toml:"multiline_start"`    // text: regular expression of lines that begin an event
	MultilineContinue string   `toml:"multiline_continue"` // text: or of those that don't; both "": every line is one
	MultilineWait     Duration `toml:"multiline_wait"`     // for the rest of an event

	StaticFields map[string]any `toml:"static_fields"` // string, bool, int64 or float64, by name
	PathFields   string         `toml:"path_fields"`   // pattern with {name}; "" takes none
	DropFields   []string       `toml:"drop_fields"`   // json: dotted paths
	MaskFields   []string       `toml:"mask_fields"`   // json: dotted paths
}
