package tailer

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Source is a file whose bytes were read once, opened to read some of them
// again.
type Source struct{ f *os.File }

// OpenSource opens the file that p is a position in, wherever a rotation has
// put it: a file under its path or a rotated name of that which still has its
// fingerprint, and the anchor before its offset. That is a good guess, not
// proof: whoever needs the very same bytes has to have a checksum of them.
// Compressed copies are not looked into.
func OpenSource(p *Position) (*Source, error) {
	for _, path := range sourcePaths(p) {
		fd, err := openRead(path)
		if err != nil {
			continue
		}
		s := &Source{os.NewFile(uintptr(fd), path)}
		if i, err := statFD(fd); err == nil && i.regular() && i.size >= p.Offset && s.holds(p) {
			return s, nil
		}
		_ = s.f.Close()
	}
	return nil, fmt.Errorf("%s: neither it nor a rotated copy has the bytes any more", p.Path)
}

// sourcePaths lists where the bytes before p may be: under its own names
// first, then under those that a rotation makes of them.
func sourcePaths(p *Position) (paths []string) {
	for _, path := range []string{p.Path, p.Real} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	for _, path := range slices.Clone(paths) {
		dir, home := filepath.Dir(path), homeOf(path)
		entries, _ := os.ReadDir(dir) // what can't be listed has nothing to offer
		for _, e := range entries {
			if at := filepath.Join(dir, e.Name()); homeOf(at) == home && packingOf(at) == plain && !slices.Contains(paths, at) {
				paths = append(paths, at)
			}
		}
	}
	return paths
}

// holds says whether the file has p's fingerprint and anchor.
func (s *Source) holds(p *Position) bool {
	head, anchor := make([]byte, p.Head.Offset), make([]byte, len(p.Anchor))
	if _, err := s.f.ReadAt(head, 0); err != nil && len(head) > 0 {
		return false
	}
	if _, err := s.f.ReadAt(anchor, p.Offset-int64(len(anchor))); err != nil && len(anchor) > 0 {
		return false
	}
	return crc32.Checksum(head, castagnoli) == p.Head.CRC && bytes.Equal(anchor, p.Anchor)
}

// Close closes the file.
func (s *Source) Close() error { return s.f.Close() }

// Read returns the bytes [from, to) as the span that they were handed on with:
// part and cut are [Span]'s, found out by where lines start and where parts of
// maxLine bytes end.
func (s *Source) Read(from, to int64, maxLine int) (data []byte, part int, cut bool, err error) {
	if maxLine <= 0 {
		return nil, 0, false, fmt.Errorf("%s: lines up to %d bytes", s.f.Name(), maxLine)
	}
	if data, err = s.Bytes(from, to); err != nil {
		return nil, 0, false, err
	}
	start, err := s.lineStart(from)
	if err != nil {
		return nil, 0, false, fmt.Errorf("%s: %w", s.f.Name(), err)
	}
	part = int((from - start) / int64(maxLine))
	if i := bytes.LastIndexByte(data, '\n'); i >= 0 {
		start = from + int64(i) + 1
	}
	if start < to && (to-start)%int64(maxLine) == 0 {
		_, err = s.f.ReadAt(make([]byte, 1), to)
		cut = err == nil
	}
	return data, part, cut, nil
}

// Bytes returns the bytes [from, to).
func (s *Source) Bytes(from, to int64) ([]byte, error) {
	if from < 0 || to < from {
		return nil, fmt.Errorf("%s: bytes %d to %d", s.f.Name(), from, to)
	}
	data := make([]byte, to-from)
	if _, err := s.f.ReadAt(data, from); err != nil {
		return nil, fmt.Errorf("%s: %w", s.f.Name(), err)
	}
	return data, nil
}

// lineStart returns the offset after the last newline before at.
func (s *Source) lineStart(at int64) (int64, error) {
	window := make([]byte, 64<<10)
	for at > 0 {
		b := window[:min(at, int64(len(window)))]
		if _, err := s.f.ReadAt(b, at-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return at - int64(len(b)) + int64(i) + 1, nil
		}
		at -= int64(len(b))
	}
	return 0, nil
}
