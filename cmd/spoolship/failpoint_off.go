//go:build !failpoint && unix

package main

import "github.com/spoolship/spoolship/agent/sink"

// mutant changes nothing in the production binary.
func mutant(s sink.Sink) sink.Sink { return s }

// failpoint is nil in the production binary: no step can be made to fail.
func failpoint() func(string) error { return nil }
