package crash

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(fakeMode); mode != "" {
		os.Exit(fakeAgent(mode, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
