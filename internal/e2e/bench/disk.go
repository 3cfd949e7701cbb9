package bench

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// disk is the block device below a directory. Its counters see what everybody
// writes, so they are an upper bound of what the agent wrote; so is the
// kernel's write_bytes of the process, which counts a whole large folio where
// one page of it became dirty. The lower of the two is nearer to the truth.
type disk struct{ stat string }

// diskOf finds the device; file systems without one of their own (overlay,
// btrfs) have no counters, and written is false then.
func diskOf(dir string) disk {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return disk{}
	}
	return disk{fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))}
}

// written returns the bytes that the device was given so far.
func (d disk) written() (int64, bool) {
	b, err := os.ReadFile(d.stat)
	f := strings.Fields(string(b))
	if err != nil || len(f) < 7 {
		return 0, false
	}
	// The seventh field counts sectors of 512 bytes, whatever the device's own
	// are (Documentation/block/stat.rst).
	n, err := strconv.ParseInt(f[6], 10, 64)
	return n * 512, err == nil
}

// measure returns what the device was given while f ran, pages that were left
// dirty included.
func (d disk) measure(f func() error) (int64, bool, error) {
	unix.Sync() // what was dirty before is not f's
	before, ok := d.written()
	if err := f(); err != nil {
		return 0, false, err
	}
	unix.Sync()
	after, _ := d.written()
	return after - before, ok, nil
}

// onDisk returns the bytes that the files below dir occupy.
func onDisk(dir string) int64 {
	var n int64
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // deleted meanwhile
		}
		if info, err := e.Info(); err == nil && !e.IsDir() {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return n
}

// forgetPages drops the files below dir from the page cache, so that the next
// reader pays for the disk.
func forgetPages(dir string) {
	unix.Sync()
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if f, err := os.Open(path); err == nil {
			unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			f.Close()
		}
		return nil
	})
}
