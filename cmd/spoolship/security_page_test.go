//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every bound that SECURITY.md claims names a test, and all that it names exist.
func TestSecurityPage(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	defined := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(b, -1) {
			defined[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`(Test\\w+)`")
	rows, bounds := 0, false
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			bounds = false
			continue
		case strings.TrimSpace(cells[len(cells)-1]) == "test":
			bounds = true
			continue
		case !bounds || strings.HasPrefix(line, "|---"):
			continue
		}
		rows++
		found := name.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(found) == 0 {
			t.Errorf("no test holds: %s", line)
		}
		for _, m := range found {
			if !defined[m[1]] {
				t.Errorf("there is no test %s, which is to hold: %s", m[1], line)
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d bounds were found", rows)
	}
}
