package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// allocate has the file system set size bytes aside for an empty file.
func allocate(f *os.File, size int64) error {
	return unix.Fallocate(int(f.Fd()), 0, 0, size)
}
