package bucket

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Key is what an object key of the default template says:
//
//	{input}/dt={date}/hour={hour}/{host}-{queue}-{chunk}-{records}-{id}.ndjson{ext}
type Key struct {
	Input   string
	Host    string
	Queue   string // 16 hex digits
	Chunk   uint64 // 20 digits; from 1 per queue and input
	Records int64
	Cause   string // of a tombstone, which has no records: "damaged" or "dropped"
	ID      string // 16 hex digits
	Ext     string // ".gz", ".zst" or ""
}

var keyPattern = regexp.MustCompile(`^([^/]+)/dt=\d{4}-\d\d-\d\d/hour=\d\d/(.+)-([0-9a-f]{16})-(\d{20})-(\d+|0\.[a-z]+)-([0-9a-f]{16})\.ndjson(\.gz|\.zst)?$`)

// ParseKey reads a key that begins with prefix.
func ParseKey(prefix, key string) (Key, error) {
	rest, ok := strings.CutPrefix(key, prefix)
	m := keyPattern.FindStringSubmatch(rest)
	if !ok || m == nil {
		return Key{}, fmt.Errorf("%s: not a key of the default template", key)
	}
	number, err := strconv.ParseUint(m[4], 10, 64)
	if err != nil {
		return Key{}, fmt.Errorf("%s: chunk number: %w", key, err)
	}
	count, cause, _ := strings.Cut(m[5], ".")
	records, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		return Key{}, fmt.Errorf("%s: record count: %w", key, err)
	}
	return Key{Input: m[1], Host: m[2], Queue: m[3], Chunk: number, Records: records, Cause: cause, ID: m[6], Ext: m[7]}, nil
}
