// Package sinktest tests sinks, and what uses them.
//
// Server is an S3 endpoint over real HTTP that knows PutObject and nothing else.
// It is strict where stores are (signature, payload hash, checksum, length, the
// bucket's name) and can be told to have each kind of bad day. Conformance is
// the suite that every sink.Sink must pass.
//
// It is for tests only and must not be imported by anything else.
package sinktest
