package tailer

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dir is an open directory. Names in it are changed through it, so that nobody who
// swaps a directory above for another, or for a link, has the agent work there.
type dir int

// openDir opens a directory without following a link below base, which is the
// operator's: it may be one.
func openDir(path, base string) (dir, error) {
	if rest, ok := strings.CutPrefix(path+"/", base+"/"); ok && base != "" {
		if real, err := filepath.EvalSymlinks(base); err == nil {
			path = filepath.Join(real, rest)
		}
	}
	const flags = searchOnly | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := openAt(unix.AT_FDCWD, "/", flags)
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		next, nextErr := openAt(fd, name, flags)
		unix.Close(fd)
		fd, err = next, nextErr
	}
	return dir(fd), err
}

func openAt(at int, name string, flags int) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(at, name, flags, 0)
		return err
	})
	return fd, err
}

func (d dir) close() { unix.Close(int(d)) }

// has reports whether a name in d leads to the inode of o itself, not to a link.
func (d dir) has(name string, o *seen) (bool, error) {
	fd, err := openAt(int(d), name, openFlags|unix.O_NOFOLLOW)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	i, err := statFD(fd)
	return err == nil && o.is(&i), err
}

// rename renames a file in d unless another has the new name. Cut off, it can be
// done again.
func (d dir) rename(from, to string) error {
	err := renameNoReplace(int(d), from, to)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	// Not every file system can do it in one step; what did it in two may have been
	// cut off between them.
	err = unix.Linkat(int(d), from, int(d), to, 0)
	if errors.Is(err, unix.EEXIST) {
		var a, b unix.Stat_t
		errA := unix.Fstatat(int(d), from, &a, unix.AT_SYMLINK_NOFOLLOW)
		errB := unix.Fstatat(int(d), to, &b, unix.AT_SYMLINK_NOFOLLOW)
		if errA == nil && errB == nil && a.Dev == b.Dev && a.Ino == b.Ino {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return d.remove(from)
}

func (d dir) remove(name string) error { return unix.Unlinkat(int(d), name, 0) }
