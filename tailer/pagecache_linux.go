package tailer

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cachedBytes returns how much of a range of a file is in the page cache, by
// cachestat(2). Where the kernel is older than 6.5, all of it may be.
func cachedBytes(fd int, from, n int64) int64 {
	in := struct{ off, length uint64 }{uint64(from), uint64(n)}
	var out struct{ cache, dirty, writeback, evicted, recentlyEvicted uint64 } // pages
	_, _, errno := unix.Syscall6(unix.SYS_CACHESTAT, uintptr(fd), uintptr(unsafe.Pointer(&in)), uintptr(unsafe.Pointer(&out)), 0, 0, 0)
	if errno != 0 {
		return n
	}
	return int64(out.cache) * int64(os.Getpagesize())
}

// dropCached takes the whole pages of a range out of the page cache, as far as
// nobody has them mapped or written to.
func dropCached(fd int, from, n int64) {
	_ = unix.Fadvise(fd, from, n, unix.FADV_DONTNEED) // advice
}
