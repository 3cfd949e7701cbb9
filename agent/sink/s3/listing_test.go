package s3

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// listed is a page of n objects as S3 writes it.
func listed(n int) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>`)
	b.WriteString(`<KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><NextContinuationToken>a+b/&amp;=</NextContinuationToken>`)
	for i := range n {
		fmt.Fprintf(&b, `<Contents><Key>app/dt=2026-01-02/hour=03/host-%06d-0123456789abcdef-00000000000000000001-1000-00112233445566aa.ndjson.gz</Key>`, i)
		b.WriteString(`<LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>`)
		b.WriteString(`<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><Owner><ID>x</ID></Owner><Size>123456</Size><StorageClass>STANDARD</StorageClass></Contents>`)
	}
	b.WriteString("<CommonPrefixes><Prefix>p&lt;/</Prefix></CommonPrefixes></ListBucketResult>\n")
	return b.String()
}

// slowly reads a page by the SDK's decoder: what Reader.List looks at of it, or nil.
func slowly(t testing.TB, page string) *awss3.ListObjectsV2Output {
	transport := fakeTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(page))}, nil
	})
	c := awss3.New(awss3.Options{Region: "us-east-1", HTTPClient: &http.Client{Transport: transport}, Credentials: aws.AnonymousCredentials{}, RetryMaxAttempts: 1})
	all, err := c.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("bucket")})
	if err != nil {
		return nil
	}
	out := &awss3.ListObjectsV2Output{IsTruncated: all.IsTruncated, NextContinuationToken: all.NextContinuationToken, CommonPrefixes: all.CommonPrefixes}
	for _, o := range all.Contents {
		out.Contents = append(out.Contents, types.Object{Key: o.Key, Size: o.Size})
	}
	return out
}

type fakeTrip func(*http.Request) (*http.Response, error)

func (f fakeTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What the fast decoder takes, it reads as the SDK's does; pages as stores write them
// are taken.
func FuzzParseListing(f *testing.F) {
	plain := listed(2)
	if parseListing([]byte(plain)) == nil {
		f.Fatal("a plain page is not taken")
	}
	for _, page := range []string{
		plain, "<ListBucketResult></ListBucketResult>", "<ListBucketResult/>", strings.Replace(plain, "host", "<![CDATA[host]]>", 1),
		strings.Replace(plain, "host", "<!-- x -->host", 1), strings.Replace(plain, "host", "h&#xe4;st", 1), strings.Replace(plain, "host", "h\r\nst", 1),
		strings.ReplaceAll(plain, "Contents>", "s:Contents>"), strings.Replace(plain, "<Contents>", "<Contents a='>'>", 1), plain[:len(plain)-30],
	} {
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page string) {
		fast := parseListing([]byte(page))
		if fast == nil {
			return
		}
		if slow := slowly(t, page); slow != nil && !reflect.DeepEqual(fast, slow) {
			t.Errorf("%q is read as %+v; the SDK reads %+v", page, fast, slow)
		}
	})
}

func BenchmarkParseListing(b *testing.B) {
	page := listed(1000)
	b.Run("fast", func(b *testing.B) {
		for b.Loop() {
			parseListing([]byte(page))
		}
	})
	b.Run("SDK", func(b *testing.B) {
		for b.Loop() {
			slowly(b, page)
		}
	})
}
