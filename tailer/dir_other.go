//go:build darwin || freebsd

package tailer

import "golang.org/x/sys/unix"

const searchOnly = unix.O_RDONLY

// renameNoReplace is not there: a link and a removal do it.
func renameNoReplace(int, string, string) error { return unix.ENOSYS }

// openForWriting can't tell here.
func openForWriting(int) bool { return false }
