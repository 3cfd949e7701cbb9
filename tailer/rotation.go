package tailer

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Rotated names, as logrotate, log4j, newsyslog and Kubernetes make them: a
// number or a date behind the name, or a date before its extension.
const date = `(?:19|20)\d{2}[-_.]?\d{2}[-_.]?\d{2}(?:[-_.T]?\d{2}(?:[-_.:]?\d{2}(?:[-_.:]?\d{2})?)?)?Z?`

var (
	rotatedEnd   = regexp.MustCompile(`^(.*[^-_.])(?:\.old|\.\d{1,5}|-\d{10}|[-_.]` + date + `)$`)
	rotatedInfix = regexp.MustCompile(`^(.*[^-_.])[-_.]` + date + `(?:[-_.]\d{1,5})?(\.[A-Za-z]\w*)$`)
)

// homeOf returns the path that a file is written under before rotations: the
// path itself unless its name is one that a rotation or a compression makes.
func homeOf(path string) string {
	path = unpackedName(path)
	dir, name := filepath.Split(path)
	base := stripRotation(name)
	if base == name {
		return path // nearly all of them
	}
	for name != base {
		name, base = base, stripRotation(base)
	}
	return dir + base
}

func stripRotation(name string) string {
	if name == "" {
		return name
	}
	// Most names can be told at a glance, and a scan asks for all of them.
	last := name[len(name)-1]
	if last >= '0' && last <= '9' || last == 'Z' || strings.HasSuffix(name, ".old") {
		if m := rotatedEnd.FindStringSubmatch(name); m != nil {
			return m[1]
		}
	}
	if strings.Contains(name, "20") || strings.Contains(name, "19") {
		if m := rotatedInfix.FindStringSubmatch(name); m != nil {
			return m[1] + m[2]
		}
	}
	return name
}

// unknownPacking says whether a name is that of a compressed file that can't be
// read.
func unknownPacking(path string) bool {
	switch filepath.Ext(path) {
	case ".xz", ".lz4", ".lzma":
		return true
	}
	return false
}

// rotationNumber returns the number at the end of a rotated name, or -1.
func rotationNumber(path string) int {
	i := strings.LastIndexByte(path, '.')
	if n, err := strconv.Atoi(path[i+1:]); err == nil && len(path)-i <= 6 {
		return n
	}
	return -1
}
