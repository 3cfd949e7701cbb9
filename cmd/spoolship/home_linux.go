package main

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// volatileHome returns why the file system of a directory, or of the nearest one
// above it, does not keep a spool, and what to do about it; "" if it may.
func volatileHome(dir string) (what, fix string) {
	var st unix.Statfs_t
	for err := unix.Statfs(dir, &st); err != nil; err = unix.Statfs(dir, &st) {
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", ""
		}
		dir = filepath.Dir(dir)
	}
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "is in memory: a reboot forgets what was shipped, and ships everything again", "set [agent] state_dir to a directory on a disk"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "is in a container's own file system: with the container it is gone, and the next one ships everything again", "mount a volume there"
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.V9FS_MAGIC:
		return "is on a network file system, where locks and mapped files can't be relied on", "set [agent] state_dir to a directory on a local disk"
	}
	return "", ""
}
