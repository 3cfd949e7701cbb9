package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../config.example.toml")
	must(t, err)
	return string(text)
}

var (
	shown   = regexp.MustCompile(`(?m)^# (\[|[a-z_]+ = )`)
	setting = regexp.MustCompile(`(?m)^(?:# )?([a-z0-9_]+) = `)
)

// The example is valid as it is, and sets nothing but what is required.
func TestExampleIsMinimal(t *testing.T) {
	c := load(t, example(t), nil)
	want := load(t, "[s3]\nbucket = \"my-events\"\nregion = \"eu-central-1\"\n[[input]]\nname = \"app\"\ninclude = [\"/var/log/app/**/*.log\"]\n", nil)
	c.at, want.at = nil, nil
	equal(t, "example", c, want)
}

// Every default that the example shows is the default, and every key is shown.
func TestExampleShowsDefaults(t *testing.T) {
	text := shown.ReplaceAllString(example(t), "$1")
	path := write(t, text, nil)
	c, warnings, err := Load(path, env(nil))
	must(t, err)
	equal(t, "warnings", warnings, []Warning(nil))

	want := Default()
	want.S3.Bucket, want.S3.Region = "my-events", "eu-central-1"
	want.Agent.Host = c.Agent.Host
	app, web := defaultInput(want), defaultInput(want)
	app.Name, app.Include = "app", []string{"/var/log/app/**/*.log"}
	app.Exclude, app.DropFields, app.MaskFields = []string{}, []string{}, []string{}
	app.StaticFields = map[string]any{}
	web.Name, web.Include, web.Format = "web", []string{"/var/log/nginx/*.log"}, "text"
	web.Fields = []string{"time", "host", "file", "offset", "message"}
	want.Inputs = []Input{app, web}
	want.at = c.at
	equal(t, "example", c, want)
	checkAllShown(t, c)
}

// checkAllShown looks for each key in the places of the uncommented example.
func checkAllShown(t *testing.T, c *Config) {
	t.Helper()
	for table, v := range map[string]any{
		"agent": c.Agent, "spool": c.Spool, "chunk": c.Chunk, "s3": c.S3, "telemetry": c.Telemetry,
		"input[0]": c.Inputs[0], "input[0].chunk": c.Inputs[0].Chunk,
	} {
		for _, key := range sortedKeys(fieldsOf(reflect.TypeOf(v))) {
			path := table + "." + key
			if table == "input[0]" && (key == "fields" || key == "encoding" || strings.HasPrefix(key, "multiline_")) {
				path = "input[1]." + key // for text
			}
			if _, ok := c.at[path]; !ok {
				t.Errorf("%s is not in config.example.toml", path)
			}
		}
	}
}

// Each setting stands below a sentence that explains it: its own, or that of
// the block that it is in.
func TestExampleExplainsEverySetting(t *testing.T) {
	for block := range strings.SplitSeq(example(t), "\n\n") {
		block = strings.TrimSpace(block)
		_, block, _ = cutHeader(block)
		first := setting.FindStringIndex(block)
		if first != nil && !strings.HasPrefix(block, "## ") {
			t.Errorf("no explanation above\n%s", block)
		}
	}
	for i, line := range strings.Split(example(t), "\n") {
		comment := strings.HasPrefix(line, "#")
		if comment && line != "##" && !strings.HasPrefix(line, "## ") && !shown.MatchString(line) {
			t.Errorf("line %d is neither explanation nor setting: %s", i+1, line)
		}
		if len(line) > 100 {
			t.Errorf("line %d is too long", i+1)
		}
	}
}

// cutHeader takes a [table] line off the top of a block.
func cutHeader(block string) (header, rest string, found bool) {
	if strings.HasPrefix(block, "[") {
		return strings.Cut(block, "\n")
	}
	return "", block, false
}
