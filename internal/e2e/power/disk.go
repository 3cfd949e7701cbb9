// Package power takes the power away from the real agent, and gives it bad
// disks, on a file system of its own that is mounted by FUSE.
//
// A Disk keeps two versions of everything: what programs see, and what a power
// cut leaves. Writes to a file become durable by an fsync of the file, entries
// of a directory by an fsync of the directory, nothing else. At a cut the test
// chooses what of the rest has reached the platter: nothing, the first writes,
// any of them in any order, or parts of them.
package power

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Op is a kind of operation.
type Op string

// The operations that can be counted, cut at, or failed.
const (
	OpRead   Op = "read"
	OpWrite  Op = "write"
	OpSync   Op = "fsync"
	OpResize Op = "truncate"
	OpAlloc  Op = "fallocate"
	OpEntry  Op = "directory entry" // create, mkdir, link, unlink, rename
	OpDirs   Op = "fsync of a directory"
	OpOpen   Op = "open"
)

// changes reports whether an operation bears on what a cut leaves.
func (o Op) changes() bool { return o != OpRead && o != OpOpen }

// Event is one operation, as a Disk's Before is asked about it.
type Event struct {
	Op    Op
	N     int    // of this kind, from 1
	Step  int    // of those that bear on what a cut leaves, from 1; 0 for others
	Name  string // of the file's first entry
	Fresh bool   // of an fsync: nothing was written by the same handle before
}

// Verdict is what becomes of an operation.
type Verdict struct {
	Err  syscall.Errno // it fails with this and has no effect
	Lie  bool          // it succeeds and has no effect
	Wait time.Duration // it takes this much longer
}

// Disk is the state of one file system. Its methods may be called by any
// goroutine.
type Disk struct {
	mu     sync.Mutex
	before func(Event) Verdict
	nodes  map[uint64]*node
	next   uint64
	log    []*entryOp // not durable yet, in order
	counts map[Op]int
	steps  int
	dead   bool
	limit  int64 // bytes of all files; 0: none
}

const rootNode = 1

// node is a file or a directory.
type node struct {
	ino     uint64
	name    string // of its first entry
	mode    uint32
	mtime   time.Time
	entries map[string]uint64 // of a directory
	stored  map[string]uint64 // its durable ones
	data    []byte
	synced  []byte  // durable data
	writes  []write // since then
}

// write is one write, or, with data nil, a change of the size.
type write struct {
	at   int64
	data []byte
	size int64 // of the file afterwards
}

// entryOp is one change of directories: names that are set and removed.
type entryOp struct {
	set, gone []entry
}

type entry struct {
	dir  uint64
	name string
	ino  uint64
}

// NewDisk returns an empty one.
func NewDisk() *Disk {
	d := &Disk{nodes: map[uint64]*node{}, next: rootNode, counts: map[Op]int{}}
	d.add(syscall.S_IFDIR|0o755, "")
	return d
}

// Before has f decide on each operation. It is called with the disk locked.
func (d *Disk) Before(f func(Event) Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// Steps returns how many operations there were that bear on what a cut leaves.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Count returns how many operations of a kind there were.
func (d *Disk) Count(o Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[o]
}

// SetLimit bounds the bytes of all files; 0 is no bound.
func (d *Disk) SetLimit(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = bytes
}

// Used returns the bytes of all files.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used()
}

func (d *Disk) used() (sum int64) {
	for _, n := range d.nodes {
		sum += int64(len(n.data))
	}
	return sum
}

func (d *Disk) add(mode uint32, name string) *node {
	n := &node{ino: d.next, name: name, mode: mode, mtime: time.Now()}
	if mode&syscall.S_IFDIR != 0 {
		n.entries, n.stored = map[string]uint64{}, map[string]uint64{}
	}
	d.nodes[n.ino] = n
	d.next++
	return n
}

// ask counts an operation and finds out what becomes of it. Callers hold mu,
// which is given up for a wait.
func (d *Disk) ask(o Op, n *node, fresh bool) (lie bool, errno syscall.Errno) {
	d.counts[o]++
	e := Event{Op: o, N: d.counts[o], Name: n.name, Fresh: fresh}
	if o.changes() {
		d.steps++
		e.Step = d.steps
	}
	var v Verdict
	if d.before != nil && !d.dead {
		v = d.before(e)
	}
	if v.Wait > 0 {
		d.mu.Unlock()
		time.Sleep(v.Wait)
		d.mu.Lock()
	}
	if d.dead { // since before, or by the look at this operation
		return false, syscall.EIO
	}
	return v.Lie, v.Err
}

// Off takes the power away: from now on every operation fails. It is meant to be
// called by Before.
func (d *Disk) Off() { d.dead = true }

// change applies an entryOp to what programs see.
func (d *Disk) change(op entryOp) {
	op.apply(d.nodes, func(n *node) map[string]uint64 { return n.entries })
	d.log = append(d.log, &op)
}

// apply makes the changes of an entryOp in one of a directory's versions.
func (op *entryOp) apply(nodes map[uint64]*node, of func(*node) map[string]uint64) {
	for _, e := range op.gone {
		if m := of(nodes[e.dir]); m[e.name] == e.ino {
			delete(m, e.name)
		}
	}
	for _, e := range op.set {
		of(nodes[e.dir])[e.name] = e.ino
	}
}

func (op *entryOp) touches(dir uint64) bool {
	in := func(e entry) bool { return e.dir == dir }
	return slices.ContainsFunc(op.set, in) || slices.ContainsFunc(op.gone, in)
}

// syncDir makes a directory's entries durable. A rename between two is atomic.
func (d *Disk) syncDir(dir uint64) {
	d.log = slices.DeleteFunc(d.log, func(op *entryOp) bool {
		if !op.touches(dir) {
			return false
		}
		op.apply(d.nodes, func(n *node) map[string]uint64 { return n.stored })
		return true
	})
}

func (n *node) sync() { n.synced, n.writes = slices.Clone(n.data), nil }

func (n *node) write(at int64, b []byte) {
	if end := at + int64(len(b)); end > int64(len(n.data)) {
		n.resize(end)
	}
	copy(n.data[at:], b)
	n.mtime = time.Now()
	n.writes = append(n.writes, write{at, slices.Clone(b), int64(len(n.data))})
}

func (n *node) resize(size int64) {
	if size <= int64(len(n.data)) {
		clear(n.data[size:])
		n.data = n.data[:size]
		return
	}
	n.data = slices.Grow(n.data, int(size)-len(n.data))[:size]
}

// Way is how much of what is not durable survives a cut.
type Way string

// The ways.
const (
	Dropped   Way = "dropped"   // nothing of it
	Prefix    Way = "prefix"    // the first of it, in order
	Reordered Way = "reordered" // any of it, page by page
	Torn      Way = "torn"      // any of it, sector by sector
	Kept      Way = "kept"      // all of it: as after a kill
)

// Ways are all ways of a power cut.
var Ways = []Way{Dropped, Prefix, Reordered, Torn}

// Cut makes the disk what a power cut leaves, and gives the power back.
func (d *Disk) Cut(way Way, rnd *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ino := range slices.Sorted(maps.Keys(d.nodes)) { // in order, for the sake of rnd
		n := d.nodes[ino]
		n.data = n.survivors(way, rnd)
		n.sync()
	}
	keep := len(d.log)
	if way == Prefix {
		keep = rnd.IntN(len(d.log) + 1)
	}
	for i, op := range d.log {
		if way == Dropped || i >= keep || (way == Reordered || way == Torn) && rnd.IntN(2) == 0 {
			continue
		}
		op.apply(d.nodes, func(n *node) map[string]uint64 { return n.stored })
	}
	d.log = nil
	reached := map[uint64]bool{}
	d.reach(rootNode, reached)
	for ino, n := range d.nodes {
		if !reached[ino] {
			delete(d.nodes, ino)
			continue
		}
		n.entries = maps.Clone(n.stored)
	}
	d.dead, d.before = false, nil
}

func (d *Disk) reach(ino uint64, reached map[uint64]bool) {
	reached[ino] = true
	for name, child := range d.nodes[ino].stored {
		if d.nodes[child] == nil {
			delete(d.nodes[ino].stored, name)
			continue
		}
		d.reach(child, reached)
	}
}

const (
	pageSize   = 4096
	sectorSize = 512
)

// survivors returns the bytes of a file that a cut leaves.
func (n *node) survivors(way Way, rnd *rand.Rand) []byte {
	switch {
	case way == Kept || len(n.writes) == 0:
		return n.data
	case way == Dropped:
		return n.synced
	}
	sizes := []int64{int64(len(n.synced))}
	for _, w := range n.writes {
		sizes = append(sizes, w.size)
	}
	if way == Prefix {
		k := rnd.IntN(len(sizes))
		return replay(n.synced, n.writes[:k], sizes[k])
	}
	unit := int64(pageSize)
	if way == Torn {
		unit = sectorSize
	}
	out := make([]byte, sizes[rnd.IntN(len(sizes))])
	for at := int64(0); at < int64(len(out)); at += unit {
		end := min(at+unit, int64(len(out)))
		copy(out[at:end], tail(n.synced, at))
		// Of the writes to this place, the first few: none, all, or between.
		var here []write
		for _, w := range n.writes {
			if w.at < end && w.at+int64(len(w.data)) > at {
				here = append(here, w)
			}
		}
		for _, w := range here[:rnd.IntN(len(here)+1)] {
			from, to := max(at, w.at), min(end, w.at+int64(len(w.data)))
			copy(out[from:to], w.data[from-w.at:])
		}
	}
	return out
}

func tail(b []byte, at int64) []byte { return b[min(at, int64(len(b))):] }

// replay does writes again over what was durable.
func replay(synced []byte, writes []write, size int64) []byte {
	n := node{data: slices.Clone(synced)}
	for _, w := range writes {
		n.resize(w.size)
		copy(n.data[min(w.at, w.size):], w.data)
	}
	n.resize(size)
	return n.data
}

// Edit has f change the bytes of all files whose names have a suffix, in order
// of their names.
func (d *Disk) Edit(suffix string, f func(name string, b []byte)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []*node
	for _, n := range d.nodes {
		if n.entries == nil && strings.HasSuffix(n.name, suffix) {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	for _, n := range found {
		f(n.name, n.data)
		n.sync()
	}
}
