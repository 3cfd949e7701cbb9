package spool

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Case: a commit fails, and one of the pages that bbolt walks then, in a
// goroutine of its own, can't be read. It is one that the commit did not touch.
func TestFaultAfterFailedCommit(t *testing.T) {
	var s *Spool
	at := int64(-1)
	s = openTest(t, Options{Dir: quickDir(t), Hook: func(step string) error {
		if at < 0 || step != "append.commit" {
			return nil
		}
		page := s.head.db.Info().Data + uintptr(at)
		if _, _, errno := unix.Syscall(unix.SYS_MPROTECT, page, uintptr(os.Getpagesize()), unix.PROT_NONE); errno != 0 {
			return errno
		}
		full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer full.Close()
		return unix.Dup3(int(full.Fd()), int(s.head.file.Fd()), unix.O_CLOEXEC)
	}})
	mustAppend(t, s, testBlock("a", "0", 5000, 1), testBlock("b", "1", 5000, 1<<20))
	at = blockPage(t, s.head.path, "a")
	if err := s.Append(&Batch{Blocks: []Block{testBlock("b", "2", 5000, 1<<20)}}); !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("append: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
