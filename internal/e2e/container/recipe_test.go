//go:build e2e

package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const checkout = "../../.."

// image is what packaging/Containerfile makes.
type image struct {
	root             string
	user             string
	entrypoint, args []string
}

// build does what the recipe says, as far as it uses the few instructions and
// forms known here: its first stage in a directory that stands for the workdir.
func build(t *testing.T) *image {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(checkout, "packaging/Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	im := &image{root: t.TempDir()}
	if err := os.Chmod(im.root, 0o755); err != nil {
		t.Fatal(err)
	}
	stage, workdir, stages := t.TempDir(), "", 0
	environ := append(os.Environ(), "GOFLAGS=")
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
		case word == "FROM":
			stages++
		case word == "WORKDIR" && stages == 1:
			workdir = rest
		case word == "ARG" && stages == 1:
			environ = append(environ, rest)
		case word == "RUN" && stages == 1:
			run(t, stage, environ, "sh", "-ec", rest)
		case word == "COPY" && stages == 1:
			paths := strings.Fields(rest)
			to := filepath.Join(stage, paths[len(paths)-1])
			for _, from := range paths[:len(paths)-1] {
				run(t, checkout, nil, "cp", "-R", from, to)
			}
		case word == "COPY" && stages == 2:
			im.copy(t, strings.Fields(rest), stage, workdir)
		case word == "USER":
			im.user = rest
		case word == "VOLUME":
		case word == "ENTRYPOINT":
			im.entrypoint = list(t, rest)
		case word == "CMD":
			im.args = list(t, rest)
		default:
			t.Fatalf("the test can't do %q", line)
		}
	}
	if stages != 2 || im.user == "" || len(im.entrypoint) != 1 {
		t.Fatalf("%d stages, user %q, entrypoint %q", stages, im.user, im.entrypoint)
	}
	return im
}

// copy takes files of the first stage, or else of this machine, whose
// certificates stand for those of the first stage's image.
func (im *image) copy(t *testing.T, words []string, stage, workdir string) {
	t.Helper()
	owner, fromStage := "0:0", false
	for strings.HasPrefix(words[0], "--") {
		if name, ok := strings.CutPrefix(words[0], "--chown="); ok {
			owner = name
		}
		fromStage = fromStage || words[0] == "--from=build"
		words = words[1:]
	}
	if len(words) != 2 || !fromStage {
		t.Fatalf("the test can't copy %q", words)
	}
	from := words[0]
	if rest, ok := strings.CutPrefix(from, workdir+"/"); ok {
		from = filepath.Join(stage, rest) + "/." // of a directory its content is copied
	}
	to := filepath.Join(im.root, words[1])
	files := t.TempDir()
	run(t, "", nil, "cp", "-RL", from, files)
	run(t, "", nil, "chown", "-R", owner, files)
	run(t, "", nil, "mkdir", "-p", to)
	run(t, "", nil, "cp", "-Rp", files+"/.", to)
}

func list(t *testing.T, json string) (words []string) {
	t.Helper()
	for word := range strings.SplitSeq(strings.Trim(json, "[] "), ",") {
		words = append(words, strings.Trim(word, ` "`))
	}
	return words
}

func run(t *testing.T, dir string, environ []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, environ
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s", cmd, err, out))
	}
}
