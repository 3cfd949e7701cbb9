package chunk

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const defaultTemplate = "{input}/dt={date}/hour={hour}/{host}-" + late + ".ndjson{ext}"

// fill puts the late values into a key, as sealing a chunk does.
func fill(key string, k *Key) string {
	records := fmt.Sprint(k.Records)
	if k.Cause != "" {
		records += "." + k.Cause
	}
	return strings.NewReplacer("{queue}", k.Queue, "{chunk}", fmt.Sprintf("%020d", k.Chunk), "{records}", records, "{id}", k.ID).Replace(key)
}

func parser(t interface{ Fatal(...any) }, template, prefix string) (*Template, *KeyParser) {
	parsed, err := ParseTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, parsed.Parser(prefix)
}

// drawKey draws what a chunk can have.
func drawKey(t *rapid.T) Key {
	k := Key{
		Input: rapid.OneOf(rapid.StringMatching(`[a-z0-9.-]{1,20}`), rapid.StringN(1, 8, 30)).Draw(t, "input"),
		Host:  rapid.OneOf(rapid.StringMatching(`[a-f0-9-]{1,60}`), rapid.StringN(1, 8, 30)).Draw(t, "host"),
		Queue: rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "queue"),
		Chunk: rapid.Uint64Min(1).Draw(t, "chunk"),
		ID:    rapid.StringMatching(`[0-9a-f]{16}`).Draw(t, "id"),
	}
	if k.Cause = rapid.SampledFrom([]string{"", "", "dropped", "damaged"}).Draw(t, "cause"); k.Cause == "" {
		k.Records = rapid.Int64Min(0).Draw(t, "records")
	}
	return k
}

// Whatever the values are, they are read back or the key is said to be
// ambiguous; with slashes between the variables it never is.
func TestParseIsTheInverse(t *testing.T) {
	t.Setenv("ZONE", "a{b")
	rapid.Check(t, func(t *rapid.T) {
		want := drawKey(t)
		names := rapid.Permutation([]string{
			"{input}", "{host}", "{queue}", "{chunk}", "{records}", "{id}", "{date}", "{hour}", "{time:2006/01/02T15}", "{file}", "{dir}", "{field:a.b}", "{env:ZONE}",
		}).Draw(t, "names")
		separator := rapid.SampledFrom([]string{"-", "=", "+/", "", "_x"}).Draw(t, "separator")
		template := defaultTemplate
		if rapid.Bool().Draw(t, "own") {
			template = strings.Join(names, separator)
		}
		codec := rapid.SampledFrom([]Codec{None, Gzip, Zstd}).Draw(t, "codec")
		prefix := rapid.SampledFrom([]string{"", "events/", "a-"}).Draw(t, "prefix")
		parsed, p := parser(t, template, prefix)
		at := time.Unix(rapid.Int64Range(0, 9e9).Draw(t, "time"), 0).UTC()
		key, err := parsed.Expand(prefix, KeyVars{
			Input: want.Input, Host: want.Host, Time: at, Codec: codec,
			File:   "/" + rapid.StringMatching(`[a-z0-9 /.-]{0,200}`).Draw(t, "file"),
			Fields: []string{rapid.String().Draw(t, "field")},
		})
		if err != nil {
			t.Skip("random values made no key: ", err)
		}
		key = fill(key, &want)
		got, err := p.Parse(key)
		if errors.Is(err, ErrAmbiguous) && template != defaultTemplate && separator != "+/" {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if template == defaultTemplate {
			want.Ext = codec.Ext()
		}
		want.From = at.Truncate(time.Hour)
		want.To = want.From.Add(time.Hour)
		if got != want {
			t.Fatalf("%s: got %+v, want %+v", key, got, want)
		}
	})
}

const rest = "0123456789abcdef-00000000000000000007-12-fedcba9876543210"

// The times that a key stands for are those with the same key.
func TestParseTimes(t *testing.T) {
	day := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	for template, want := range map[string][2]time.Time{
		"{date}":                    {day, day.AddDate(0, 0, 1)},
		"{year}/{month}":            {day.AddDate(0, 0, -29), day.AddDate(0, 0, 1)},
		"{date}T{hour}{minute}":     {day.Add(13*time.Hour + 5*time.Minute), day.Add(13*time.Hour + 6*time.Minute)},
		"{time:Jan _2 2006 3:04PM}": {day.Add(13*time.Hour + 5*time.Minute), day.Add(13*time.Hour + 6*time.Minute)},
		"{time:2006-002}":           {day, day.AddDate(0, 0, 1)},
		"{date}/{time:03}":          {},
		"{hour}":                    {},
		"{month}/{day}":             {},
		"{time:Monday}":             {},
		"x":                         {},
	} {
		parsed, p := parser(t, template+"/"+late, "")
		key, err := parsed.Expand("", KeyVars{Time: day.Add(13*time.Hour + 5*time.Minute + 9*time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		k, err := p.Parse(fill(key, &Key{Queue: rest[:16], Chunk: 1, ID: rest[:16]}))
		if err != nil || k.From != want[0] || k.To != want[1] {
			t.Errorf("%s: %s to %s, %v; want %s", template, k.From, k.To, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const head = "app/dt=2026-01-02/hour=03/web-"
	for key, want := range map[string]string{
		"other/" + head + rest + ".ndjson":                                                        `begin with "events/"`,
		"events/_spoolship_probe_web":                                                             "not a key",
		"events/" + head + rest + ".ndjson.bz2":                                                   "not a key",
		"events/" + head + rest + ".ndjson\n":                                                     "not a key",
		"events/" + strings.Replace(head, "-02", "-32", 1) + rest + ".ndjson":                     `no time "2026-01-32`,
		"events/" + strings.Replace(head, "app", "a%62", 1) + rest + ".ndjson":                    "{input}",
		"events/" + strings.Replace(head, "app", "a b", 1) + rest + ".ndjson":                     "not a key",
		"events/" + head + strings.Replace(rest, "07-", "00-", 1) + ".ndjson":                     "no chunk number",
		"events/" + head + strings.Replace(rest, "0000000000000", "9999999999999", 1) + ".ndjson": "no chunk number",
		"events/" + head + strings.Replace(rest, "-12-", "-012-", 1) + ".ndjson":                  "no count",
		"events/" + head + strings.Replace(rest, "-12-", "-12.dropped-", 1) + ".ndjson":           "no count",
		"events/" + head + strings.Replace(rest, "-12-", "-99999999999999999999-", 1) + ".ndjson": "no count",
	} {
		_, p := parser(t, defaultTemplate, "events/")
		if k, err := p.Parse(key); !errors.Is(err, ErrNotKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", key, k, err, want)
		}
	}
	_, p := parser(t, "{input}-{host}-"+late, "")
	if k, err := p.Parse("a-b-c-" + rest); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("got %+v, %v", k, err)
	}
	_, p = parser(t, late+"/{id}", "")
	if k, err := p.Parse(rest + "/" + rest[:16]); !errors.Is(err, ErrNotKey) {
		t.Errorf("got %+v, %v", k, err)
	}
}

// Nothing is read from a key that would not be written so.
func FuzzParseKey(f *testing.F) {
	f.Add("app/dt=2026-01-02/hour=03/web-1-" + rest + ".ndjson.gz")
	f.Add("a%2Fp/dt=2026-01-02/hour=03/%2E-" + strings.Replace(rest, "-12-", "-0.dropped-", 1) + ".ndjson")
	parsed, p := parser(f, defaultTemplate, "")
	f.Fuzz(func(t *testing.T, key string) {
		k, err := p.Parse(key)
		if err != nil {
			if !errors.Is(err, ErrNotKey) {
				t.Fatal(err)
			}
			return
		}
		codec := map[string]Codec{"": None, ".gz": Gzip, ".zst": Zstd}[k.Ext]
		again, err := parsed.Expand("", KeyVars{Input: k.Input, Host: k.Host, Time: k.From, Codec: codec})
		if err == nil && fill(again, &k) != key {
			t.Fatalf("%q is written as %q", key, fill(again, &k))
		}
	})
}
