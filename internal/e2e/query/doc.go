// Package query has DuckDB read what the agent shipped: the statements of
// docs/query.md as they stand there, over the directory of an S3 server that the
// real binary has filled with the default key. make query runs it; DuckDB comes
// from npm.
package query
