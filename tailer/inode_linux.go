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
		uid:   s.Uid,
	}
	if s.Mask&unix.STATX_BTIME != 0 {
		i.born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
		i.id.born = i.born
	}
	return i, nil
}

// kernelSystems are file systems whose files the kernel makes up as they are read.
// What pstore keeps of a crash is a log, and not among them.
var kernelSystems = map[int64]bool{
	unix.PROC_SUPER_MAGIC: true, unix.SYSFS_MAGIC: true, unix.DEBUGFS_MAGIC: true, unix.TRACEFS_MAGIC: true,
	unix.CGROUP_SUPER_MAGIC: true, unix.CGROUP2_SUPER_MAGIC: true, unix.SECURITYFS_MAGIC: true, unix.SELINUX_MAGIC: true,
	unix.SMACK_MAGIC: true, unix.BPF_FS_MAGIC: true, unix.NSFS_MAGIC: true, unix.DEVPTS_SUPER_MAGIC: true,
	unix.EFIVARFS_MAGIC: true, unix.BINFMTFS_MAGIC: true, configfsMagic: true,
}

const configfsMagic = 0x62656570

// kernelMade reports whether path is on such a file system.
func kernelMade(path string) bool {
	var s unix.Statfs_t
	return again(func() error { return unix.Statfs(path, &s) }) == nil && kernelSystems[int64(s.Type)&0xffffffff] //nolint:unconvert // 32 bits elsewhere
}

func kernelMadeFD(fd int) bool {
	var s unix.Statfs_t
	return again(func() error { return unix.Fstatfs(fd, &s) }) == nil && kernelSystems[int64(s.Type)&0xffffffff] //nolint:unconvert // 32 bits elsewhere
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
