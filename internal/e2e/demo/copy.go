package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// Bounds of what is copied: the demo must stay short on a machine with
// gigabytes of logs.
const (
	maxFile  = 32 << 20
	maxTotal = 128 << 20
)

// maxLine is the agent's default max_line_size: longer lines would become
// several records.
const maxLine = 1 << 20

// copyLogs copies the readable text files of from into to and returns their
// lines. A last line without newline is left out (the agent would wait for it),
// and so is the copy of a file (the agent takes content it has shipped under
// another name for a rotated copy).
func copyLogs(from, to string) ([]bucket.Stream, int64, error) {
	var streams []bucket.Stream
	var total int64
	seen := map[string]bool{}
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || compressed(path) {
			return nil // what can't be read is not part of the demonstration
		}
		text := readText(path)
		if len(text) == 0 || seen[string(text)] || total+int64(len(text)) > maxTotal {
			return nil
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		copied := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			return err
		}
		seen[string(text)] = true
		total += int64(len(text))
		streams = append(streams, bucket.Stream{
			Input: "system", Format: bucket.Text, File: copied, Name: name,
			Lines: bytes.Split(text[:len(text)-1], []byte("\n")),
		})
		return os.WriteFile(copied, text, 0o644)
	})
	if err == nil && len(streams) == 0 {
		err = errors.New("no readable text file")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("copy the logs of %s: %w (name another directory with -logs)", from, err)
	}
	return streams, total, nil
}

func compressed(path string) bool {
	switch filepath.Ext(path) {
	case ".gz", ".xz", ".bz2", ".zst":
		return true
	}
	return false
}

// readText returns the complete lines of a text file, nothing of any other.
func readText(path string) []byte {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxFile {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil || bytes.IndexByte(b, 0) >= 0 {
		return nil
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	for l := range bytes.Lines(b) {
		if len(l) > maxLine {
			return nil
		}
	}
	return b
}
