package tailer

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// runFor runs a tailer with what an earlier one left, until enough says so.
func runFor(t *testing.T, c *collector, o Options, enough func() bool) OpenFiles {
	t.Helper()
	o.Positions, o.KeepOpen = c.positions(len(c.log)), true
	tl, err := New(o, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- tl.Run(ctx) }()
	for {
		c.mu.Lock()
		change := c.change
		c.mu.Unlock()
		if enough() {
			break
		}
		select {
		case <-change:
		case err := <-done:
			t.Fatalf("Run ended: %v", err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return tl.Release()
}

// A file that is deleted between two tailers, and written to by who has it
// open, can be read by its descriptor only.
func TestADeletedFileGoesFromTailerToTailer(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(text string) {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	c := newCollector(1 << 20)
	o := Options{Inputs: []Input{{Name: "app", Include: []string{filepath.Join(dir, "*.log")}}}}
	write("one\n")
	o.Open = runFor(t, c, o, func() bool { return c.text() == "one\n" })
	if len(o.Open) != 1 {
		t.Fatalf("%d files were left open", len(o.Open))
	}
	write("two\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	o.Open = runFor(t, c, o, func() bool { return c.text() == "one\ntwo\nthree\n" })
	write("four\n")
	o.Open = runFor(t, c, o, func() bool { return c.text() == "one\ntwo\nthree\nfour\n" })
	if h := o.Open[1]; !h.rotated {
		t.Errorf("left open: %+v", o.Open)
	}
	o.Open.Close()
	if _, err := c.streams(); err != nil {
		t.Fatal(err)
	}
}

// Descriptors that lead elsewhere, or belong to nobody, are closed and not read.
func TestForeignDescriptorsAreClosed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	if err := os.WriteFile(path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCollector(1 << 20)
	o := Options{Inputs: []Input{{Name: "app", Include: []string{filepath.Join(dir, "*.log")}}}}
	left := runFor(t, c, o, func() bool { return c.text() == "one\n" })
	defer left.Close()
	other, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	o.Open = OpenFiles{}
	for file := range left {
		for _, id := range []uint64{file, file + 7} {
			fd, err := unix.Dup(int(other.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			o.Open[id] = openFile{fd: fd}
		}
	}
	given := []int{}
	for _, h := range o.Open {
		given = append(given, h.fd)
	}
	tl, err := New(Options{Inputs: o.Inputs, Positions: c.positions(len(c.log)), Open: o.Open}, c)
	if err != nil {
		t.Fatal(err)
	}
	if n := tl.Stats()[0].Open; n != 0 {
		t.Errorf("%d files are open", n)
	}
	for _, fd := range given {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			t.Errorf("descriptor %d is still open", fd)
		}
	}
}
