package config

import (
	"strings"
	"testing"
)

func TestBucketNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"abc": true, "my-events.2": true, strings.Repeat("a", 63): true, "0a0": true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "-ab": false, "ab-": false,
		"a..b": false, "192.168.5.4": false, "a_b": false, "s3://abc": false, "abc/def": false,
		"arn:aws:s3:::abc": false,
	} {
		if c := bucket(name); (c == complaint{}) != ok {
			t.Errorf("%q: %v", name, c)
		}
	}
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
