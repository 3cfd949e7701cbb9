// Package s3 puts objects into an Amazon S3 bucket, or into a store that
// speaks its protocol.
//
// # Requests
//
// PutObject is the only call of S3 that is ever made, so s3:PutObject is the
// only permission on the bucket that is ever needed; a configured role is
// assumed at STS first. One Put is one request: the SDK's retries are
// off and redirects are not followed, because the shipper owns retrying.
//
// The object's SHA-256 is known before it is sent. It goes out twice: as the
// payload hash of Signature Version 4 and as the object's checksum, both as
// plain headers. So the body is read once, no trailer encoding is needed (many
// stores refuse it), and the store itself turns away bytes that were damaged on
// the way. A store that does not take the checksum gets Content-MD5 instead, for
// which the body is read once more. There is no Content-Encoding: a reader gets
// the bytes that were put.
//
// A conditional request (Object.IfAbsent) says "Expect: 100-continue": it is
// sent where an earlier attempt is in doubt, so "exists already" is a likely
// answer, and it should come before the body is sent, not after, and not as a
// reset in the middle. Unconditional requests do not pay that round trip.
//
// # Success
//
// An object counts as stored if the answer is 200, has an ETag, has no HTML or
// error document as its body, and proves that a store has the object: it repeats
// the checksum, or its ETag is the object's MD5. Once an endpoint has repeated a
// checksum, and from the start at AWS, only that counts; a Sink remembers it until
// it is closed, and a new one begins with either proof. Where objects are encrypted
// with keys of KMS or of the customer, their ETags are not their MD5; there a
// request id is believed over TLS, or beside the name of that encryption. Any other
// answer of the 2xx family comes from something that is not S3, and is an error
// that leaves the object in doubt.
//
// # Corrections
//
// Where S3 names the bucket's region, later requests are signed for it and, at
// AWS, go to its endpoint. Where this machine's clock is too wrong for a
// signature, later requests carry the server's time. Where x-amz-checksum-sha256
// is refused, Content-MD5 takes its place, and where a proxy answers 417 to
// "Expect: 100-continue", it is left out. Each is told once, as sink.Adapted.
//
// Anybody who answers can make such claims, so two are followed between two
// successes, or in a minute. A region that leads to no answer is given up for the
// one that was set. A redirection to a URL is never followed.
//
// # Connections
//
// HTTP/1.1 with keep-alive, one upload per connection, so that parallel uploads
// do not share one congestion window; up to Options.MaxConns connections, idle
// ones kept for 15 seconds (S3 closes them soon after). TLS 1.2 or newer.
// Proxies come from Way.Proxy or else HTTPS_PROXY, HTTP_PROXY and NO_PROXY;
// additional certificate authorities from Way.CAFile or else AWS_CA_BUNDLE.
//
//	dial                  10 s
//	TLS handshake         10 s
//	100-continue           1 s, then the body is sent all the same
//	answer                60 s from the end of the body to the status line
//	whole attempt         Options.Timeout, more for large objects
//
// # Limits of answers
//
// Nobody who answers is trusted to stop. Heads have at most 64 KiB; bodies, which
// are never decompressed, 64 KiB and 20 seconds, a page of a listing 8 MiB and 2
// minutes, an object the bytes that were announced for it and the time that
// uploading it would have. This holds for STS, SSO and the metadata services as
// well, and none of them is followed to another host.
//
// # What is absent
//
// Multipart uploads, reads and listings need more permissions. Customer-provided
// encryption keys (SSE-C) would have to be known to every reader.
package s3
