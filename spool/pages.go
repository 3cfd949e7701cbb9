package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts its pages: a damaged one makes it panic, loop, or fault, partly
// in goroutines of its own where nothing can recover. So every segment file is
// walked by this checker before bbolt sees it. It reads with pread and checks
// every offset, so it cannot fault itself.
//
// The layout is that of bbolt's file format version 2 (its internal/common
// package): native byte order, a 16-byte page header, 16-byte elements.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltMetaSize   = 64 // magic to checksum
	boltNoFreelist = ^uint64(0)

	pageHeaderSize = 16
	elementSize    = 16
	bucketSize     = 16 // root page and sequence, before an inline page

	pageBranch = 0x01
	pageLeaf   = 0x02

	maxPageSize = 64 << 10
	maxDepth    = 64 // pages and buckets from the root down; real ones have a handful
)

var native = binary.NativeEndian

// pageChecker walks the pages of one bbolt file.
type pageChecker struct {
	r     io.ReaderAt
	size  int64
	psize uint64
	pages uint64 // page ids in use are below this
	seen  []uint64

	skip   map[string]bool // buckets that are not looked into
	report func(error)     // takes damage, and the walk goes on beside it; nil: the first ends it
}

// page is one page and its overflow pages. buf holds its first psize bytes.
type page struct {
	id, bytes    uint64
	flags, count uint16
	buf          []byte
}

// checkPages walks the tree that the newest valid meta page of a bbolt file
// points to and returns the first thing in it that bbolt would stumble over.
// Values are not read: their owners have checksums for them.
func checkPages(r io.ReaderAt, size int64) error {
	c := pageChecker{r: r, size: size}
	return c.check()
}

func (c *pageChecker) check() error {
	root, err := c.meta()
	if err != nil {
		return err
	}
	return c.walkFrom(root)
}

// walkFrom walks the tree below the page of the root bucket that meta returned.
func (c *pageChecker) walkFrom(root uint64) error {
	c.seen = make([]uint64, c.pages/64+1)
	return c.tree(root, nil, nil, 0)
}

// meta finds the newest valid meta page, as bbolt does, and returns the page
// of the root bucket.
func (c *pageChecker) meta() (root uint64, err error) {
	var newest uint64
	found := false
	for at := int64(0); at <= maxPageSize; at = c.nextMeta(at) {
		buf := make([]byte, pageHeaderSize+boltMetaSize)
		if _, err := c.r.ReadAt(buf, at); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return 0, err
		}
		m := buf[pageHeaderSize:]
		if !validMeta(m) || (at != 0 && int64(native.Uint32(m[8:])) != at) {
			continue
		}
		if txid := native.Uint64(m[48:]); !found || txid > newest {
			found, newest = true, txid
			c.psize, c.pages, root = uint64(native.Uint32(m[8:])), native.Uint64(m[40:]), native.Uint64(m[16:])
			if native.Uint64(m[32:]) != boltNoFreelist {
				return 0, errors.New("the file has a free list: it was written or repaired by another program")
			}
		}
	}
	switch {
	case !found:
		return 0, errors.New("no valid meta page")
	case c.psize < 1024 || c.psize > maxPageSize || c.psize&(c.psize-1) != 0:
		return 0, fmt.Errorf("page size %d", c.psize)
	case c.pages > uint64(c.size)/c.psize:
		return 0, fmt.Errorf("file is cut off: %d bytes instead of %d", c.size, c.pages*c.psize)
	}
	return root, nil
}

// nextMeta gives the places where the second meta page can start: at the page
// size, or at any power of two if the first one was not valid and did not tell.
func (c *pageChecker) nextMeta(at int64) int64 {
	switch {
	case c.psize != 0 && at < int64(c.psize):
		return int64(c.psize)
	case c.psize != 0:
		return maxPageSize + 1
	case at == 0:
		return 1024
	}
	return at * 2
}

func validMeta(m []byte) bool {
	if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion {
		return false
	}
	h := fnv.New64a()
	h.Write(m[:boltMetaSize-8])
	return h.Sum64() == native.Uint64(m[boltMetaSize-8:])
}

// tree walks a page and everything below it. Keys are at least low and, if
// high is given, below it.
func (c *pageChecker) tree(id uint64, low, high []byte, depth int) error {
	err := c.walk(id, low, high, depth)
	if err != nil && c.report != nil {
		c.report(err)
		return nil
	}
	return err
}

func (c *pageChecker) walk(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d: tree is too deep", id)
	}
	p, err := c.load(id)
	if err != nil {
		return err
	}
	prev := low
	for i := range uint64(p.count) {
		key, err := c.key(p, i)
		if err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		// Equal to low is right for the first key only.
		if order := bytes.Compare(prev, key); prev != nil && (order > 0 || order == 0 && i > 0) || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("page %d, element %d: key out of order", id, i)
		}
		prev = key
		if err := c.element(p, i, key, high, depth); err != nil {
			return err
		}
	}
	return nil
}

// load reads a page's start and claims its pages.
func (c *pageChecker) load(id uint64) (*page, error) {
	if id < 2 || id >= c.pages {
		return nil, fmt.Errorf("page %d: out of bounds, file has %d", id, c.pages)
	}
	p := &page{id: id, buf: make([]byte, c.psize)}
	if _, err := c.r.ReadAt(p.buf, int64(id*c.psize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	p.flags, p.count = native.Uint16(p.buf[8:]), native.Uint16(p.buf[10:])
	more := uint64(native.Uint32(p.buf[12:]))
	p.bytes = (more + 1) * c.psize
	switch {
	case native.Uint64(p.buf) != id:
		return nil, fmt.Errorf("page %d: says it is page %d", id, native.Uint64(p.buf))
	case p.flags != pageBranch && p.flags != pageLeaf:
		return nil, fmt.Errorf("page %d: type %#x", id, p.flags)
	case p.flags == pageBranch && p.count == 0:
		return nil, fmt.Errorf("page %d: branch without elements", id)
	case more >= c.pages-id:
		return nil, fmt.Errorf("page %d: %d overflow pages, out of bounds", id, more)
	case pageHeaderSize+uint64(p.count)*elementSize > p.bytes:
		return nil, fmt.Errorf("page %d: %d elements do not fit", id, p.count)
	}
	for n := id; n <= id+more; n++ {
		if c.seen[n/64]&(1<<(n%64)) != 0 {
			return nil, fmt.Errorf("page %d: referred to twice", n)
		}
		c.seen[n/64] |= 1 << (n % 64)
	}
	return p, nil
}

// bytes reads n bytes at an offset of the page.
func (c *pageChecker) bytes(p *page, at, n uint64) ([]byte, error) {
	if at > p.bytes || n > p.bytes-at {
		return nil, errors.New("reaches beyond its page")
	}
	if at+n <= uint64(len(p.buf)) {
		return p.buf[at : at+n], nil
	}
	b := make([]byte, n)
	_, err := c.r.ReadAt(b, int64(p.id*c.psize+at))
	return b, err
}

// maxKey is what bbolt allows for a key.
const maxKey = 32768

// key returns the key of element i, which lies pos bytes after the element.
func (c *pageChecker) key(p *page, i uint64) ([]byte, error) {
	at := pageHeaderSize + i*elementSize
	e, err := c.bytes(p, at, elementSize)
	if err != nil {
		return nil, err
	}
	pos, ksize := native.Uint32(e), native.Uint32(e[4:])
	if p.flags == pageLeaf {
		pos, ksize = native.Uint32(e[4:]), native.Uint32(e[8:])
	}
	if ksize > maxKey {
		return nil, fmt.Errorf("key of %d bytes", ksize)
	}
	return c.bytes(p, at+uint64(pos), uint64(ksize))
}

// element checks what an element points to: a page, a value, a bucket.
func (c *pageChecker) element(p *page, i uint64, key, high []byte, depth int) error {
	at := pageHeaderSize + i*elementSize
	e, err := c.bytes(p, at, elementSize)
	if err != nil {
		return err
	}
	if p.flags == pageBranch {
		if i+1 < uint64(p.count) {
			if high, err = c.key(p, i+1); err != nil {
				return fmt.Errorf("page %d, element %d: %w", p.id, i+1, err)
			}
		}
		return c.tree(native.Uint64(e[8:]), key, high, depth+1)
	}
	flags, vsize := native.Uint32(e), uint64(native.Uint32(e[12:]))
	value := at + uint64(native.Uint32(e[4:])) + uint64(native.Uint32(e[8:]))
	if value > p.bytes || vsize > p.bytes-value {
		return fmt.Errorf("page %d, element %d: value reaches beyond its page", p.id, i)
	}
	switch flags {
	case 0:
		return nil
	case 1:
		if c.skip[string(key)] {
			return nil
		}
		return c.bucket(p, value, vsize, depth)
	}
	return fmt.Errorf("page %d, element %d: flags %#x", p.id, i, flags)
}

// bucket checks a nested bucket: one with pages of its own, or an inline one
// whose only page lies in the value.
func (c *pageChecker) bucket(p *page, at, n uint64, depth int) error {
	if n < bucketSize {
		return fmt.Errorf("page %d: bucket of %d bytes", p.id, n)
	}
	v, err := c.bytes(p, at, bucketSize)
	if err != nil {
		return err
	}
	if root := native.Uint64(v); root != 0 {
		return c.tree(root, nil, nil, depth+1)
	}
	if n > c.psize {
		return fmt.Errorf("page %d: inline bucket of %d bytes", p.id, n)
	}
	v, err = c.bytes(p, at+bucketSize, n-bucketSize)
	if err == nil {
		err = checkInline(v)
	}
	if err != nil {
		return fmt.Errorf("page %d: inline bucket: %w", p.id, err)
	}
	return nil
}

// checkInline checks the page of an inline bucket: a leaf of plain values.
func checkInline(v []byte) error {
	if len(v) < pageHeaderSize || native.Uint16(v[8:]) != pageLeaf {
		return errors.New("no leaf")
	}
	p := &page{bytes: uint64(len(v)), flags: pageLeaf, count: native.Uint16(v[10:]), buf: v}
	var c pageChecker // every byte is in buf, so nothing is read
	var prev []byte
	for i := range uint64(p.count) {
		key, err := c.key(p, i)
		if err != nil {
			return err
		}
		if i > 0 && bytes.Compare(prev, key) >= 0 {
			return errors.New("key out of order")
		}
		if e, _ := c.bytes(p, pageHeaderSize+i*elementSize, elementSize); native.Uint32(e) != 0 {
			return errors.New("nested bucket")
		}
		if err := c.element(p, i, key, nil, 0); err != nil {
			return err
		}
		prev = key
	}
	return nil
}
