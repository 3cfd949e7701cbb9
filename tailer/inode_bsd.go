//go:build darwin || freebsd

package tailer

import (
	"time"

	"golang.org/x/sys/unix"
)

// statPath looks at what path leads to, symbolic links followed.
func statPath(path string) (info, error) {
	return stat(func(s *unix.Stat_t) error { return unix.Stat(path, s) })
}

func statFD(fd int) (info, error) {
	return stat(func(s *unix.Stat_t) error { return unix.Fstat(fd, s) })
}

// stat has the birth time of every file. Where the file system keeps none it is
// zero or before 1970; setting the time of a file back may set it back too,
// which is a new inode to the tailer, and contents decide.
func stat(call func(*unix.Stat_t) error) (info, error) {
	var s unix.Stat_t
	if err := again(func() error { return call(&s) }); err != nil {
		return info{}, err
	}
	born := max(0, s.Btim.Nano())
	return info{
		id:    inode{dev: uint64(s.Dev), ino: s.Ino, born: born}, //nolint:unconvert // darwin has 32 bits
		born:  born,
		mtime: s.Mtim.Nano(),
		ctime: s.Ctim.Nano(),
		size:  s.Size,
		links: uint32(s.Nlink),
		mode:  s.Mode,
		uid:   s.Uid,
	}, nil
}

// kernelMade reports whether path is on a file system whose files the kernel makes
// up as they are read.
func kernelMade(path string) bool {
	var s unix.Statfs_t
	return again(func() error { return unix.Statfs(path, &s) }) == nil && madeUp(&s)
}

func kernelMadeFD(fd int) bool {
	var s unix.Statfs_t
	return again(func() error { return unix.Fstatfs(fd, &s) }) == nil && madeUp(&s)
}

func madeUp(s *unix.Statfs_t) bool {
	switch unix.ByteSliceToString(s.Fstypename[:]) {
	case "procfs", "linprocfs", "linsysfs", "devfs", "fdescfs":
		return true
	}
	return false
}

// bootTime returns when the kernel started, Unix ns.
func bootTime() int64 {
	at, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return 0
	}
	return time.Unix(at.Unix()).UnixNano()
}
