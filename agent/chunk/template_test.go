package chunk

import (
	"strings"
	"testing"
	"time"
)

const late = "{queue}-{chunk}-{records}-{id}"

func TestExpand(t *testing.T) {
	v := KeyVars{Input: "app", Host: "web-01.example.com", Time: time.Date(2026, 1, 2, 0, 4, 5, 0, time.FixedZone("CET", 3600)), Codec: Gzip}
	for _, tt := range []struct{ template, prefix, want string }{
		{
			"{input}/dt={date}/hour={hour}/{host}-" + late + ".ndjson{ext}", "events/",
			"events/app/dt=2026-01-01/hour=23/web-01.example.com-" + late + ".ndjson.gz",
		},
		{late, "", late},
		{"{id}{records}{chunk}{queue}", "x", "x{id}{records}{chunk}{queue}"},
		{"{year}{month}{day}T{hour}{minute}/" + late + "/{id}", "", "20260101T2304/" + late + "/{id}"},
		{"日本/" + late, "é/", "é/日本/" + late},
	} {
		parsed, err := ParseTemplate(tt.template)
		if err != nil {
			t.Errorf("%s: %v", tt.template, err)
			continue
		}
		for range 2 { // a template does not change
			if got, err := parsed.Expand(tt.prefix, v); got != tt.want || err != nil {
				t.Errorf("%s: got %s, %v, want %s", tt.template, got, err, tt.want)
			}
		}
	}
}

func TestExpandEscapesNames(t *testing.T) {
	parsed, err := ParseTemplate("{input}/{host}/" + late + "{ext}")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		v    KeyVars
		want string
	}{
		{KeyVars{Input: "aZ09._-", Host: "a b/{id}%é\x00"}, "aZ09._-/a%20b%2F%7Bid%7D%25%C3%A9%00/" + late},
		{KeyVars{Input: "@[`", Host: "^:", Codec: Zstd}, "%40%5B%60/%5E%3A/" + late + ".zst"},
		{KeyVars{Input: "..", Host: "."}, "%2E%2E/%2E/" + late},
	} {
		if got, err := parsed.Expand("", tt.v); got != tt.want || err != nil {
			t.Errorf("got %s, %v, want %s", got, err, tt.want)
		}
	}
	if _, err := parsed.Expand("", KeyVars{Input: "a"}); err == nil {
		t.Error("an empty host is taken as a directory")
	}
}

func TestParseTemplateErrors(t *testing.T) {
	for _, tt := range []struct {
		template string
		want     []string
	}{
		{late + "{hots}", []string{"{hots}", "{input} {host} {queue} {chunk} {records} {id} {date} {hour} {minute} {year} {month} {day} {ext}"}},
		{late + "{}", []string{"{}"}},
		{late + "{ id }", []string{"{ id }"}},
		{late + "{host", []string{"brace", "byte 30"}},
		{late + "}", []string{"brace", "byte 30"}},
		{"{{host}}" + late, []string{"brace", "byte 0"}},
		{late + "{ho{id}", []string{"brace", "byte 30"}},
		{"{chunk}-{records}-{id}", []string{"{queue}", "two agents could write to one key"}},
		{"{queue}-{records}-{id}", []string{"{chunk}", "two chunks could be written to one key"}},
		{"{queue}-{chunk}-{id}", []string{"{records}", "complete"}},
		{"{queue}-{chunk}-{records}", []string{"{id}", "overwrite"}},
		{"", []string{"{queue}", "{chunk}", "{records}", "{id}"}},
		{"/" + late, []string{"starts with '/'"}},
		{"a//" + late, []string{`"//"`}},
		{"a/../" + late, []string{`".."`}},
		{late + "\n", []string{"control character"}},
		{late + "\xff", []string{"UTF-8"}},
	} {
		parsed, err := ParseTemplate(tt.template)
		if err == nil || parsed != nil {
			t.Errorf("%q: %v, %v", tt.template, parsed, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v does not say %s", tt.template, err, want)
			}
		}
	}
}

func TestExpandRefusesPrefix(t *testing.T) {
	parsed, err := ParseTemplate(late)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"/a/":      "starts with '/'",
		"a//":      `"//"`,
		"./a/":     `"."`,
		"a\x7f":    "control character",
		"a\xff":    "UTF-8",
		"a/{host}": "brace",
		"a}":       "brace",
	} {
		if _, err := parsed.Expand(prefix, KeyVars{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v does not say %s", prefix, err, want)
		}
	}
}

// The key must fit with the longest values that can still be filled in.
func TestExpandLength(t *testing.T) {
	parsed, err := ParseTemplate(late)
	if err != nil {
		t.Fatal(err)
	}
	longest := 16 + 1 + 20 + 1 + 20 + 1 + 16
	fits := strings.Repeat("é", (1024-longest)/2)
	fits += strings.Repeat("x", 1024-longest-len(fits))
	if _, err := parsed.Expand(fits, KeyVars{}); err != nil {
		t.Error(err)
	}
	if _, err := parsed.Expand(fits+"x", KeyVars{}); err == nil || !strings.Contains(err.Error(), "1025 bytes") {
		t.Errorf("one byte too long: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(late, "events/", "app", "web-01")
	f.Add("{input}/dt={date}/hour={hour}/{host}-"+late+".ndjson{ext}", "", "a/b", "..")
	f.Add("{id}}", "{", "", "\xff")
	f.Fuzz(func(t *testing.T, template, prefix, input, host string) {
		parsed, err := ParseTemplate(template)
		if err != nil {
			return
		}
		key, err := parsed.Expand(prefix, KeyVars{Input: input, Host: host})
		if err != nil {
			return
		}
		final := strings.NewReplacer("{queue}", strings.Repeat("f", 16), "{chunk}", strings.Repeat("9", 20),
			"{records}", strings.Repeat("9", 20), "{id}", strings.Repeat("f", 16)).Replace(key)
		if len(final) > 1024 || strings.ContainsAny(final, "{}") || strings.HasPrefix(final, "/") || strings.Contains(final, "//") {
			t.Errorf("%q, %q: key %q", template, prefix, final)
		}
	})
}
