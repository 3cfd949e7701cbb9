//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	role  = "arn:aws:iam::123456789012:role/ship"
	other = "arn:aws:iam::123456789012:role/other"
	kms   = "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/1-2"
)

// printed runs the command and returns its output.
func printed(args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs(append([]string{"policy"}, args...))
	err := root.Execute()
	return out.String(), err
}

// call is one request to AWS, as a policy sees it.
type call struct {
	principal, action, resource string
	context                     map[string]string
}

// allows evaluates a policy as AWS does: a Deny that matches wins, else an
// Allow that matches is needed. An operator it does not know fails the test.
func allows(t *testing.T, p policy, c call) bool {
	t.Helper()
	allowed := false
	for _, s := range p.Statement {
		if !isPrincipal(s.Principal, c.principal) || !like(s.Action, c.action) || !like(s.Resource, c.resource) || !holds(t, s.Condition, c.context) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = s.Effect == "Allow"
	}
	return allowed
}

func isPrincipal(of any, caller string) bool {
	switch p := of.(type) {
	case nil: // an IAM policy is attached to the caller
		return true
	case string:
		return p == "*"
	case map[string]any:
		return p["AWS"] == caller
	}
	return false
}

// like matches with * for any text, slashes included.
func like(patterns []string, text string) bool {
	flat := strings.NewReplacer("/", "\x01")
	for _, p := range patterns {
		if ok, err := path.Match(flat.Replace(p), flat.Replace(text)); ok && err == nil {
			return true
		}
	}
	return false
}

func holds(t *testing.T, conditions map[string]map[string]string, context map[string]string) bool {
	t.Helper()
	for operator, keys := range conditions {
		for key, want := range keys {
			got, there := context[key]
			var ok bool
			switch operator {
			case "Bool":
				ok = there && got == want
			case "Null":
				ok = there == (want == "false")
			case "StringLike":
				ok = there && like([]string{want}, got)
			default:
				t.Fatalf("unknown operator %s", operator)
			}
			if !ok {
				return false
			}
		}
	}
	return true
}

// Each policy is the golden one, and allows exactly what is listed.
func TestPolicies(t *testing.T) {
	tls := map[string]string{"aws:SecureTransport": "true"}
	encrypted := map[string]string{"s3:x-amz-server-side-encryption": "aws:kms"}
	for name, test := range map[string]struct {
		args        []string
		allow, deny []call
	}{
		"iam": {
			[]string{"iam", "--bucket", "events"},
			[]call{{role, "s3:PutObject", "arn:aws:s3:::events/a/b", tls}},
			[]call{
				{role, "s3:PutObject", "arn:aws:s3:::events2/a", tls}, {role, "s3:GetObject", "arn:aws:s3:::events/a", tls},
				{role, "s3:DeleteObject", "arn:aws:s3:::events/a", tls}, {role, "s3:PutObjectAcl", "arn:aws:s3:::events/a", tls},
				{role, "s3:ListBucket", "arn:aws:s3:::events", tls}, {role, "kms:Decrypt", kms, nil},
			},
		},
		"iam-read": {
			[]string{"iam", "--bucket", "events", "--prefix", "logs/", "--read", "--partition", "aws-us-gov", "--kms", kms},
			[]call{
				{role, "s3:PutObject", "arn:aws-us-gov:s3:::events/logs/a", tls}, {role, "s3:GetObject", "arn:aws-us-gov:s3:::events/logs/a", tls},
				{role, "s3:ListBucket", "arn:aws-us-gov:s3:::events", map[string]string{"s3:prefix": "logs/app/"}},
				{role, "kms:GenerateDataKey", kms, nil}, {role, "kms:Decrypt", kms, nil},
			},
			[]call{
				{role, "s3:PutObject", "arn:aws-us-gov:s3:::events/a", tls}, {role, "s3:GetObject", "arn:aws-us-gov:s3:::events/a", tls},
				{role, "s3:ListBucket", "arn:aws-us-gov:s3:::events", nil}, {role, "s3:PutObject", "arn:aws:s3:::events/logs/a", tls},
				{role, "s3:ListBucket", "arn:aws-us-gov:s3:::events", map[string]string{"s3:prefix": "x"}},
				{role, "kms:GenerateDataKey", kms + "3", nil}, {role, "kms:ScheduleKeyDeletion", kms, nil},
			},
		},
		"iam-objects": {
			[]string{"iam", "--bucket", "events", "--acl", "--tags"},
			[]call{
				{role, "s3:PutObject", "arn:aws:s3:::events/a", tls}, {role, "s3:PutObjectAcl", "arn:aws:s3:::events/a", tls},
				{role, "s3:PutObjectTagging", "arn:aws:s3:::events/a", tls},
			},
			[]call{
				{role, "s3:GetObjectTagging", "arn:aws:s3:::events/a", tls}, {role, "s3:PutBucketAcl", "arn:aws:s3:::events", tls},
				{role, "s3:PutObjectAcl", "arn:aws:s3:::events2/a", tls}, {role, "s3:DeleteObjectTagging", "arn:aws:s3:::events/a", tls},
			},
		},
		"bucket-objects": {
			[]string{"bucket", "--bucket", "events", "--principal", role, "--prefix", "logs/", "--acl", "--require-encryption"},
			[]call{
				{role, "s3:PutObject", "arn:aws:s3:::events/logs/a", encrypted}, {role, "s3:PutObjectAcl", "arn:aws:s3:::events/logs/a", nil},
			},
			[]call{
				{role, "s3:PutObject", "arn:aws:s3:::events/logs/a", tls}, {role, "s3:PutObject", "arn:aws:s3:::events/a", encrypted},
				{role, "s3:PutObjectTagging", "arn:aws:s3:::events/logs/a", encrypted}, {other, "s3:PutObjectAcl", "arn:aws:s3:::events/logs/a", nil},
			},
		},
		"bucket": {
			[]string{"bucket", "--bucket", "events", "--principal", role},
			[]call{{role, "s3:PutObject", "arn:aws:s3:::events/a", map[string]string{"aws:SecureTransport": "false"}}},
			[]call{{other, "s3:PutObject", "arn:aws:s3:::events/a", tls}, {role, "s3:GetObject", "arn:aws:s3:::events/a", tls}},
		},
		"bucket-strict": {
			[]string{"bucket", "--bucket", "events", "--principal", strings.Replace(role, "aws", "aws-cn", 1), "--require-tls", "--write-once"},
			[]call{{
				strings.Replace(role, "aws", "aws-cn", 1), "s3:PutObject", "arn:aws-cn:s3:::events/a",
				map[string]string{"aws:SecureTransport": "true", "s3:if-none-match": "*"},
			}},
			[]call{
				{strings.Replace(role, "aws", "aws-cn", 1), "s3:PutObject", "arn:aws-cn:s3:::events/a", tls},
				{
					strings.Replace(role, "aws", "aws-cn", 1), "s3:PutObject", "arn:aws-cn:s3:::events/a",
					map[string]string{"aws:SecureTransport": "false", "s3:if-none-match": "*"},
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := golden(t, "testdata/policy-"+name+".json", test.args)
			for _, c := range test.allow {
				if !allows(t, p, c) {
					t.Errorf("refuses %+v", c)
				}
			}
			for _, c := range test.deny {
				if allows(t, p, c) {
					t.Errorf("allows %+v", c)
				}
			}
		})
	}
}

// golden returns the policy that is printed, which must be the one in the file.
func golden(t *testing.T, name string, args []string) (p policy) {
	t.Helper()
	out, err := printed(args...)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || out != string(want) {
		t.Errorf("%v; got\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicyMistakes(t *testing.T) {
	for want, args := range map[string]string{
		"--bucket":                   "iam",
		"--bucket: must":             "iam --bucket a/b",
		"--partition: must":          "iam --bucket abc --partition aws-eu",
		"add --partition aws-us-gov": "iam --bucket abc --kms " + kms,
		"--kms: must":                "iam --bucket abc --kms alias/x",
		"--prefix: must":             "iam --bucket abc --prefix a*",
		"--principal: must":          "bucket --bucket abc",
		"--principal: must be":       "bucket --bucket abc --principal *",
		"--prefix: must not":         "bucket --bucket abc --principal " + role + " --prefix /a",
		"unexpected argument":        "bucket x",
	} {
		_, err := printed(strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
			continue
		}
		if code, _ := classify(err); code != exitUsage {
			t.Errorf("%s: exit code %d", args, code)
		}
	}
}
