// Package s3dev is S3 for tests: servers on loopback that hold a bucket, and
// a front that keeps them honest and makes them fail.
//
//	Memory      an embedded store (gofakes3)
//	Discard     reads every body, keeps nothing: the other end of a benchmark
//	StartVersity  versitygw as a child process: a second, independent S3
//
// A Front stands before Memory or versitygw. It refuses a PUT whose body does
// not have the SHA-256 that its headers promise (gofakes3 would take it),
// remembers the digest of every key (so that a key stored twice with
// different bytes is noticed), and injects the Faults it is given.
//
// A Server listens; Down and Up take it off the network and back, on the same
// port. Nothing here is meant for production.
package s3dev
