//go:build packagetest

package packagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The rpm is asked what it is and has, installed into a root in which nothing
// runs, upgraded and erased.
func TestRPM(t *testing.T) {
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skip("skipped: no rpm here")
	}
	file, base := setting(t, "SPOOLSHIP_RPM"), setting(t, "SPOOLSHIP_ROOT")
	began := time.Now()
	root, _ := copyOf(t, base)
	rpm := func(args ...string) string {
		t.Helper()
		// The database is that of the root, and what it lacks is Debian's.
		out, err := exec.Command("rpm", append([]string{"--root", root, "--nodeps"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("rpm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	query := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("rpm", append(args, "-p", file)...).CombinedOutput()
		if err != nil {
			t.Fatalf("rpm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if got := query("-q", "--queryformat", "%{NAME} %{ARCH} %{LICENSE}"); !strings.HasPrefix(got, "spoolship ") || !strings.HasSuffix(got, " Apache-2.0") {
		t.Errorf("it says that it is %s", got)
	}
	const conf = "/etc/spoolship/spoolship.toml"
	if got := strings.TrimSpace(query("-q", "--configfiles")); got != conf {
		t.Errorf("configuration files: %s", got)
	}
	if out := rpm("--install", file); !strings.Contains(out, "set [s3] bucket") {
		t.Errorf("the installation does not say what to do next:\n%s", out)
	}
	out, err := exec.Command("chroot", root, "stat", "-c", "%a %U:%G", conf).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "640 root:spoolship" {
		t.Errorf("the configuration is %s, %v", got, err)
	}
	if out, err := exec.Command("chroot", root, "spoolship", "version").CombinedOutput(); err != nil {
		t.Errorf("spoolship version: %v\n%s", err, out)
	}
	rpm("--verify", "spoolship")
	step("rpm", "installed into a root, verified", began)

	began = time.Now()
	changed := []byte("# mine\n")
	if err := os.WriteFile(filepath.Join(root, conf), changed, 0o640); err != nil {
		t.Fatal(err)
	}
	rpm("--upgrade", "--replacepkgs", file)
	if got, err := os.ReadFile(filepath.Join(root, conf)); err != nil || string(got) != string(changed) {
		t.Errorf("an upgrade leaves %q, %v", got, err)
	}
	rpm("--erase", "spoolship")
	if got, err := os.ReadFile(filepath.Join(root, conf+".rpmsave")); err != nil || string(got) != string(changed) {
		t.Errorf("a removal keeps %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/spoolship")); err == nil {
		t.Error("a removal leaves the binary")
	}
	if t.Failed() {
		return
	}
	step("rpm", "upgraded and removed, a changed configuration is kept", began)
}
