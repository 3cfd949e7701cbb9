//go:build e2e

package outage

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	fmt.Printf(head, "outage", "lines", "lost", "doubled", "RSS", "of it anon", "unread", "at once", "drained in")
	goleak.VerifyTestMain(m)
}

const (
	head = "%-22s %9s %6s %8s %9s %11s %9s %8s %11s\n"
	row  = "%-22s %9d %6d %8d %5.0f MiB %7.0f MiB %5.1f MB %8d %9.1f s\n"
)
