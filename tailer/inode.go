package tailer

import (
	"encoding/hex"
	"errors"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

// inode names a file within one boot. The birth time is part of it: numbers are
// used again at once. Where the file system has none, contents must tell.
type inode struct {
	dev, ino uint64
	born     int64
}

// byPath is the device of identities that are made from paths, see
// Input.ByContent.
const byPath = ^uint64(0)

// errInodes is the problem of a file that can't be recognised.
var errInodes = errors.New("its inode number changes from look to look")

// is says whether what o's name leads to is still o, as far as inodes tell.
func (o *seen) is(i *info) bool { return o.id.dev == byPath || i.id == o.id }

// info is what the file system says of a file.
type info struct {
	id    inode
	born  int64 // Unix ns; 0: unknown
	mtime int64 // Unix ns
	ctime int64 // Unix ns; renaming changes it too
	size  int64
	links uint32
	mode  uint16
	uid   uint32 // of its owner
}

func (i *info) regular() bool { return i.mode&unix.S_IFMT == unix.S_IFREG }

// kind names what is not a regular file.
func (i *info) kind() string {
	switch i.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}

// openFlags open for reading, without waiting for a writer should the file have
// become a named pipe, and without taking a terminal for the agent's own.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC

// openRead opens path for reading.
func openRead(path string) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Open(path, openFlags, 0)
		return err
	})
	return fd, err
}

// pread fills b from offset on; fewer bytes mean the end of the file.
func pread(fd int, b []byte, offset int64) (n int, err error) {
	b = b[:min(int64(len(b)), math.MaxInt64-offset)] // the kernel refuses to look beyond
	for n < len(b) {
		var k int
		err = again(func() error {
			k, err = unix.Pread(fd, b[n:], offset+int64(n))
			return err
		})
		if err != nil || k == 0 {
			return n, err
		}
		n += k
	}
	return n, nil
}

func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// parseUUID returns the number that text spells, zero if it spells none.
func parseUUID(text string) (id [16]byte) {
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), "-", ""))
	if err == nil {
		copy(id[:], raw)
	}
	return id
}
