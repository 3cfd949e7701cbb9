//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// binary is a copy of the agent's that every user can run.
var binary string

func TestMain(m *testing.M) {
	dir, err := copyBinary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
	fmt.Printf(rowFormat, "input", "seen", "bound")
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// copyBinary copies bin/spoolship, or SPOOLSHIP_BIN, to where an unprivileged
// user finds it.
func copyBinary() (dir string, err error) {
	from := os.Getenv("SPOOLSHIP_BIN")
	if from == "" {
		from = "../../../bin/spoolship"
	}
	program, err := os.ReadFile(from)
	if err != nil {
		return "", fmt.Errorf("%w: build it with make build, or set SPOOLSHIP_BIN", err)
	}
	if dir, err = os.MkdirTemp("", "hostile"); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "spoolship")
	if err := os.WriteFile(binary, program, 0o755); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

const rowFormat = "%-64s %-44s %s\n"

// row prints what was seen of one hostile input, and the bound it must keep; it
// fails the test where it did not.
func row(t *testing.T, ok bool, input, seen, bound string) {
	t.Helper()
	fmt.Printf(rowFormat, input, seen, bound)
	if !ok {
		t.Errorf("%s: %s; want %s", input, seen, bound)
	}
}
