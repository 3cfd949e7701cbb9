package tailer

import (
	"os"

	"golang.org/x/sys/unix"
)

// cachedBytes returns how much of a range of a file is in the page cache, by
// cachestat(2). Where the kernel is older than 6.5, all of it may be.
func cachedBytes(fd int, from, n int64) int64 {
	var pages unix.Cachestat_t
	if err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(from), Len: uint64(n)}, &pages, 0); err != nil {
		return n
	}
	return int64(pages.Cache) * int64(os.Getpagesize())
}

// dropCached takes the whole pages of a range out of the page cache, as far as
// nobody has them mapped or written to.
func dropCached(fd int, from, n int64) {
	_ = unix.Fadvise(fd, from, n, unix.FADV_DONTNEED) // advice
}
