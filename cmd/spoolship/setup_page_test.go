//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spoolship/spoolship/agent"
	"github.com/spoolship/spoolship/agent/config"
)

var (
	docTOML    = regexp.MustCompile("(?s)```toml\n(.*?)```")
	docPolicy  = regexp.MustCompile(`(?m)^spoolship (policy .*?) > `)
	docSetting = regexp.MustCompile("`(encryption|acl|conditional) = \"([^`]*)\"`")
)

// What the page on setting up a bucket shows can be used as it stands. Its
// mapping is TestMapping's.
func TestSetupPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/s3-setup.md")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, m := range docTOML.FindAllStringSubmatch(string(page), -1) {
		files = append(files, m[1])
	}
	for _, m := range docSetting.FindAllStringSubmatch(string(page), -1) {
		files = append(files, "[s3]\nbucket = \"my-events\"\n"+m[1]+" = \""+m[2]+"\"\n")
	}
	if len(files) < 5 {
		t.Errorf("only %d settings found", len(files))
	}
	for _, text := range files {
		name := filepath.Join(t.TempDir(), "spoolship.toml")
		text += "\n[[input]]\nname = \"app\"\ninclude = [\"/var/log/app/*.log\"]\n"
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, warnings, err := config.Load(name, func(string) (string, bool) { return "", false })
		if err != nil || len(warnings) > 0 {
			t.Errorf("%v, %v\n%s", err, warnings, text)
			continue
		}
		if problems := agent.CheckKeys(c); len(problems) > 0 {
			t.Errorf("%v\n%s", problems, text)
		}
	}
	commands := docPolicy.FindAllStringSubmatch(string(page), -1)
	if len(commands) != 2 {
		t.Errorf("%d commands", len(commands))
	}
	for _, m := range commands {
		root := newRoot()
		root.SetArgs(strings.Fields(m[1]))
		var out strings.Builder
		root.SetOut(&out)
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), "s3:PutObject") {
			t.Errorf("%s: %v\n%s", m[1], err, out.String())
		}
	}
}
