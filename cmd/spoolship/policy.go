//go:build unix

package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// putNeeds is what putting objects takes in either policy.
type putNeeds struct {
	bucket, prefix string
	acl, tags      bool
}

func (n *putNeeds) flags(f *pflag.FlagSet) {
	f.StringVar(&n.bucket, "bucket", "", "name of the bucket")
	f.StringVar(&n.prefix, "prefix", "", "allow only keys that begin with it, as s3.prefix does")
	f.BoolVar(&n.acl, "acl", false, "allow what s3.acl needs, s3:PutObjectAcl")
	f.BoolVar(&n.tags, "tags", false, "allow what s3.tags needs, s3:PutObjectTagging")
}

func (n *putNeeds) check() error {
	switch {
	case !bucketForm.MatchString(n.bucket):
		return fmt.Errorf("--bucket: must be the name of a bucket (got %q)", n.bucket)
	case strings.ContainsAny(n.prefix, "*?$") || strings.HasPrefix(n.prefix, "/"):
		return fmt.Errorf("--prefix: must not begin with \"/\" or contain *, ? or $, which mean something in a policy (got %q)", n.prefix)
	}
	return nil
}

// arns are those of the bucket and of the objects below the prefix.
func (n *putNeeds) arns(partition string) (bucket, objects string) {
	bucket = "arn:" + partition + ":s3:::" + n.bucket
	return bucket, bucket + "/" + n.prefix + "*"
}

func (n *putNeeds) put(objects string) statement {
	s := allow("PutObjects", objects, "s3:PutObject")
	if n.acl {
		s.Action = append(s.Action, "s3:PutObjectAcl")
	}
	if n.tags {
		s.Action = append(s.Action, "s3:PutObjectTagging")
	}
	return s
}

// iamNeeds is what an IAM policy is made for.
type iamNeeds struct {
	putNeeds
	partition, kms string
	read           bool
}

func newPolicyIAM() *cobra.Command {
	var n iamNeeds
	cmd := &cobra.Command{
		Use:   "iam --bucket BUCKET",
		Short: "For the user or role that the agent runs as",
		Long: `Iam prints a policy to attach to the IAM user or role that the agent runs as.
It allows s3:PutObject and nothing else; --read adds what reading objects back
takes, --kms the use of the key that the bucket is encrypted with, and --acl
and --tags what those settings of [s3] need.
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := n.check(); err != nil {
				return usage(err)
			}
			return printJSON(cmd.OutOrStdout(), n.policy())
		},
	}
	f := cmd.Flags()
	n.flags(f)
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
	}
	return n.putNeeds.check()
}

func (n iamNeeds) policy() policy {
	bucket, objects := n.arns(n.partition)
	p := policy{policyVersion, []statement{n.put(objects)}}
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
	putNeeds
	principal             string
	tls, once, encryption bool
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
set conditional = "always" in [s3] then. With --require-encryption it refuses
uploads that leave their encryption to the bucket: set encryption in [s3].
` + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := n.check(); err != nil {
				return usage(err)
			}
			return printJSON(cmd.OutOrStdout(), n.policy())
		},
	}
	f := cmd.Flags()
	n.flags(f)
	f.StringVar(&n.principal, "principal", "", "ARN of the role or user that puts objects")
	f.BoolVar(&n.tls, "require-tls", false, "refuse every request that is not encrypted on the way")
	f.BoolVar(&n.encryption, "require-encryption", false, "refuse uploads that name no encryption")
	f.BoolVar(&n.once, "write-once", false, "refuse uploads without If-None-Match")
	return cmd
}

func (n bucketNeeds) check() error {
	if !principalForm.MatchString(n.principal) {
		return fmt.Errorf("--principal: must be the ARN of a role, user or account, for example arn:aws:iam::123456789012:role/spoolship (got %q)", n.principal)
	}
	return n.putNeeds.check()
}

// policy has the partition of the principal: no policy reaches across.
func (n bucketNeeds) policy() policy {
	bucket, objects := n.arns(principalForm.FindStringSubmatch(n.principal)[1])
	put := n.put(objects)
	put.Principal = map[string]string{"AWS": n.principal}
	p := policy{policyVersion, []statement{put}}
	deny := func(sid, action, operator, key, value string, resources ...string) {
		p.Statement = append(p.Statement, statement{
			Sid: sid, Effect: "Deny", Principal: "*", Action: []string{action}, Resource: resources,
			Condition: map[string]map[string]string{operator: {key: value}},
		})
	}
	if n.tls {
		deny("RequireTLS", "s3:*", "Bool", "aws:SecureTransport", "false", bucket, bucket+"/*")
	}
	if n.encryption {
		deny("RequireEncryption", "s3:PutObject", "Null", "s3:x-amz-server-side-encryption", "true", bucket+"/*")
	}
	if n.once {
		deny("WriteOnce", "s3:PutObject", "Null", "s3:if-none-match", "true", bucket+"/*")
	}
	return p
}
