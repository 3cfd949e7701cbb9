package tailer

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// statPath looks at what path leads to, symbolic links followed.
func statPath(path string) (info, error) { return statx(unix.AT_FDCWD, path, 0) }

func statFD(fd int) (info, error) { return statx(fd, "", unix.AT_EMPTY_PATH) }

func statx(dir int, path string, flags int) (info, error) {
	var s unix.Statx_t
	err := again(func() error {
		return unix.Statx(dir, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &s)
	})
	if err != nil {
		return info{}, err
	}
	i := info{
		id:    inode{dev: unix.Mkdev(s.Dev_major, s.Dev_minor), ino: s.Ino},
		mtime: s.Mtime.Sec*1e9 + int64(s.Mtime.Nsec),
		ctime: s.Ctime.Sec*1e9 + int64(s.Ctime.Nsec),
		size:  int64(s.Size),
		links: s.Nlink,
		mode:  s.Mode,
	}
	if s.Mask&unix.STATX_BTIME != 0 {
		i.born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
		i.id.born = i.born
	}
	return i, nil
}

// bootID returns the kernel's id of this boot, zero where there is none.
func bootID() [16]byte {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // "" where there is none
	return parseUUID(string(text))
}

// bootTime returns when the kernel started, Unix ns.
func bootTime() int64 {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return 0
	}
	return time.Now().UnixNano() - up.Nano()
}
