package tailer

import "golang.org/x/sys/unix"

// bootID returns the kernel's id of this boot, zero where there is none.
func bootID() [16]byte {
	text, _ := unix.Sysctl("kern.bootsessionuuid") // "" where there is none
	return parseUUID(text)
}
