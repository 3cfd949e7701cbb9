package rotation

import "strings"

// The world is a directory with one log, its archives, their writers and those
// who rotate them, in memory. A line is one byte: its number. Its class is what
// can be seen of it: lines of one class look alike.
const (
	classNUL   = 0 // a byte of a hole
	classEqual = 1 // a line that is written again and again: a header, say
	distinct   = 2 // and above: a line that no other is like
)

// names of the family, by age. An archive's compressed copy is as old as it.
const (
	home = iota
	first
	firstPacked
	second
	secondPacked
	third
	thirdPacked
	names
)

func ageOf(name int) int     { return (name + 1) / 2 }
func packedName(n int) bool  { return n > 0 && n%2 == 0 }
func archive(age int) int    { return 2*age - 1 }
func packedOf(plain int) int { return plain + 1 }

const maxLines = 24

type inodeState struct {
	number     uint8
	birth      int8
	mtime      int8
	deny       bool
	copyOfHome bool // being copied: more of home follows
	data       string
}

// world is a value: copying it is how histories branch.
type world struct {
	class  [maxLines]uint8
	lines  int
	inodes [16]inodeState
	used   int
	names  [names]int8 // index of the inode, or -1
	writer int8        // where the log is written to
	old    int8        // where a writer that has not noticed the last rotation writes to
	clock  int8
	packer int8   // stage of compression: 0 none, 1 growing, 2 whole
	hole   int    // the next line is written behind so many NULs
	held   uint32 // inodes that the agent holds open
}

func newWorld() world {
	w := world{writer: -1, old: -1, clock: 1, lines: 1}
	for i := range w.names {
		w.names[i] = -1
	}
	w.writer = w.create(home)
	return w
}

// create makes an empty file under a name, and returns it. Numbers of inodes that
// have no name and no writer are used again.
func (w *world) create(name int) int8 {
	var taken uint32
	for n, i := range w.names {
		if i >= 0 && n != name {
			taken |= 1 << w.inodes[i].number
		}
	}
	for _, i := range [...]int8{w.writer, w.old} {
		if i >= 0 {
			taken |= 1 << w.inodes[i].number
		}
	}
	for i := range w.used {
		if w.held&(1<<i) != 0 {
			taken |= 1 << w.inodes[i].number
		}
	}
	number := uint8(0)
	for taken&(1<<number) != 0 {
		number++
	}
	i := int8(w.used)
	w.used++
	w.inodes[i] = inodeState{number: number, birth: w.clock, mtime: w.clock}
	w.names[name] = i
	return i
}

func (w *world) write(i int8, class uint8) {
	id := uint8(w.lines)
	w.lines++
	if class == distinct {
		class += id
	}
	w.class[id] = class
	f := &w.inodes[i]
	if i == w.writer && w.hole > 0 {
		f.data = strings.Repeat("\x00", w.hole)
		w.hole = 0
	}
	f.data += string(rune(id))
	f.mtime = w.clock
}

func (w *world) at(name int) *inodeState {
	if w.names[name] < 0 {
		return nil
	}
	return &w.inodes[w.names[name]]
}

// shift gives archives the next name. The oldest is deleted.
func (w *world) shift() {
	for age := 3; age > 1; age-- {
		w.names[archive(age)], w.names[packedOf(archive(age))] = w.names[archive(age-1)], w.names[packedOf(archive(age-1))]
	}
	w.names[first], w.names[firstPacked] = -1, -1
	w.packer = 0
}

// The operations, a letter each.
const (
	opAppend     = 'a'
	opEqual      = 'e'
	opRename     = 'r' // and a new file at home
	opLate       = 'l' // append to the file that was at home before
	opLateEqual  = 'E'
	opCopyStart  = 'k' // half of home is copied to an archive
	opCopy       = 'c' // copy home to an archive
	opTruncate   = 't'
	opOver       = 'w' // copy home over the archive
	opAdd        = 'A' // append home to the archive
	opPackOver   = 'g' // compress home to the archive, in place if there is one
	opCompress   = 'z' // the next step of compressing the archive
	opDelete     = 'd' // the oldest archive
	opRemoveHome = 'n' // and a new file in its place
	opReplace    = 'p' // home by a copy of itself
	opHole       = 'H' // truncate under a writer that goes on at its offset
	opRestart    = 's'
	opDenyFirst  = 'u' // or allow
	opDenyHome   = 'U'
	opScan       = '.'
	opLongScan   = ':' // a scan so late that what goes on would be over
)

const alphabet = "aerlEkctwAgzdnpHsuU.:"

// do does an operation, and reports whether it changes anything. Scans and
// restarts are the agent's.
func (w *world) do(op byte) bool {
	if w.used+2 > len(w.inodes) || w.lines+1 >= maxLines {
		return false
	}
	h := w.at(home)
	switch op {
	case opAppend:
		w.write(w.writer, distinct)
	case opEqual:
		w.write(w.writer, classEqual)
	case opRename:
		w.shift()
		w.names[first] = w.names[home]
		w.names[home] = -1
		w.old = w.writer
		w.writer = w.create(home)
		w.hole = 0
	case opLate, opLateEqual:
		if w.old < 0 {
			return false
		}
		w.write(w.old, map[byte]uint8{opLate: distinct, opLateEqual: classEqual}[op])
	case opCopyStart:
		if len(h.data) < 2 {
			return false
		}
		w.shift()
		i := w.create(first)
		w.clock++ // copying takes time
		w.inodes[i].data, w.inodes[i].mtime = h.data[:len(h.data)/2], w.clock
		w.inodes[i].copyOfHome = true
	case opCopy:
		if f := w.at(first); f != nil && f.copyOfHome {
			f.data, f.mtime, f.copyOfHome = h.data, w.clock, false
			return true
		}
		w.shift()
		i := w.create(first)
		w.clock++ // copying takes time
		w.inodes[i].data = w.at(home).data
		if len(w.inodes[i].data) > 0 {
			w.inodes[i].mtime = w.clock
		}
	case opTruncate:
		if len(h.data) == 0 {
			return false
		}
		h.data, h.mtime, w.hole = "", w.clock, 0
		w.stopCopy()
	case opOver:
		f := w.at(first)
		if f == nil || f.copyOfHome {
			return false
		}
		f.data, f.mtime = h.data, w.clock
	case opAdd:
		f := w.at(first)
		if f == nil || len(h.data) == 0 || f.copyOfHome || strings.Contains(f.data, h.data[:1]) {
			return false
		}
		f.data += h.data
		f.mtime = w.clock
	case opPackOver:
		if w.packer > 0 || w.at(first) != nil && w.at(firstPacked) == nil {
			return false
		}
		i := w.names[firstPacked]
		if i < 0 {
			i = w.create(firstPacked)
		}
		w.inodes[i].data, w.inodes[i].mtime = w.at(home).data, w.clock
	case opCompress:
		return w.compress()
	case opDelete:
		for n := names - 1; n > home; n-- {
			if w.names[n] >= 0 {
				if ageOf(n) == 1 {
					w.packer = 0
				}
				w.names[n] = -1
				return true
			}
		}
		return false
	case opRemoveHome:
		w.old = w.writer
		w.writer = w.create(home)
		w.hole = 0
		w.stopCopy()
	case opReplace:
		data := h.data
		w.old = w.writer
		w.writer = w.create(home)
		w.clock++ // copying takes time
		w.inodes[w.writer].data, w.inodes[w.writer].mtime = data, w.clock
		w.hole = 0
	case opHole:
		if len(h.data) == 0 || w.hole > 0 {
			return false
		}
		w.hole = len(h.data)
		h.data, h.mtime = "", w.clock
		w.stopCopy()
	case opDenyFirst:
		f := w.at(first)
		if f == nil {
			return false
		}
		f.deny = !f.deny
	case opDenyHome:
		h.deny = !h.deny
	}
	return true
}

func (w *world) stopCopy() {
	if f := w.at(first); f != nil {
		f.copyOfHome = false
	}
}

func (w *world) compress() bool {
	f, z := w.at(first), w.at(firstPacked)
	switch {
	case f == nil || f.copyOfHome:
		return false
	case w.packer == 0 && z == nil:
		i := w.create(firstPacked)
		data := w.inodes[w.names[first]].data
		w.inodes[i].data = data[:len(data)/2]
		w.packer = 1
	case w.packer == 1:
		z.data, z.mtime = f.data, f.mtime
		w.packer = 2
	case w.packer == 2:
		w.names[first] = -1
		w.packer = 0
	default:
		return false
	}
	return true
}

// seenFile is what a scan can see under a name.
type seenFile struct {
	name    int
	i       int8 // the inode; not to be looked at but to hold it open
	inode   uint8
	birth   int8
	mtime   int8
	deny    bool   // and it is not held open
	content string // classes
	lines   string // numbers, of which the agent knows nothing
}

func (w *world) classes(data string) string {
	var b [64]byte
	out := b[:0]
	for i := range len(data) {
		out = append(out, w.class[data[i]])
	}
	return string(out)
}

// look is what a scan sees, youngest name first.
func (w *world) look(all []seenFile, births bool) []seenFile {
	for n, i := range w.names {
		if i < 0 {
			continue
		}
		f := &w.inodes[i]
		s := seenFile{name: n, i: i, inode: f.number, mtime: f.mtime, deny: f.deny && w.held&(1<<i) == 0, content: w.classes(f.data), lines: f.data}
		if births {
			s.birth = f.birth
		}
		all = append(all, s)
	}
	return all
}
