//go:build !failpoint && unix

package main

// failpoint is nil in the production binary: no step can be made to fail.
func failpoint() func(string) error { return nil }
