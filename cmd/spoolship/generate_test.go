//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// manuals runs the command as packages do and returns its directory.
func manuals(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if code := run([]string{"generate", "../../config.example.toml", dir}); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	return dir
}

func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every visible command and every setting of the example is in its page.
func TestManualIsComplete(t *testing.T) {
	dir := manuals(t)
	commands := page(t, filepath.Join(dir, "spoolship.1"))
	for _, c := range newRoot().Commands() {
		if in := strings.Contains(commands, "\n.SS "+roff(c.UseLine())+"\n"); in == c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			t.Errorf("%s in the page: %v, hidden: %v", c.Name(), in, c.Hidden)
		}
	}
	settings := page(t, filepath.Join(dir, "spoolship.toml.5"))
	found := regexp.MustCompile(`(?m)^(?:# )?([a-z0-9_]+ = .*)$`).FindAllStringSubmatch(page(t, "../../config.example.toml"), -1)
	if len(found) < 40 {
		t.Fatalf("only %d settings in the example", len(found))
	}
	for _, m := range found {
		if !strings.Contains(settings, "\n"+roff(m[1])+"\n") {
			t.Errorf("not in the page: %s", m[1])
		}
	}
}

// man's own formatter has nothing to say about the pages.
func TestManualIsSound(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed")
	}
	dir := manuals(t)
	for _, name := range []string{"spoolship.1", "spoolship.toml.5"} {
		out, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// A shell takes the completions.
func TestCompletionsParse(t *testing.T) {
	dir := manuals(t)
	for shell, name := range map[string]string{"bash": "spoolship.bash", "zsh": "_spoolship", "fish": "spoolship.fish"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if path, err := exec.LookPath(shell); err == nil {
			if out, err := exec.Command(path, "-n", filepath.Join(dir, name)).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
	}
}

func TestGenerateMistakes(t *testing.T) {
	if code := run([]string{"generate", "one"}); code != exitUsage {
		t.Errorf("one argument: exit code %d", code)
	}
	if code := run([]string{"generate", "../../config.example.toml", filepath.Join(t.TempDir(), "absent")}); code != exitFailure {
		t.Errorf("no directory: exit code %d", code)
	}
}
