package chunk

import "strings"

// probePrefix begins the name of a probe. Query engines skip files whose names begin
// with an underscore.
const probePrefix = "_spoolship_probe_"

// ProbeKey returns the key of an empty object that shows whether objects with keys
// like key, which begins with prefix, can be put by host. It lies in the folder of
// key, and behind all of prefix.
func ProbeKey(prefix, key, host string) string {
	return key[:max(len(prefix), strings.LastIndexByte(key, '/')+1)] + probePrefix + host
}

// IsProbe reports whether key, which is that of no chunk, is that of a probe. A prefix
// without a slash at its end stands before its name.
func IsProbe(key string) bool {
	_, host, ok := strings.Cut(key[strings.LastIndexByte(key, '/')+1:], probePrefix)
	return ok && host != ""
}
