package chunk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxKey is the longest key that S3 takes, in bytes of UTF-8:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// Expand fills in all variables but {queue}, {chunk}, {records} and {id},
// which stay in the result as they are, and puts prefix before it. Bytes of
// values other than A-Z a-z 0-9 . _ - are percent-encoded; long ones of files
// and fields are cut, with a digest behind "~", and NoValue stands for those
// that are empty. An error says that prefix is not fit for a key, or that the
// key could be longer than S3's 1,024 bytes; whether there is one does not
// depend on File, Fields and Time.
func (t *Template) Expand(prefix string, v KeyVars) (string, error) {
	if strings.ContainsAny(prefix, "{}") {
		return "", fmt.Errorf("key prefix %q has a brace; variables belong into the key template", prefix)
	}
	var key strings.Builder
	key.WriteString(prefix)
	longest := 0
	for _, p := range t.parts {
		key.WriteString(p.text)
		if p.value != nil {
			value := p.value(&v)
			key.WriteString(value)
			longest += max(0, p.most-len(value))
		}
	}
	if err := checkPath(key.String()); err != nil {
		return "", fmt.Errorf("object key %q %w", key.String(), err)
	}
	longest += key.Len()
	for _, v := range lateVars {
		name := "{" + v.name + "}"
		longest += strings.Count(key.String(), name) * (v.length - len(name))
	}
	if longest > maxKey {
		return "", fmt.Errorf("object key %q could get %d bytes long; S3 takes at most %d, so shorten the prefix, the template or the names", key.String(), longest, maxKey)
	}
	return key.String(), nil
}

// checkPath refuses what S3, or the tools that list it as directories, can't
// handle in a key.
func checkPath(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("is not valid UTF-8")
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("has a control character, which S3 tools can't show or type")
	}
	if strings.HasPrefix(s, "/") {
		return errors.New("starts with '/', which makes a directory without a name; leave it out")
	}
	for dir := range strings.SplitSeq(s, "/") {
		if dir == "." || dir == ".." {
			return fmt.Errorf("has the directory %q, which clients resolve to another key", dir)
		}
	}
	if strings.Contains(s, "//") {
		return errors.New("has \"//\", which makes a directory without a name")
	}
	return nil
}

// NoValue stands in keys for a value that a record, or a file, has not got.
// Query engines that read folders as a Hive table take it for NULL.
const NoValue = "__HIVE_DEFAULT_PARTITION__"

// maxValue is the longest that a value of a file or field gets in a key.
const maxValue = 128

// escapeValue is escapeKey for values that nobody has chosen to be in a key.
func escapeValue(s string) string {
	if s == "" {
		return NoValue
	}
	return shorten(escapeKey(s))
}

// escapeFile returns what of makes of a path, or NoValue where there is none.
func escapeFile(path string, of func(string) string) string {
	if path == "" {
		return NoValue
	}
	return of(path)
}

// escapeDirs is escapeValue for paths: what is between slashes is encoded.
func escapeDirs(s string) string {
	dirs := strings.Split(strings.Trim(s, "/"), "/")
	for i, d := range dirs {
		if dirs[i] = escapeKey(d); d == "" {
			dirs[i] = NoValue
		}
	}
	return shorten(strings.Join(dirs, "/"))
}

// shorten puts a digest for the end of an encoded value that is too long. Tildes
// are encoded in values, so no other value can become the same.
func shorten(s string) string {
	if len(s) <= maxValue {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	digest := "~" + hex.EncodeToString(sum[:8])
	at := maxValue - len(digest)
	if i := strings.LastIndexByte(s[at-2:at], '%'); i >= 0 {
		at += i - 2 // not within %XX
	}
	return s[:at] + digest
}

// escapeKey percent-encodes what is not safe in every tool that reads keys. A
// name of dots only would be a relative directory.
func escapeKey(s string) string {
	dots := strings.Trim(s, ".") == ""
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if safeInKey(c) && (c != '.' || !dots) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
