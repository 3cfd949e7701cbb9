//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// systemd starts the agent again, but not where that can't help or would ship
// everything once more.
func TestUnitRestarts(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/spoolship.service")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\nRestartPreventExitStatus=%d %d\n", exitUsage, exitVanished); !strings.Contains(string(unit), want) {
		t.Errorf("the unit has no line %q", want)
	}
	for _, code := range []string{fmt.Sprint("  ", exitVanished, " "), fmt.Sprint("  ", exitPartial, " "), fmt.Sprint("  ", exitTemporary, " ")} {
		if !strings.Contains(exitHelp, code) {
			t.Errorf("the help does not know exit code %s", code)
		}
	}
}

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
