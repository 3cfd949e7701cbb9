package config

import "time"

// Default returns the values of a file that sets nothing. It is not a valid
// configuration yet: a bucket and an input are missing, and Host is empty,
// which Load replaces by the name of the host.
func Default() *Config {
	return &Config{
		Agent: Agent{
			StateDir:        "/var/lib/spoolship",
			LogLevel:        "info",
			ShutdownTimeout: Duration(2 * time.Second),
			ScanInterval:    Duration(10 * time.Second),
			PollInterval:    Duration(time.Second),
			RotateWait:      Duration(5 * time.Second),
			CloseInactive:   Duration(time.Minute),
			MaxOpenFiles:    512,
		},
		Spool: Spool{
			MaxSize:        4 * gib,
			MinFree:        gib,
			SegmentSize:    64 * mib,
			WhenFull:       "block",
			CommitInterval: Duration(250 * time.Millisecond),
		},
		Chunk: Chunk{
			MaxSize:     8 * mib,
			MaxAge:      Duration(time.Minute),
			MaxOpen:     64,
			MaxNew:      600,
			Compression: "gzip",
			Level:       1,
		},
		S3: S3{
			Key:          "{input}/dt={date}/hour={hour}/{host}-{queue}-{chunk}-{records}-{id}.ndjson{ext}",
			SessionName:  "spoolship",
			RoleDuration: Duration(time.Hour),
			ContentType:  "application/x-ndjson",
			Checksum:     "auto",
			Conditional:  "auto",
			MaxUploads:   4,
			Timeout:      Duration(5 * time.Minute),
		},
		Telemetry: Telemetry{Socket: "/run/spoolship/spoolship.sock"},
	}
}

// defaultInput returns the values of an [[input]] of c that sets nothing.
func defaultInput(c *Config) Input {
	return Input{
		Format:      "json",
		InnerFormat: "text",
		Validate:    "full",
		Framing:     "lines",
		StartAt:     "beginning",
		Identity:    "inode",

		FollowSymlinks: "same-owner",
		MaxLineSize:    mib,
		TimeZone:       "UTC",

		Encoding:      "utf-8",
		MultilineWait: Duration(5 * time.Second),

		Chunk: c.Chunk,
		Key:   c.S3.Key,
	}
}
