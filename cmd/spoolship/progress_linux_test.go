package main

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A bar is drawn where it can be seen only.
func TestOnTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminals here: %v", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	for width, want := range map[uint16]bool{0: false, 80: true} {
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
			t.Fatal(err)
		}
		if onTerminal(tty) != want {
			t.Errorf("a terminal of width %d: %v", width, !want)
		}
		if !isTerminal(tty) {
			t.Errorf("a terminal of width %d is none", width)
		}
	}
	if null, err := os.Open(os.DevNull); err != nil || isTerminal(null) {
		t.Error("/dev/null is a terminal", err)
	}
	if onTerminal(&bytes.Buffer{}) || isTerminal(&bytes.Buffer{}) {
		t.Error("a buffer is a terminal")
	}
}
