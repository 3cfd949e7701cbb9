package demo

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Text is copied line by line; binary, compressed and repeated files are not.
func TestCopyLogs(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	write(t, from+"/a.log", "one\ntwo\nhalf")
	write(t, from+"/apt/b.log", "three\n")
	write(t, from+"/apt/copy-of-b.log", "three\n")
	write(t, from+"/wtmp", "bin\x00ary\n")
	write(t, from+"/c.log.gz", "four\n")
	write(t, from+"/long.log", strings.Repeat("x", maxLine)+"\n")
	streams, bytes, err := copyLogs(from, to)
	if err != nil || len(streams) != 2 || bytes != 14 {
		t.Fatalf("%d streams of %d bytes, %v", len(streams), bytes, err)
	}
	if s := streams[0]; s.File != to+"/a.log" || len(s.Lines) != 2 || string(s.Lines[1]) != "two" {
		t.Errorf("%+v", s)
	}
	if b, err := os.ReadFile(to + "/a.log"); err != nil || string(b) != "one\ntwo\n" {
		t.Errorf("the copy is %q, %v", b, err)
	}
	if _, _, err := copyLogs(t.TempDir(), to); err == nil || !strings.Contains(err.Error(), "-logs") {
		t.Errorf("of an empty directory: %v", err)
	}
}

// Whatever the agent does, nothing is left behind.
func TestRunLeavesNothing(t *testing.T) {
	tmp, from := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	write(t, from+"/a.log", "one\n")
	for _, binary := range []string{"/bin/false", "/nonexistent"} {
		err := Run(context.Background(), Options{Binary: binary, LogDir: from, Duration: time.Second, Rate: 100, Out: io.Discard})
		if err == nil || errors.Is(err, ErrDifferent) {
			t.Errorf("%s: %v", binary, err)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
