package tailer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sys/unix"
)

// LinkPolicy is which symbolic links that the patterns match are followed.
type LinkPolicy string

// The policies; "" is SameOwner.
const (
	SameOwner LinkPolicy = "same-owner" // those of root and of the owner of the file they lead to
	Always    LinkPolicy = "always"
	Never     LinkPolicy = "never"
)

// maxLinks is how many links the kernel follows in a path.
const maxLinks = 40

// follow returns the path of the file that the link at p leads to, and that i is
// of, or why it is not followed. The inode is what everything that opens the file
// later asks for: a link that is made to lead elsewhere meanwhile does not.
func (in *input) follow(p string, i *info) (string, error) {
	if in.Links == Never {
		return "", errors.New(`follow_symlinks is "never"`)
	}
	real, owners, err := resolve(in.baseOf(p), p)
	if err != nil {
		return "", err
	}
	j, err := statPath(real)
	switch {
	case err != nil:
		return "", err
	case j.id != i.id && !in.ByContent, j.uid != i.uid:
		return "", errors.New("it was changed just now")
	case in.Links == Always:
		return real, nil
	}
	for _, uid := range owners {
		if uid != 0 && uid != i.uid {
			return "", fmt.Errorf("it belongs to user %d, and the file that it leads to to user %d", uid, i.uid)
		}
	}
	return real, nil
}

// baseOf returns the directory up to which a pattern names the directories of p.
func (in *input) baseOf(p string) (base string) {
	for _, pattern := range in.Include {
		if b, _ := doublestar.SplitPattern(filepath.Clean(pattern)); len(b) > len(base) && strings.HasPrefix(p, strings.TrimSuffix(b, "/")+"/") {
			base = b
		}
	}
	return base
}

// resolve returns the path that p leads to, without links, and who owns the links
// on the way from base on. Those before it are the administrator's.
func resolve(base, p string) (real string, owners []uint32, err error) {
	if real, err = filepath.EvalSymlinks(base); err != nil {
		return "", nil, err
	}
	rest := strings.Split(strings.TrimPrefix(p, base), "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			real = filepath.Dir(real)
			continue
		}
		next := filepath.Join(real, name)
		to, uid, err := readLink(next)
		switch {
		case errors.Is(err, unix.EINVAL): // no link
			real = next
			continue
		case err != nil:
			return "", nil, err
		}
		if owners = append(owners, uid); len(owners) > maxLinks {
			return "", nil, &fs.PathError{Op: "follow", Path: p, Err: unix.ELOOP}
		}
		if filepath.IsAbs(to) {
			real = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return real, owners, nil
}

// readLink returns where a link leads and who owns it; EINVAL if it is none.
func readLink(path string) (to string, uid uint32, err error) {
	before, err := os.Lstat(path)
	if err != nil {
		return "", 0, err
	}
	if before.Mode()&fs.ModeSymlink == 0 {
		return "", 0, unix.EINVAL
	}
	if to, err = os.Readlink(path); err != nil {
		return "", 0, err
	}
	after, err := os.Lstat(path)
	if err == nil && (!os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime())) {
		err = errors.New("it was changed just now")
	}
	return to, ownerOf(before), err
}

// ownerOf returns the user id of a file's owner.
func ownerOf(i os.FileInfo) uint32 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return s.Uid
	}
	return ^uint32(0)
}
