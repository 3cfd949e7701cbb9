//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// userName returns the name of a user, or the number where it has none.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// groupName returns the name of a group, or the number where it has none.
func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// ownerOf returns the owner of path, or of the nearest directory above it that can
// be looked at.
func ownerOf(path string) (at string, uid uint32, ok bool) {
	for at = path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err == nil {
			st, is := info.Sys().(*syscall.Stat_t)
			if !is {
				return at, 0, false
			}
			return at, st.Uid, true
		}
		if at == filepath.Dir(at) {
			return at, 0, false
		}
	}
}

// ownerHint tells a user who has no rights in the state directory what to do. A
// directory of another user is that of the service, which chown would break.
func ownerHint(err error) string {
	const another = "set it to a directory that it can write"
	var path *fs.PathError
	if !errors.As(err, &path) {
		return another
	}
	at, uid, ok := ownerOf(path.Path)
	switch {
	case !ok:
		return another
	case int(uid) == os.Geteuid():
		return fmt.Sprintf("%s belongs to it, but is not writable: chmod u+rwx %[1]s, or %s", at, another)
	case uid == 0:
		return fmt.Sprintf("%s belongs to root; run it with sudo if the service runs as root, or %s", at, another)
	}
	return fmt.Sprintf("%s belongs to %s; run it as that user: sudo -u %[2]s spoolship …", at, userName(uid))
}
