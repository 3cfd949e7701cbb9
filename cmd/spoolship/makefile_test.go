//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The Go of Debian 12 ends every target at once, with what is needed and where it is.
func TestMakefileAsksForGo(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("skipped: make is missing")
	}
	fake := filepath.Join(t.TempDir(), "go")
	for version, ok := range map[string]bool{
		"go version go1.19.8 linux/amd64": false, "go version go1.25.9 linux/amd64": false, "": false,
		"go version go1.26.0 linux/amd64": true, "go version go1.30.1 linux/arm64": true, "go version devel go1.27-0123456789 Mon linux/amd64": true,
	} {
		if err := os.WriteFile(fake, fmt.Appendf(nil, "#!/bin/sh\necho '%s'\n", version), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"test", "demo"} {
			cmd := exec.Command("make", "-n", "GO="+fake, target)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			told := strings.Contains(string(out), "or later is needed") && strings.Contains(string(out), "https://go.dev/dl/")
			if (err == nil) != ok || told == ok {
				t.Errorf("%q, make %s: %v\n%s", version, target, err, out)
			}
		}
	}
	cmd := exec.Command("make", "-n", "GO=/nonexistent/go", "clean")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("make clean: %v\n%s", err, out)
	}
}
