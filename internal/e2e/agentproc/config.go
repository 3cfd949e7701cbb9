package agentproc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Config is the part of the agent's configuration that the tests vary. Zero
// values are left out of the file, so that the agent's defaults hold.
type Config struct {
	StateDir, Socket string
	Listen           string

	Endpoint, Region, Bucket string
	Prefix                   string
	AccessKey, SecretKey     string
	Timeout                  time.Duration // of one upload attempt
	MaxUploads               int

	SegmentSize    string
	SpoolSize      string // [spool] max_size
	MinFree        string
	CommitInterval time.Duration

	Compression string
	ChunkSize   string
	MaxAge      time.Duration

	ScanInterval, PollInterval, RotateWait, CloseInactive time.Duration
	MaxOpenFiles                                          int
	ReadRate                                              string

	Inputs []Input
}

// Input is one [[input]].
type Input struct {
	Name, Format, Validate string
	Include                []string
	Exclude                []string
	MaxLineSize            string
	TimeField              string
	DeleteAfterShip        time.Duration
	Identity               string
}

// file builds TOML. Strings are written as Go quotes them, which TOML reads
// the same way for the printable ASCII used here.
type file struct{ strings.Builder }

func (f *file) table(name string) { fmt.Fprintf(f, "\n%s\n", name) }

func (f *file) str(key, value string) {
	if value != "" {
		fmt.Fprintf(f, "%s = %s\n", key, strconv.Quote(value))
	}
}

func (f *file) duration(key string, d time.Duration) {
	if d > 0 {
		f.str(key, d.String())
	}
}

func (f *file) list(key string, values []string) {
	if len(values) == 0 {
		return
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	fmt.Fprintf(f, "%s = [%s]\n", key, strings.Join(quoted, ", "))
}

// TOML is the file's text.
func (c *Config) TOML() string {
	f := &file{}
	f.table("[agent]")
	f.str("state_dir", c.StateDir)
	f.duration("scan_interval", c.ScanInterval)
	f.duration("poll_interval", c.PollInterval)
	f.duration("rotate_wait", c.RotateWait)
	f.duration("close_inactive", c.CloseInactive)
	f.str("read_rate", c.ReadRate)
	if c.MaxOpenFiles > 0 {
		fmt.Fprintf(f, "max_open_files = %d\n", c.MaxOpenFiles)
	}
	f.table("[spool]")
	f.str("max_size", c.SpoolSize)
	f.str("segment_size", c.SegmentSize)
	f.str("min_free", c.MinFree)
	f.duration("commit_interval", c.CommitInterval)
	f.table("[chunk]")
	f.str("max_size", c.ChunkSize)
	f.duration("max_age", c.MaxAge)
	f.str("compression", c.Compression)
	f.table("[s3]")
	f.str("bucket", c.Bucket)
	f.str("prefix", c.Prefix)
	f.str("region", c.Region)
	f.str("endpoint", c.Endpoint)
	f.str("access_key_id", c.AccessKey)
	f.str("secret_access_key", c.SecretKey)
	fmt.Fprintf(f, "path_style = true\n")
	f.duration("timeout", c.Timeout)
	if c.MaxUploads > 0 {
		fmt.Fprintf(f, "max_uploads = %d\n", c.MaxUploads)
	}
	f.table("[telemetry]")
	f.str("socket", c.Socket)
	f.str("listen", c.Listen)
	for _, in := range c.Inputs {
		in.write(f)
	}
	return f.String()
}

func (in *Input) write(f *file) {
	f.table("[[input]]")
	f.str("name", in.Name)
	f.list("include", in.Include)
	f.list("exclude", in.Exclude)
	f.str("format", in.Format)
	f.str("validate", in.Validate)
	f.str("max_line_size", in.MaxLineSize)
	f.str("time_field", in.TimeField)
	f.str("identity", in.Identity)
	f.duration("delete_after_ship", in.DeleteAfterShip)
}

// Write writes the file, readable by its owner only: it holds a secret.
func (c *Config) Write(path string) error {
	return os.WriteFile(path, []byte(c.TOML()), 0o600)
}
