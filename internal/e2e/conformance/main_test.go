//go:build e2e

package conformance

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	fmt.Printf(rowFormat, "server", "case", "result", "seconds")
	goleak.VerifyTestMain(m)
}

const rowFormat = "%-18s %-16s %-8s %7s\n"
