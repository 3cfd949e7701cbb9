package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/spoolship/spoolship/agent/sink"
)

// ObjectOptions is what every object is put with. The zero value leaves it all
// to the bucket. Some of it needs permissions besides s3:PutObject:
// s3:PutObjectAcl for an ACL, s3:PutObjectTagging for tags, and the use of the
// key for KMS.
type ObjectOptions struct {
	ContentType  string            // "": the object's own
	Metadata     map[string]string // beside the object's own, which wins
	Tags         map[string]string
	ACL          string // canned, for example "bucket-owner-full-control"
	StorageClass string
	Encryption   string // "AES256", "aws:kms", "aws:kms:dsse"
	KMSKeyID     string // key id, ARN or alias; "": the account's key for S3
	BucketKey    bool   // with KMS: fewer calls of KMS
	RequestPayer bool   // this account agrees to pay for requests
	BucketOwner  string // account id: a bucket of any other is refused
}

// check returns every mistake in o that would otherwise be without effect.
func (o ObjectOptions) check() []error {
	kms := strings.HasPrefix(o.Encryption, "aws:kms")
	if !kms && (o.KMSKeyID != "" || o.BucketKey) {
		return []error{errors.New(`s3.kms_key_id and s3.bucket_key: set without s3.encryption = "aws:kms"; set it, or remove them`)}
	}
	return nil
}

// apply puts o into a request.
func (o ObjectOptions) apply(in *awss3.PutObjectInput) {
	text := func(to **string, value string) {
		if value != "" {
			*to = &value
		}
	}
	text(&in.ContentType, o.ContentType)
	text(&in.SSEKMSKeyId, o.KMSKeyID)
	text(&in.ExpectedBucketOwner, o.BucketOwner)
	text(&in.Tagging, o.tagging())
	in.ACL = types.ObjectCannedACL(o.ACL)
	in.StorageClass = types.StorageClass(o.StorageClass)
	in.ServerSideEncryption = types.ServerSideEncryption(o.Encryption)
	if o.BucketKey {
		in.BucketKeyEnabled = aws.Bool(true)
	}
	in.RequestPayer = o.payer()
}

// tagging writes the tags as S3 wants them: as a query.
func (o ObjectOptions) tagging() string {
	q := url.Values{}
	for k, v := range o.Tags {
		q.Set(k, v)
	}
	return q.Encode()
}

// metadata is the object's own and what o adds.
func (o ObjectOptions) metadata(of *sink.Object) map[string]string {
	if len(o.Metadata) == 0 {
		return of.Metadata
	}
	m := make(map[string]string, len(o.Metadata)+len(of.Metadata))
	for k, v := range o.Metadata {
		m[strings.ToLower(k)] = v
	}
	for k, v := range of.Metadata {
		m[k] = v
	}
	return m
}

// ParsePairs reads "name=value,name=value", as tags and metadata are configured.
func ParsePairs(setting, text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if _, twice := pairs[name]; !ok || name == "" || twice {
			return nil, fmt.Errorf("%s: must be name=value, several joined by commas, each name once", setting)
		}
		pairs[name] = strings.TrimSpace(value)
	}
	return pairs, nil
}
