package config

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Names of buckets and storage classes, at AWS and elsewhere.
func TestStoreNames(t *testing.T) {
	for name, at := range map[string]struct{ aws, others bool }{
		"abc": {true, true}, "my-events.2": {true, true}, strings.Repeat("a", 63): {true, true}, "0a0": {true, true},
		"ab": {false, true}, strings.Repeat("a", 64): {false, true}, "-ab": {false, true}, "ab-": {false, true},
		"a..b": {false, true}, "192.168.5.4": {false, true}, "a_b": {false, true}, "Events": {false, true}, "tenant:events": {false, true},
		"": {false, false}, "s3://abc": {false, false}, "abc/def": {false, false}, "a b": {false, false}, "a\nb": {false, false},
		"a?x": {false, false}, "été": {false, false}, strings.Repeat("a", 256): {false, false}, "arn:aws:s3:::abc": {false, false},
	} {
		for endpoint, want := range map[string]bool{
			"": at.aws, "https://s3.eu-west-1.amazonaws.com": at.aws, "https://s3.cn-north-1.amazonaws.com.cn": at.aws,
			"https://minio.example.com:9000": at.others, "https://amazonaws.com.example.com": at.others,
		} {
			if problems := loaded(t, "[s3]\nbucket = "+strconv.Quote(name)+"\nendpoint = "+strconv.Quote(endpoint)+"\n", "s3.bucket"); (problems == 0) != want {
				t.Errorf("%q at %q: %d problems, want it to be taken: %v", name, endpoint, problems, want)
			}
		}
	}
	for class, at := range map[string]struct{ aws, others bool }{
		"": {true, true}, "STANDARD_IA": {true, true}, "COLD": {false, true}, "Cold-Line": {false, true}, "a b": {false, false},
	} {
		for endpoint, want := range map[string]bool{"": at.aws, "https://s3.example.com": at.others} {
			if problems := loaded(t, "[s3]\nbucket = \"abc\"\nstorage_class = "+strconv.Quote(class)+"\nendpoint = "+strconv.Quote(endpoint)+"\n", "s3.storage_class"); (problems == 0) != want {
				t.Errorf("%q at %q: %d problems", class, endpoint, problems)
			}
		}
	}
}

// loaded counts the problems that a key of a configuration has.
func loaded(t *testing.T, text, key string) (n int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "spoolship.toml")
	if err := os.WriteFile(name, []byte(text+"[[input]]\nname = \"a\"\ninclude = [\"/a\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := Load(name, os.LookupEnv)
	var problems Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			if p.Key == key {
				n++
			}
		}
	} else if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPrefixesAndSockets(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "events/": true, "été/": true, strings.Repeat("a", 512): true,
		"/x": false, "dt={date}/": false, strings.Repeat("a", 513): false, "a\nb": false,
	} {
		if c := prefix(text); (c == complaint{}) != ok {
			t.Errorf("%q: %v", text, c)
		}
	}
	for text, ok := range map[string]bool{
		"/run/x.sock": true, "/" + strings.Repeat("a", 106): true,
		"/" + strings.Repeat("a", 107): false, "": false, "x": false, "/a\x00": false,
	} {
		if c := socket(text); (c == complaint{}) != ok {
			t.Errorf("%q: %v", text, c)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for url, ok := range map[string]bool{
		"": true, "http://127.0.0.1:9000": true, "https://s3.example.com/base": true, "http://[::1]:1": true,
		"ftp://x": false, "http://": false, "https://:9000": false, "http://a b": false,
		"https://u:p@h": false, "https://h?x=1": false, "https://h#x": false, "http://h:port": false,
	} {
		if c := endpoint(url); (c == complaint{}) != ok {
			t.Errorf("%q: %v", url, c)
		}
	}
}
