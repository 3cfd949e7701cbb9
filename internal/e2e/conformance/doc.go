// Package conformance puts the agent's sink before S3 servers that were written
// by different people, with the suite of agent/sink/sinktest.
//
//	fault server  sinktest's own: strict about signature, length and checksums
//	versitygw     a gateway over a directory, as a child process
//	gofakes3      a store in memory
//
// What a server can't do is skipped by name, with the reason, and a test sees to
// it that the reason still holds.
package conformance
