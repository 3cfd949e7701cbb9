//go:build unix

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The unit's sandbox leaves an exposure of 1.5 or less of 10, by systemd's own
// count (its threshold is in tenths).
func TestUnitExposure(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	if help, _ := exec.Command(analyze, "--help").CombinedOutput(); !strings.Contains(string(help), "--threshold") {
		t.Skip("this systemd-analyze can't look at files")
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", "../../packaging/spoolship.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
