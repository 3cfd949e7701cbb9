package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spoolship/spoolship/agent/config"
	"github.com/spoolship/spoolship/agent/sink"
)

const (
	childDir  = "SPOOLSHIP_TEST_DIR"
	childStep = "SPOOLSHIP_TEST_STEP" // name of the step to die at, colon, how many times it is passed before
)

// dirSink keeps objects as files, so that they outlive the process: body and
// metadata, under an escaped key. An object that changes is an error.
type dirSink struct {
	dir string
	up  func() bool // false: nothing is taken
}

func (d *dirSink) Put(_ context.Context, o *sink.Object) error {
	body, err := io.ReadAll(o.Body)
	if err != nil || !d.up() {
		return &sink.Error{Code: "down", Err: errors.Join(errors.New("the store is down"), err)}
	}
	path := filepath.Join(d.dir, strings.ReplaceAll(o.Key, "/", "!"))
	if old, err := os.ReadFile(path); err == nil {
		if string(old) != string(body) {
			return &sink.Error{Class: sink.Config, Code: "changed", Err: fmt.Errorf("object %s changed", o.Key)}
		}
		return nil
	}
	meta, err := json.Marshal(o.Metadata)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(path+".meta", meta, 0o600),
		os.WriteFile(path+".tmp", body, 0o600), os.Rename(path+".tmp", path),
	)
}

// stored is an object of a dirSink.
type stored struct {
	key   string
	lines []string
	meta  map[string]string
}

// read returns all objects, by key.
func (d *dirSink) read(t *testing.T) []stored {
	t.Helper()
	files, err := os.ReadDir(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []stored
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".meta") || strings.HasSuffix(f.Name(), ".tmp") {
			continue
		}
		o := stored{key: strings.ReplaceAll(f.Name(), "!", "/")}
		body, err := os.ReadFile(filepath.Join(d.dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 0 {
			o.lines = strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
		}
		meta, err := os.ReadFile(filepath.Join(d.dir, f.Name()+".meta"))
		if err == nil {
			err = json.Unmarshal(meta, &o.meta)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// childWork is one life of the agent: a scenario by the name of its directory.
type childWork func(dir string) (c *config.Config, up func(*Agent) bool)

// runChild ships what is in dir, uncompressed, and dies by SIGKILL at the step
// it was told. The store is up once the scenario says so.
func runChild(dir, at string) {
	step, count, _ := strings.Cut(at, ":")
	left, _ := strconv.Atoi(count)
	scenario, _, _ := strings.Cut(filepath.Base(dir), "-")
	c, up := childScenarios[scenario](dir)
	var a *Agent
	dest := &dirSink{dir: filepath.Join(dir, "bucket"), up: func() bool { return up(a) }}
	steps := make(chan struct{}, 1) // hooks are called by several goroutines
	a, err := New(Options{Config: c, Sink: dest, Once: true, Hook: func(s string) error {
		steps <- struct{}{}
		defer func() { <-steps }()
		if s == step {
			if left == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			left--
		}
		return nil
	}})
	if err == nil {
		err = a.Run(context.Background())
	}
	if err != nil && !errors.Is(err, ErrUnread) { // tombstones are meant to be there
		fmt.Println(err)
		os.Exit(1)
	}
}

// crash runs a child in dir until it dies at a step, or is done.
func crash(t *testing.T, dir, at string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childStep+"="+at)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	return false
}

// childDirFor makes a scenario's directory.
func childDirFor(t *testing.T, scenario string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), scenario+"-")
	for _, d := range []string{"log", "bucket"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// accounted checks that the chunk numbers of the objects are contiguous, each
// with one object, and that each of the lines is in one of them or counted by
// a tombstone. It returns how many tombstones there are.
func accounted(t *testing.T, objects []stored, lines []string) (tombstones int) {
	t.Helper()
	var numbers []int
	left := make(map[string]bool, len(lines))
	for _, l := range lines {
		left[l] = true
	}
	lost := 0
	for _, o := range objects {
		n, err := strconv.Atoi(o.meta["spoolship-chunk"])
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
		for _, l := range o.lines {
			if !left[l] {
				t.Fatalf("%s: a line that was not written, or is there twice: %s", o.key, l)
			}
			delete(left, l)
		}
		if o.meta["spoolship-tombstone"] == "" {
			continue
		}
		tombstones++
		n, err = strconv.Atoi(o.meta["spoolship-lost-records"])
		if err != nil || len(o.lines) != 0 || !strings.Contains(o.key, "-0.dropped-") || o.meta["spoolship-tombstone"] != "dropped" || o.meta["spoolship-reason"] == "" {
			t.Errorf("%s: %d lines, %v: %v", o.key, len(o.lines), o.meta, err)
		}
		lost += n
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			t.Fatalf("chunk %d stands where %d should: %v", n, i+1, numbers)
		}
	}
	if len(left) != lost {
		t.Fatalf("%d lines are missing, tombstones name %d", len(left), lost)
	}
	return tombstones
}
