package spool

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// diskUsage is what a file takes on disk, holes left out.
func diskUsage(path string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return st.Blocks * 512, nil // stat(2): units of 512 bytes, whatever the block size
}

// freeBytes is what the file system of dir has left for this user.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // other systems have other types
}

// newQueueID returns 64 random bits: enough that no two queues in one bucket
// ever share an id.
func newQueueID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// homeOf says where a directory is.
func homeOf(dir string) (home, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return home{}, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // "" where the kernel has none
	return home{device: device(&st), inode: st.Ino, boot: strings.TrimSpace(string(boot))}, nil
}

// device is the number of the device that st is of.
func device(st *unix.Stat_t) uint64 {
	return uint64(st.Dev) //nolint:unconvert // other systems have other types
}

// moved says whether two homes are different directories. Device numbers may
// change at a reboot; the inode stays.
func (h home) moved(now home) bool {
	return h.inode != now.inode || h.boot == now.boot && h.boot != "" && h.device != now.device
}

// present checks that the head and the state directory are still there, so
// that nothing is committed to a file that nobody will ever find again.
func (s *Spool) present() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.head.file.Fd()), &st); err == nil && st.Nlink == 0 {
		return fmt.Errorf("%w: %s is unlinked", ErrVanished, s.head.path)
	}
	head := st.Ino
	if err := unix.Stat(s.head.path, &st); errors.Is(err, unix.ENOENT) || err == nil && st.Ino != head {
		return fmt.Errorf("%w: %s is not at its place any more", ErrVanished, s.head.path)
	}
	err := unix.Stat(s.opts.Dir, &st)
	if errors.Is(err, unix.ENOENT) || err == nil && (st.Ino != s.dir.inode || device(&st) != s.dir.device) {
		return fmt.Errorf("%w: %s", ErrVanished, s.opts.Dir)
	}
	return nil
}

const (
	// freeInterval is how long a look at the file system's free space counts.
	freeInterval = 250 * time.Millisecond
	// slack is what a commit may take besides its blocks: tree pages and growth.
	slack = 256 << 10
	// ballastSize is enough for the pages of many acks.
	ballastSize = 4 << 20
)

// diskFull says whether err is that the disk, or the user's share of it, is
// full. bbolt has the text alone of such errors in places (growing the file).
func diskFull(err error) bool {
	for _, full := range [...]unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		if err != nil && (errors.Is(err, full) || strings.Contains(err.Error(), full.Error())) {
			return true
		}
	}
	return false
}

// room returns ErrFull if size more stored bytes would break a limit. A batch
// always fits into an empty spool, as it could never be taken otherwise. One
// of positions alone has to leave nothing free, but must not take what acks
// need to get through.
func (s *Spool) room(size int64) error {
	if u := s.idx.disk; s.opts.MaxSize > 0 && u > 0 && size > 0 && u+size > s.opts.MaxSize {
		return &FullError{
			Missing: min(u, u+size-s.opts.MaxSize),
			what:    fmt.Sprintf("chunks that are not shipped yet take %d bytes, the limit is %d", u, s.opts.MaxSize),
		}
	}
	if now := time.Now(); now.Sub(s.freeAt) >= freeInterval {
		free, err := freeBytes(s.opts.Dir)
		if err != nil {
			return s.poisoned(err)
		}
		s.free, s.freeAt = free, now
	}
	least := s.opts.MinFree
	if size == 0 {
		least = 0
	}
	if left := s.free + s.spare - size - size/8 - slack; left < least {
		return &FullError{
			Missing: least - left,
			what:    fmt.Sprintf("the file system of %s has %d bytes left, %d are to stay free", s.opts.Dir, s.free, least+slack),
		}
	}
	return nil
}

func (s *Spool) ballast() string { return filepath.Join(s.opts.Dir, ballastName) }

// dropBallast gives the ballast's space back, so that acks get through on a
// full disk. It returns false if there was none.
func (s *Spool) dropBallast() bool {
	if err := os.Remove(s.ballast()); err != nil {
		return false
	}
	s.log.Warn("disk is full: gave back the ballast", "dir", s.opts.Dir, "bytes", ballastSize)
	return true
}

// ensureBallast sets the ballast aside once there is room for four of them.
// Without one the spool works just as well until the disk is full, so failure
// is none.
func (s *Spool) ensureBallast() {
	if _, err := os.Lstat(s.ballast()); err == nil {
		return
	}
	if free, err := freeBytes(s.opts.Dir); err != nil || free < s.opts.MinFree+4*ballastSize {
		return
	}
	f, err := os.OpenFile(s.ballast(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return
	}
	err = allocate(f, ballastSize)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(s.ballast())
		s.log.Debug("no ballast", "dir", s.opts.Dir, "error", err)
	}
}
