package spool

import (
	"bytes"
	"os"
	"testing"
)

// soundFile makes a segment with branches, leaves, overflow pages and inline
// buckets.
func soundFile(t *testing.T) []byte {
	s := openTest(t, Options{Dir: t.TempDir(), SegmentSize: 1 << 20})
	b := Batch{Blocks: []Block{testBlock("a", "0", 30_000, 1), testBlock("b", "1", 100, 1)}}
	for i := range 300 {
		b.Positions = append(b.Positions, Position{File: uint64(i), Data: content("p", 100)})
	}
	if err := s.Append(&b); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.head.path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Case: each field of each page in use that bbolt would follow astray.
func TestPageFields(t *testing.T) {
	file := soundFile(t)
	bad := func(change func(p []byte), at int) bool {
		b := bytes.Clone(file)
		change(b[at:])
		return checkPages(bytes.NewReader(b), int64(len(b))) != nil
	}
	if bad(func([]byte) {}, 0) {
		t.Fatal("a sound file is refused")
	}
	changes := map[string]func(p []byte){
		"type":             func(p []byte) { native.PutUint16(p[8:], 0x10) },
		"both types":       func(p []byte) { native.PutUint16(p[8:], 0x03) },
		"count":            func(p []byte) { native.PutUint16(p[10:], 0xffff) },
		"overflow":         func(p []byte) { native.PutUint32(p[12:], 1<<20) },
		"overflow of all":  func(p []byte) { native.PutUint32(p[12:], ^uint32(0)) },
		"overflow overlap": func(p []byte) { native.PutUint32(p[12:], native.Uint32(p[12:])+uint32(len(file)/4096/2)) },
		"leaf key position, branch key size": func(p []byte) {
			native.PutUint32(p[pageHeaderSize+4:], 1<<30)
		},
		"leaf key size, branch page": func(p []byte) { native.PutUint32(p[pageHeaderSize+8:], 1<<30) },
		"value size or branch page": func(p []byte) {
			if native.Uint16(p[8:]) == pageLeaf {
				native.PutUint32(p[pageHeaderSize+12:], 1<<30)
			} else {
				native.PutUint64(p[pageHeaderSize+8:], native.Uint64(p)) // itself
			}
		},
		"flags or branch page": func(p []byte) {
			if native.Uint16(p[8:]) == pageLeaf {
				native.PutUint32(p[pageHeaderSize:], 6)
			} else {
				native.PutUint64(p[pageHeaderSize+8:], native.Uint64(p[pageHeaderSize+elementSize+8:])) // its sibling
			}
		},
	}
	leaves, branches := 0, 0
	for at := 2 * 4096; at+4096 <= len(file); at += 4096 {
		used := bad(func(p []byte) { native.PutUint64(p, ^uint64(0)) }, at)
		if !used || native.Uint16(file[at+10:]) == 0 {
			continue
		}
		if native.Uint16(file[at+8:]) == pageLeaf {
			leaves++
		} else {
			branches++
		}
		for name, change := range changes {
			if !bad(change, at) {
				t.Errorf("page %d: %s not noticed", at/4096, name)
			}
		}
	}
	if leaves < 5 || branches < 1 {
		t.Fatalf("only %d leaves and %d branches in use", leaves, branches)
	}
}

// Case: two buckets have the same page, which is sound in itself.
func TestPageSharedByBuckets(t *testing.T) {
	file := soundFile(t)
	c := pageChecker{r: bytes.NewReader(file), size: int64(len(file))}
	root, err := c.meta()
	if err != nil {
		t.Fatal(err)
	}
	p := file[root*c.psize:]
	var roots []int // where the root page numbers of buckets stand
	for i := range int(native.Uint16(p[10:])) {
		e := pageHeaderSize + i*elementSize
		value := e + int(native.Uint32(p[e+4:])+native.Uint32(p[e+8:]))
		if native.Uint64(p[value:]) != 0 {
			roots = append(roots, value)
		}
	}
	if len(roots) < 2 {
		t.Fatalf("%d buckets with pages of their own", len(roots))
	}
	copy(p[roots[0]:][:8], p[roots[1]:][:8])
	if err := checkPages(bytes.NewReader(file), int64(len(file))); err == nil {
		t.Fatal("not noticed")
	}
}

// Case: one meta page is torn; then both are.
func TestMetaPages(t *testing.T) {
	file := soundFile(t)
	for _, torn := range []int{0, 4096} {
		b := bytes.Clone(file)
		b[torn+pageHeaderSize+20] ^= 1
		if err := checkPages(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("one meta page is enough: %v", err)
		}
		b[4096-torn+pageHeaderSize+20] ^= 1
		if checkPages(bytes.NewReader(b), int64(len(b))) == nil {
			t.Error("two torn meta pages were accepted")
		}
	}
	for n := 0; n < 6*4096; n += 1000 {
		if checkPages(bytes.NewReader(file[:n]), int64(n)) == nil {
			t.Errorf("a file cut off at %d was accepted", n)
		}
	}
}
