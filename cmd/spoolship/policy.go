//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// policy is an IAM or bucket policy document:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Principal any `json:",omitempty"` // "*", or map[string]string; none in an IAM policy
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

const policyVersion = "2012-10-17"

var (
	bucketForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	principalForm = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:(root|(role|user)/[^\s*?]+)$`)
	kmsForm       = regexp.MustCompile(`^arn:(aws|aws-cn|aws-us-gov):kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$`)
	partitionForm = regexp.MustCompile(`^(aws|aws-cn|aws-us-gov)$`)
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Print the AWS policy that the agent needs, as JSON",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyIAM(), newPolicyBucket())
	return cmd
}

// iamNeeds is what an IAM policy is made for.
type iamNeeds struct {
	partition, bucket, prefix, kms string
	read                           bool
}

func newPolicyIAM() *cobra.Command {
	var n iamNeeds
	cmd := &cobra.Command{
		Use:   "iam --bucket BUCKET",
		Short: "For the user or role that the agent runs as",
		Long: `Iam prints a policy to attach to the IAM user or role that the agent runs as.
It allows s3:PutObject and nothing else; --read adds what reading objects back
takes, and --kms the use of the key that the bucket is encrypted with.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := n.check(); err != nil {
				return usage(err)
			}
			return printPolicy(cmd.OutOrStdout(), n.policy())
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.bucket, "bucket", "", "name of the bucket")
	f.StringVar(&n.prefix, "prefix", "", "allow only keys that begin with it, as s3.prefix does")
	f.BoolVar(&n.read, "read", false, "allow listing and reading as well")
	f.StringVar(&n.kms, "kms", "", "ARN of the bucket's KMS key")
	f.StringVar(&n.partition, "partition", "aws", "aws, aws-cn or aws-us-gov")
	return cmd
}

func (n iamNeeds) check() error {
	switch key := kmsForm.FindStringSubmatch(n.kms); {
	case !partitionForm.MatchString(n.partition):
		return fmt.Errorf("--partition: must be aws, aws-cn or aws-us-gov (got %q)", n.partition)
	case n.kms != "" && key == nil:
		return fmt.Errorf("--kms: must be the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID; policies know no aliases (got %q)", n.kms)
	case n.kms != "" && key[1] != n.partition:
		return fmt.Errorf("--kms: the key is in partition %s: add --partition %s", key[1], key[1])
	case strings.ContainsAny(n.prefix, "*?$") || strings.HasPrefix(n.prefix, "/"):
		return fmt.Errorf("--prefix: must not begin with \"/\" or contain *, ? or $, which mean something in a policy (got %q)", n.prefix)
	}
	return checkBucketName(n.bucket)
}

func checkBucketName(name string) error {
	if !bucketForm.MatchString(name) {
		return fmt.Errorf("--bucket: must be the name of a bucket (got %q)", name)
	}
	return nil
}

func (n iamNeeds) policy() policy {
	bucket := "arn:" + n.partition + ":s3:::" + n.bucket
	objects := bucket + "/" + n.prefix + "*"
	p := policy{policyVersion, []statement{allow("PutObjects", objects, "s3:PutObject")}}
	if n.read {
		list := allow("ListObjects", bucket, "s3:ListBucket")
		if n.prefix != "" {
			list.Condition = map[string]map[string]string{"StringLike": {"s3:prefix": n.prefix + "*"}}
		}
		p.Statement = append(p.Statement, list, allow("GetObjects", objects, "s3:GetObject"))
	}
	if n.kms != "" {
		key := allow("UseKey", n.kms, "kms:GenerateDataKey")
		if n.read {
			key.Action = append(key.Action, "kms:Decrypt")
		}
		p.Statement = append(p.Statement, key)
	}
	return p
}

func allow(sid, resource string, actions ...string) statement {
	return statement{Sid: sid, Effect: "Allow", Action: actions, Resource: []string{resource}}
}

// bucketNeeds is what a bucket policy is made for.
type bucketNeeds struct {
	bucket, principal string
	tls, once         bool
}

func newPolicyBucket() *cobra.Command {
	var n bucketNeeds
	cmd := &cobra.Command{
		Use:   "bucket --bucket BUCKET --principal ARN",
		Short: "For a bucket that a role of another account puts objects into",
		Long: `Bucket prints a policy for the bucket itself. It lets the principal, a role or
user of any account, put objects and do nothing else; what it runs as must be
allowed the same by its own account (spoolship policy iam).

With --write-once the bucket refuses uploads that could replace an object:
set conditional = "always" in [s3] then.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := n.check(); err != nil {
				return usage(err)
			}
			return printPolicy(cmd.OutOrStdout(), n.policy())
		},
	}
	f := cmd.Flags()
	f.StringVar(&n.bucket, "bucket", "", "name of the bucket")
	f.StringVar(&n.principal, "principal", "", "ARN of the role or user that puts objects")
	f.BoolVar(&n.tls, "require-tls", false, "refuse every request that is not encrypted on the way")
	f.BoolVar(&n.once, "write-once", false, "refuse uploads without If-None-Match")
	return cmd
}

func (n bucketNeeds) check() error {
	if !principalForm.MatchString(n.principal) {
		return fmt.Errorf("--principal: must be the ARN of a role, user or account, for example arn:aws:iam::123456789012:role/spoolship (got %q)", n.principal)
	}
	return checkBucketName(n.bucket)
}

// policy has the partition of the principal: no policy reaches across.
func (n bucketNeeds) policy() policy {
	bucket := "arn:" + principalForm.FindStringSubmatch(n.principal)[1] + ":s3:::" + n.bucket
	put := allow("PutObjects", bucket+"/*", "s3:PutObject")
	put.Principal = map[string]string{"AWS": n.principal}
	p := policy{policyVersion, []statement{put}}
	if n.tls {
		p.Statement = append(p.Statement, statement{
			Sid: "RequireTLS", Effect: "Deny", Principal: "*", Action: []string{"s3:*"}, Resource: []string{bucket, bucket + "/*"},
			Condition: map[string]map[string]string{"Bool": {"aws:SecureTransport": "false"}},
		})
	}
	if n.once {
		p.Statement = append(p.Statement, statement{
			Sid: "WriteOnce", Effect: "Deny", Principal: "*", Action: []string{"s3:PutObject"}, Resource: []string{bucket + "/*"},
			Condition: map[string]map[string]string{"Null": {"s3:if-none-match": "true"}},
		})
	}
	return p
}

func printPolicy(w io.Writer, p policy) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(p)
}
