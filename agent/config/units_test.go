package config

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0B": 0, "1B": 1, "8MiB": 8 << 20, "8 MiB": 8 << 20, "5GB": 5e9, "10kB": 1e4, "-1KiB": -1024,
		"8388607TiB": 8388607 << 40,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%q: got %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "8", "MiB", "8M", "8mib", "1.5GiB", "1e3B", "8MiB ", " 8MiB", "8388608TiB", "0x1B", "--1B"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q: got %d", text, got)
		}
	}
	for size, want := range map[Size]string{
		0: "0B", 1: "1B", 1023: "1023B", 1536: "1536B", 1024: "1KiB", 8 << 20: "8MiB", 3 << 39: "1536GiB",
		-1 << 30: "-1GiB",
	} {
		equal(t, "size", size.String(), want)
	}
}

func TestSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Size(rapid.Int64Range(-math.MaxInt64, math.MaxInt64).Draw(t, "size")) << rapid.IntRange(0, 50).Draw(t, "shift")
		if got, ok := parseSize(s.String()); !ok || got != s {
			t.Fatalf("%d prints as %s, which reads as %d, %v", s, s, got, ok)
		}
	})
}

func TestRates(t *testing.T) {
	for text, want := range map[string]Rate{"0B/s": 0, "50MiB/s": 50 << 20, "1536KiB/s": 1536 << 10, "50 MB/s": 50e6} {
		if got, ok := parseRate(text); !ok || got != want {
			t.Errorf("%q: got %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "/s", "50MiB", "50/s", "50MiB/m", "50MiB/s ", "50MiB /s", "50Mbit/s"} {
		if got, ok := parseRate(text); ok {
			t.Errorf("%q: got %d", text, got)
		}
	}
	equal(t, "rate", Rate(50<<20).String(), "50MiB/s")
	equal(t, "rate", Rate(0).String(), "0B/s")
}

func TestDurationPrintsShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 250 * time.Millisecond: "250ms", time.Minute: "1m", 90 * time.Second: "1m30s",
		time.Hour: "1h", 61 * time.Minute: "1h1m", 10 * time.Hour: "10h", 3610 * time.Second: "1h0m10s",
		100 * time.Second: "1m40s", 20 * time.Minute: "20m",
	} {
		equal(t, "duration", Duration(d).String(), want)
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "ns"))
		if got, err := time.ParseDuration(fmt.Sprint(d)); err != nil || Duration(got) != d {
			t.Fatalf("%d prints as %v: %v", int64(d), d, err)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"bucket", "region", "max_size", "max_age", "level"}
	for word, want := range map[string]string{
		"buckets": "bucket", "regoin": "region", "maxsize": "max_size", "max-size": "max_size", "maxage": "max_age",
		"lvel": "level", "x": "", "socket": "", "": "",
	} {
		equal(t, word, nearest(word, known), want)
	}
	equal(t, "swap", distance("regoin", "region"), 1)
	equal(t, "empty", distance("", "abc"), 3)
	equal(t, "kitten", distance("kitten", "sitting"), 3)
}
