package tailer

import "golang.org/x/sys/unix"

// bootID returns the kernel's id of this boot, zero where there is none.
func bootID() (id [16]byte) {
	raw, _ := unix.SysctlRaw("kern.boot_id") // since FreeBSD 14
	copy(id[:], raw)
	return id
}
