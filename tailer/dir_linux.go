package tailer

import (
	"errors"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory that need not be readable.
const searchOnly = unix.O_PATH

func renameNoReplace(dir int, from, to string) error {
	return unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE)
}

// openForWriting reports whether somebody has the file open for writing, as far as the
// kernel tells: a lease on reads is refused then. It gives none on files of other
// users without CAP_LEASE.
func openForWriting(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) // it ends with the descriptor as well
	}
	return errors.Is(err, unix.EAGAIN)
}
