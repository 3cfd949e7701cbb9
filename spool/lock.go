package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// takeLock locks the state directory for this process until the file is
// closed: alone, or shared with other readers. Waiting is the caller's: a
// directory in use is a *LockedError at once.
func takeLock(dir string, shared bool) (*os.File, error) {
	flag, how := os.O_RDWR|os.O_CREATE, unix.LOCK_EX
	if shared {
		flag, how = os.O_RDONLY, unix.LOCK_SH
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), flag, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil && !shared {
		err = writePID(f)
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = &LockedError{Dir: dir, PID: readPID(f)}
	case err != nil:
		err = fmt.Errorf("lock %s: %w", f.Name(), err)
	default:
		return f, nil
	}
	_ = f.Close()
	return nil, err
}

// writePID says who holds the lock. It is for people only, so it need not
// survive a crash, and a full disk must not keep the agent from starting.
func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return nil
}

// readPID returns the holder's process id, or 0 if it is not known: readers
// that share the lock leave none, and a dead process cannot be the holder.
func readPID(f *os.File) int {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 || errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return 0
	}
	return pid
}
