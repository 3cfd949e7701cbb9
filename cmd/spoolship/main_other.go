//go:build !unix

// Command spoolship tells where it runs.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	_, _ = fmt.Fprintf(os.Stderr, `spoolship: error: %s is not supported: files can't be followed and spooled safely there
spoolship: hint: run spoolship on Linux, or in WSL 2 for files inside it; files of Windows can be sent to a Linux host by syslog
`, runtime.GOOS)
	os.Exit(1)
}
