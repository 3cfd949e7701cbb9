package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// checkRisks warns of what works, and is rarely meant.
func (l *loader) checkRisks() {
	s := l.cfg.S3
	for _, u := range []struct{ path, value string }{{"s3.endpoint", s.Endpoint}, {"s3.sts_endpoint", s.STSEndpoint}} {
		if at, err := url.Parse(u.value); err == nil && at.Scheme == "http" && !l.bad[u.path] && !thisHost(at.Hostname()) {
			l.warn(u.path, "is not encrypted: lines, and session tokens, can be read on the way to another host", "use https://, with ca_file if the store has a certificate of its own")
		}
	}
	if at, err := url.Parse(s.Endpoint); err == nil && s.Bucket != "" && !l.bad["s3.endpoint"] && !l.bad["s3.bucket"] {
		if slices.Contains(strings.Split(at.Path, "/"), s.Bucket) || strings.HasPrefix(at.Hostname(), s.Bucket+".") {
			l.warn("s3.endpoint", "has the name of the bucket, which is added to it once more", "name the store alone; path_style says where the bucket goes")
		}
	}
	if p := s.Prefix; p != "" && !l.bad["s3.prefix"] && !strings.ContainsAny(p[len(p)-1:], "/-_.=") {
		l.warn("s3.prefix", "does not end in a slash: it runs into the first folder of the key", `put a "/" behind it`)
	}
}

// warn notes that the value at path is probably a mistake.
func (l *loader) warn(path, what, hint string) {
	file, line := l.cfg.Where(path)
	l.warnings = append(l.warnings, Warning{File: file, Line: line, Key: path, What: what, Got: show(path, l.written[path]), Hint: hint})
}

// thisHost reports whether a name in a URL is surely that of this host.
func thisHost(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && ip.Unmap().IsLoopback()
}
