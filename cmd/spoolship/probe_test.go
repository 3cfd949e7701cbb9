//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent/sink/sinktest"
)

// probed runs check --probe with that [s3] and those inputs.
func probed(t *testing.T, srv *sinktest.Server, s3 string, inputs ...string) (string, error) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	dir := t.TempDir()
	text := fmt.Sprintf("[agent]\nstate_dir = %q\nhost = \"web1\"\n[telemetry]\nsocket = %q\n[s3]\nbucket = %q\nregion = %q\nendpoint = %q\npath_style = true\naccess_key_id = %q\nsecret_access_key = %q\n%s\n",
		filepath.Join(dir, "state"), filepath.Join(dir, "s"), sinktest.Bucket, sinktest.Region, srv.URL, sinktest.AccessKeyID, sinktest.SecretAccessKey, s3)
	for _, name := range inputs {
		text += fmt.Sprintf("[[input]]\nname = %q\ninclude = [%q]\n", name, filepath.Join(dir, name+".log"))
	}
	config := filepath.Join(dir, "spoolship.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	root := newRoot()
	root.SetArgs([]string{"check", "--probe", "--config", config})
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// A policy by prefix lets the probes through that it would let the objects
// through, and no others.
func TestProbeByPolicy(t *testing.T) {
	for _, allowed := range []string{"", "events/", "events/app/", "events/web/", "other/"} {
		t.Run(allowed, func(t *testing.T) {
			text, err := printed("iam", "--bucket", "bucket", "--prefix", allowed)
			var p policy
			if err != nil || json.Unmarshal([]byte(text), &p) != nil {
				t.Fatalf("%v: %s", err, text)
			}
			srv := sinktest.NewServer(t)
			srv.Script(func(r sinktest.Request) sinktest.Fault {
				if !allows(t, p, call{principal: role, action: "s3:PutObject", resource: "arn:aws:s3:::bucket/" + r.Key}) {
					return sinktest.Answer(403, "AccessDenied")
				}
				return sinktest.Fault{}
			})
			out, err := probed(t, srv, `prefix = "events/"`, "app", "web")
			if n := len(srv.Requests()); n != 2 {
				t.Errorf("%d requests for 2 inputs", n)
			}
			for _, input := range []string{"app", "web"} {
				works := strings.HasPrefix("events/"+input+"/", allowed)
				if told := strings.Contains(out, "input "+input+": upload works, s3://bucket/events/"+input+"/dt="); told != works {
					t.Errorf("input %s works: %v, and is told to: %v\n%s", input, works, told, out)
				}
				if said := out + fmt.Sprint(err); !works && !strings.Contains(said, "input "+input+": upload to bucket bucket: ") {
					t.Errorf("nothing is said of input %s:\n%s", input, said)
				}
			}
			if all := allowed == "" || allowed == "events/"; (err == nil) != all {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A bucket that refuses what may replace an object takes the probe of an agent
// that ships to it, once and again; one without conditions does, too.
func TestProbeIsConditional(t *testing.T) {
	srv := sinktest.NewServer(t)
	srv.Script(func(r sinktest.Request) sinktest.Fault {
		if !r.IfAbsent {
			return sinktest.Answer(403, "AccessDenied")
		}
		return sinktest.Fault{}
	})
	for range 2 {
		if out, err := probed(t, srv, `conditional = "always"`, "app"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if out, err := probed(t, srv, "", "app"); err == nil {
		t.Errorf("it works without the condition:\n%s", out)
	}
	srv.Script(func(r sinktest.Request) sinktest.Fault {
		if r.IfAbsent {
			return sinktest.Answer(501, "NotImplemented")
		}
		return sinktest.Fault{}
	})
	if out, err := probed(t, srv, `conditional = "always"`, "app"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Probes are one for each folder, at most maxProbes, and one where nobody answers.
func TestProbesAreFew(t *testing.T) {
	var many []string
	for n := range maxProbes + 8 {
		many = append(many, fmt.Sprint("in", n))
	}
	srv := sinktest.NewServer(t)
	if out, err := probed(t, srv, "", many...); err != nil || !strings.Contains(out, "8 more inputs") || len(srv.Requests()) != maxProbes {
		t.Errorf("%d requests, %v\n%s", len(srv.Requests()), err, out)
	}
	srv = sinktest.NewServer(t)
	if out, err := probed(t, srv, `key = "{date}/{input}-{queue}-{chunk}-{records}-{id}{ext}"`, many...); err != nil || len(srv.Requests()) != 1 {
		t.Errorf("%d requests for one folder, %v\n%s", len(srv.Requests()), err, out)
	}
	srv = sinktest.NewServer(t)
	srv.Script(func(sinktest.Request) sinktest.Fault { return sinktest.CutBody(0) })
	if out, err := probed(t, srv, "", many...); err == nil || len(srv.Requests()) != 1 {
		t.Errorf("%d requests of a store that is away, %v\n%s", len(srv.Requests()), err, out)
	}
}
