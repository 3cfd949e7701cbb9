package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Problem is one thing wrong with a configuration file.
type Problem struct {
	File string
	Line int    // from 1; 0 if there is no line to point at, as for a missing table
	Key  string // "s3.bucket", "input[0].include[1]"; inputs count from 0 over all files
	What string // what is wrong: "must be …"
	Got  string // the value as written, variables not replaced; "" for secrets and where it says nothing
	Hint string // what to do about it
}

// String is the problem in one line: "file:line: key: what (got V); hint".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.What)
	if p.Got != "" {
		b.WriteString(" (got " + p.Got + ")")
	}
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems is everything wrong with a configuration, in the order of files
// and lines. It is the error of Load.
type Problems []Problem

// Error prints one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that works but should not stay as it is.
type Warning Problem

// String is the warning in one line.
func (w Warning) String() string { return Problem(w).String() }

// place is a line of a file.
type place struct {
	file string
	line int
}

// Where returns the file and line of a key such as "s3.key" or "input[2].key"
// (inputs count from 0, in the order of Inputs). For a key that is not written
// it is the line of the table it would stand in; line 0 if that is not written
// either.
func (c *Config) Where(key string) (file string, line int) {
	for key != "" {
		if at, ok := c.at[key]; ok {
			return at.file, at.line
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	at := c.at[""]
	return at.file, at.line
}

var (
	// private are the keys whose values are not shown: a secret is easily pasted
	// into one of them.
	private = regexp.MustCompile(`^s3\.(access_key_id|profile|role_arn|external_id|session_name|\w+_file)$`)
	// address are the keys of URLs, which may hold a password or a token.
	address = regexp.MustCompile(`^s3\.(endpoint|sts_endpoint|proxy)$`)
	// location is a URL, or a host with the scheme left out.
	location = regexp.MustCompile(`^([a-z0-9]+://|[a-z0-9-]+[.:])[a-z0-9]`)
	// userinfo is what stands before the host in a URL.
	userinfo = regexp.MustCompile(`(?s)^.*@`)
	// behind is what follows the path in a URL.
	behind = regexp.MustCompile(`(?s)[?#].*$`)
	// random is a long run of the characters of base64, as secrets are.
	random = regexp.MustCompile(`[A-Za-z0-9+/=]{30,}`)
)

// looksSecret reports whether s holds what looks like a key or token, and not
// like a word or a path.
func looksSecret(s string) bool {
	for _, run := range random.FindAllString(s, -1) {
		if strings.ContainsFunc(run, unicode.IsUpper) && strings.ContainsFunc(run, unicode.IsLower) && strings.ContainsFunc(run, unicode.IsDigit) {
			return true
		}
	}
	return false
}

// show prints the value of a key from the file for Problem.Got; "" where it may be
// secret.
func show(key string, raw any) string {
	const most = 80 // runes; enough to recognise the value
	switch v := raw.(type) {
	case string:
		v = userinfo.ReplaceAllString(v, "***@")
		if address.MatchString(key) {
			if !location.MatchString(v) {
				return ""
			}
			v = behind.ReplaceAllString(v, "?***")
		}
		if private.MatchString(key) || looksSecret(v) {
			return ""
		}
		if runes := []rune(v); len(runes) > most {
			v = string(runes[:most]) + "…"
		}
		return strconv.Quote(v)
	case bool, int64, float64:
		return fmt.Sprint(v)
	case time.Time:
		return "a date"
	case []any, []map[string]any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return ""
}
