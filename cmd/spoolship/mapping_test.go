//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// shipment is what a configuration makes of the events of the mapping.
type shipment struct {
	requests []sinktest.Request
	objects  map[string]sinktest.Object
}

// The events that are shipped: one with a time of its own, one without.
const mappedEvents = `{"timestamp":"2021-02-03T04:05:06Z","n":1,"password":"p1"}` + "\n" + `{"n":2,"password":"p2"}` + "\n"

// keys are the objects' in order.
func (s *shipment) keys() []string {
	var keys []string
	for k := range s.objects {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// records are the decompressed objects in the order of their keys.
func (s *shipment) records(t *testing.T) (text string) {
	t.Helper()
	for _, k := range s.keys() {
		r, err := gzip.NewReader(bytes.NewReader(s.objects[k].Body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

// mapped ships the events by what is set in the sections of a configuration.
func mapped(t *testing.T, set map[string]string, args ...string) *shipment {
	t.Helper()
	srv, dir := sinktest.NewServer(t), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	log := write("app.log", mappedEvents)
	s3 := set["[s3]"]
	for key, value := range map[string]string{
		"bucket": sinktest.Bucket, "region": sinktest.Region, "endpoint": srv.URL,
		"access_key_id_file":     write("id", sinktest.AccessKeyID+"\n"),
		"secret_access_key_file": write("secret", sinktest.SecretAccessKey+"\n"),
	} {
		if !strings.Contains(s3, key+" = ") {
			s3 += fmt.Sprintf("%s = %q\n", key, value)
		}
	}
	config := write("spoolship.toml", fmt.Sprintf(`[agent]
state_dir = %q
host = "web1"
[spool]
min_free = "0B"
[telemetry]
socket = %q
[chunk]
%s
[s3]
path_style = true
%s
[[input]]
name = "app"
include = [%q]
%s
`, filepath.Join(dir, "state"), filepath.Join(dir, "s"), set["[chunk]"], s3, log, set["[[input]]"]))
	if args == nil {
		args = []string{"run", "--once"}
	}
	root := newRoot()
	root.SetArgs(append(args, "--config", config))
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return &shipment{srv.Requests(), srv.Objects()}
}

var (
	mappingRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| (.+) \|$`)
	mappingSet = regexp.MustCompile("`(\\[+[a-z0-9]+\\]+) ([a-z_]+ = [^`]+)`")
)

// Each row of the page's mapping from another integration's settings: what it
// says to set is set, and the bucket is as the row says.
func TestMapping(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	now := time.Now().UTC().Format("dt=2006-01-02/")
	header := func(name, want string) func(*testing.T, *shipment) {
		return func(t *testing.T, s *shipment) {
			if got := s.requests[0].Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	keys := func(forms ...string) func(*testing.T, *shipment) {
		return func(t *testing.T, s *shipment) {
			got := s.keys()
			if len(got) != len(forms) {
				t.Fatalf("keys %q", got)
			}
			for i, form := range forms {
				if !regexp.MustCompile("^" + form + "$").MatchString(got[i]) {
					t.Errorf("key %q, want %s", got[i], form)
				}
			}
		}
	}
	const name = `web1-[0-9a-f]{16}-\d{20}-\d-[0-9a-f]{16}\.ndjson\.gz`
	byEvent := keys("app/dt=2021-02-03/hour=04/"+name, "app/"+now+`hour=\d\d/`+name)
	byUpload := keys("app/" + now + `hour=\d\d/` + name)
	records := func(want string) func(*testing.T, *shipment) {
		return func(t *testing.T, s *shipment) {
			if got := s.records(t); got != want {
				t.Errorf("records\n%s", got)
			}
		}
	}
	checks := map[string]func(*testing.T, *shipment){
		"bucket name":                     byUpload, // the server has one bucket
		"folder":                          keys("events/app/" + now + `hour=\d\d/` + name),
		"region":                          header("Authorization", "/eu-central-1/s3/aws4_request"),
		"access key id and secret":        header("Authorization", "Credential="+sinktest.AccessKeyID+"/"),
		"server-side encryption":          header("X-Amz-Server-Side-Encryption", "AES256"),
		"unique id in each event":         keys("app/" + now + `hour=\d\d/web1-[0-9a-f]{16}-0{19}1-2-[0-9a-f]{16}\.ndjson\.gz`),
		"fields left out":                 records(strings.ReplaceAll(strings.ReplaceAll(mappedEvents, `,"password":"p1"`, ""), `,"password":"p2"`, "")),
		"folders by date: none":           keys("app/" + name),
		"folders by date: by upload time": byUpload,
		"folders by date: by event time":  byEvent,
		"folders by date: by event time, else by upload time": byEvent,
		"one batch per line": records(mappedEvents),
		"compression":        func(t *testing.T, s *shipment) { byUpload(t, s); records(mappedEvents)(t, s) },
		"list and location permissions": func(t *testing.T, s *shipment) {
			if len(s.requests) != 1 || len(s.objects) != 1 { // the server takes nothing but uploads
				t.Errorf("%d requests, %d objects", len(s.requests), len(s.objects))
			}
		},
		"verification file on saving": keys("app/" + now + `hour=\d\d/_spoolship_probe_web1`),
	}
	page, err := os.ReadFile("../../docs/s3-setup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| there | here |\n|---|---|\n")
	rows := mappingRow.FindAllStringSubmatch(table, -1)
	if len(rows) != len(checks) {
		t.Errorf("the page has %d rows, of which %d are tested", len(rows), len(checks))
	}
	for _, row := range rows {
		t.Run(row[1], func(t *testing.T) {
			check := checks[row[1]]
			if check == nil {
				t.Fatal("is not tested")
			}
			set := make(map[string]string)
			if strings.HasPrefix(row[1], "folders by date: by event time") {
				set["[[input]]"] = "time_field = \"timestamp\"\n" // also where the row says "the same"
			} else {
				for _, m := range mappingSet.FindAllStringSubmatch(row[2], -1) {
					set[m[1]] += strings.ReplaceAll(m[2], "my-events", sinktest.Bucket) + "\n"
				}
			}
			if strings.Contains(row[2], "`spoolship check --probe`") {
				check(t, mapped(t, set, "check", "--probe"))
				return
			}
			check(t, mapped(t, set))
		})
	}
}
