package tailer

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Case: where the bytes of a file are after what may happen to it.
func TestOpenSource(t *testing.T) {
	lines := strings.Repeat("a line that was read\n", 100)
	for name, c := range map[string]struct {
		change func(path string) error
		found  string // suffix of the file's name; "none": nowhere
	}{
		"unchanged": {func(string) error { return nil }, ""},
		"grown":     {func(p string) error { return os.WriteFile(p, []byte(lines+"more\n"), 0o600) }, ""},
		"renamed":   {func(p string) error { return os.Rename(p, p+".1") }, ".1"},
		"copytruncate": {func(p string) error {
			if err := os.WriteFile(p+"-20260102", []byte(lines), 0o600); err != nil {
				return err
			}
			return os.WriteFile(p, bytes.Repeat([]byte("another line\n"), 500), 0o600)
		}, "-20260102"},
		"truncated":   {func(p string) error { return os.Truncate(p, 100) }, "none"},
		"changed":     {func(p string) error { return os.WriteFile(p, bytes.ToUpper([]byte(lines)), 0o600) }, "none"},
		"compressed":  {func(p string) error { return os.Rename(p, p+".1.gz") }, "none"},
		"other name":  {func(p string) error { return os.Rename(p, p+"x") }, "none"},
		"removed":     {os.Remove, "none"},
		"a directory": {func(p string) error { os.Remove(p); return os.Mkdir(p, 0o700) }, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.log")
			if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
				t.Fatal(err)
			}
			p := Position{Path: path}
			p.advance([]byte(lines), 1)
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			s, err := OpenSource(&p)
			if c.found == "none" {
				if err == nil || !strings.Contains(err.Error(), path) {
					t.Fatalf("found: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.f.Name() != path+c.found {
				t.Errorf("found in %s", s.f.Name())
			}
			if data, _, _, err := s.Read(21, 63, 1000); err != nil || string(data) != lines[21:63] {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
}

// Case: everything the tailer hands on is read again the same, parts of long
// lines included.
func TestSourceSpans(t *testing.T) {
	const maxLine = 100
	long := strings.Repeat("x", 200_000)
	path := filepath.Join(t.TempDir(), "app.log")
	text := "short\n" + long + "\n\n" + long[:maxLine] + "\n" + long[:3*maxLine] + "\nend\n" + long[:250]
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSource(&Position{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for at := 0; at < len(text); { // as turn does, with a buffer of 1,000 bytes
		n, parts := frame([]byte(text[at:min(at+1000, len(text))]), maxLine)
		if n == 0 {
			break
		}
		data, part, cut, err := s.Read(int64(at), int64(at+n), maxLine)
		if err != nil || string(data) != text[at:at+n] {
			t.Fatalf("at %d: %v", at, err)
		}
		if want := partAt(text, at, maxLine); part != want || cut != (parts > 0) {
			t.Fatalf("at %d, %d bytes: part %d, want %d; cut %v, want %v", at, n, part, want, cut, parts > 0)
		}
		at += n
	}
	if _, _, _, err := s.Read(5, int64(len(text))+1, maxLine); err == nil {
		t.Error("read beyond the end")
	}
}

// partAt counts parts from the start of the line.
func partAt(text string, at, maxLine int) int {
	return (at - strings.LastIndexByte(text[:at], '\n') - 1) / maxLine
}
