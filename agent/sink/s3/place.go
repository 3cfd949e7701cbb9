package s3

import (
	"net/url"
	"strings"
)

// place is what hints name: where objects were meant to go.
type place struct {
	bucket, region, endpoint string
	pathStyle                bool
}

// newPlace names AWS's endpoint of the region if there is no other.
func newPlace(o Options, region string, endpoint *string) place {
	p := place{o.Bucket, region, awsEndpoint(region), o.PathStyle}
	if endpoint != nil {
		p.endpoint = *endpoint
	}
	return p
}

func awsEndpoint(region string) string { return "https://s3." + region + ".amazonaws.com" }

// aws reports whether the endpoint is one of AWS.
func (p place) aws() bool {
	u, err := url.Parse(p.endpoint)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}

// in is p in another region; an endpoint that was set stays.
func (p place) in(region string) place {
	if p.endpoint == awsEndpoint(p.region) {
		p.endpoint = awsEndpoint(region)
	}
	p.region = region
	return p
}

// hint fills the names of p into a template, and adds to it what only stores other
// than AWS do.
func (p place) hint(template string) string {
	if !p.aws() {
		others := othersAnswer[template]
		if template += others; others != "" && !p.pathStyle {
			template += "; set s3.path_style = true if the store does not know buckets by names of hosts"
		}
	}
	return strings.NewReplacer(
		"{bucket}", p.bucket, "{region}", p.region, "{endpoint}", p.endpoint,
	).Replace(template)
}

// othersAnswer is what else stores other than AWS mean by an answer of that hint.
var othersAnswer = map[string]string{
	hintBucket:    "; some stores say so to an access key that they don't know, or whose user has another tenant: check s3.access_key_id",
	hintAccess:    "; some stores say so to an access key that they don't know: check s3.access_key_id",
	hintSignature: ", and s3.region (\"{region}\")",
	hintRefused:   "; some stores say so to an access key that is not theirs: check s3.access_key_id",
}

// Hints that more than one rule gives, or that are compared.
const (
	hintClosed     = "{endpoint}, or a proxy on the way, closed the connection early: check s3.endpoint if this goes on, and that it speaks HTTP"
	hintNotS3      = "{endpoint} did not answer like S3: check s3.endpoint, and whether a proxy or a login page answers in its place"
	hintUnproved   = "{endpoint} did not answer like S3: its 200 proves nothing, since it has neither the object's SHA-256 nor an ETag that is its MD5; check s3.endpoint, and whether a proxy or a login page answers in its place. A store whose ETags are something else is believed over https"
	hintEchoes     = "{endpoint} did not answer like S3: it has repeated the SHA-256 of earlier objects, and does not any more; check whether a proxy or a login page answers in its place. After a change of the store, restart the agent"
	hintExpect     = "a proxy on the way to {endpoint} does not know \"Expect: 100-continue\", so it is not sent any more"
	hintChecksum   = "{endpoint} does not take x-amz-checksum-sha256: set s3.checksum = \"md5\", or \"auto\", which finds that out"
	hintSignature  = "check s3.secret_access_key, and that no proxy on the way to {endpoint} changes requests"
	hintPathStyle  = "{bucket} is put before the name of the host, and {endpoint} is not known by that name: set s3.path_style = true, which most stores other than AWS need"
	hintTwice      = "{bucket} is put before the name of the host in {endpoint}, which begins with it already: remove it from s3.endpoint"
	hintAccess     = "allow the action s3:PutObject on arn:aws:s3:::{bucket}/* for these credentials, and kms:GenerateDataKey if the bucket encrypts with its own KMS key"
	hintExpired    = "the session token of these credentials ran out: renew them, or use credentials that renew themselves (instance profile, web identity)"
	hintKey        = "{endpoint} does not know the access key: check s3.access_key_id or its file, or where the default AWS chain takes its credentials from"
	hintBucket     = "no such bucket: create bucket \"{bucket}\", or correct s3.bucket, s3.region (\"{region}\") or s3.endpoint ({endpoint})"
	hintRegion     = "bucket \"{bucket}\" is not in region \"{region}\": correct s3.region or s3.endpoint ({endpoint})"
	hintEncryption = "{endpoint} can't encrypt so: correct s3.encryption and s3.kms_key_id, or remove them to leave it to bucket \"{bucket}\""
	hintTooBig     = "{endpoint} takes no objects of this size: set a smaller chunk.max_size, or raise the limit of the proxy in front of it"
	hintQuota      = "the quota of bucket \"{bucket}\" at {endpoint} is used up: raise it, or delete old objects"
	hintRefused    = "{endpoint} refuses the request as such: check s3.bucket (\"{bucket}\"), s3.region (\"{region}\") and s3.endpoint"
	hintDNS        = "the name of the endpoint can't be resolved: check this machine's DNS, s3.region (\"{region}\") and s3.endpoint ({endpoint})"
	hintDial       = "nothing accepts connections: check that {endpoint} is up, s3.endpoint, and firewalls on the way"
	hintSlow       = "{endpoint} did not answer in time: check s3.endpoint, and firewalls on the way; raise s3.timeout if the network is slow"
	hintProxy      = "the proxy can't be reached: check s3.proxy, or HTTPS_PROXY and NO_PROXY in this process's environment"
	hintTunnel     = "the proxy refuses to connect to {endpoint}: have it allow that, or correct s3.proxy or HTTPS_PROXY; NO_PROXY names hosts to reach without it"
	hintCert       = "the certificate of {endpoint} is not trusted: check this machine's clock and s3.endpoint, or name the certificate authority's file in s3.ca_file"
	hintNoTLS      = "{endpoint} does not speak TLS: write http:// in s3.endpoint, or correct the port"
	hintRole       = "the role was not given: its trust policy has to allow sts:AssumeRole (or sts:AssumeRoleWithWebIdentity) for these credentials; check s3.role_arn, s3.external_id, s3.duration and s3.sts_endpoint"
	//nolint:gosec // advice on credentials, not credentials
	hintCreds = "set s3.access_key_id and s3.secret_access_key (or their files, s3.credentials_file or s3.profile), or give this process credentials of the default AWS chain (environment, ~/.aws, web identity, container or instance profile) that allow s3:PutObject on arn:aws:s3:::{bucket}/*"
)
