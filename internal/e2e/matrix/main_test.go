//go:build e2e

package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// binary is the agent's.
var binary string

func TestMain(m *testing.M) {
	from := os.Getenv("SPOOLSHIP_BIN")
	if from == "" {
		from = "../../../bin/spoolship"
	}
	var err error
	if binary, err = filepath.Abs(from); err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "matrix: %v: build it with make build, or set SPOOLSHIP_BIN\n", err)
		os.Exit(1)
	}
	fmt.Printf(rowFormat, "case", "lines", "lost", "duplicated")
	goleak.VerifyTestMain(m)
}

const rowFormat = "%-52s %9v %6v %11v\n"
