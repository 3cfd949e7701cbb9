package rotation

import "hash/maphash"

// What a scan sees is kept as bytes: a tag, then a value. Values of times and
// classes of lines mean nothing but by their order and equality.
const (
	tagScan  = iota + 1 // long, or after a restart
	tagTime             // a time of the file system's clock, or the agent's
	tagName             // a name is there
	tagInode            //
	tagDeny             // it can't be opened
	tagHeld             // no name, but a descriptor
	tagLine             // a line's class
)

// observe adds what this scan can see.
func (a *agent) observe(w *world, seen []seenFile, long bool) {
	o := a.observed
	flags := byte(0)
	if long {
		flags |= 1
	}
	if a.restarted {
		flags |= 2
	}
	a.restarted = false
	o = append(o, tagScan, flags, tagTime, byte(w.clock))
	named := uint32(0)
	for n := range seen {
		s := &seen[n]
		named |= 1 << s.i
		o = append(o, tagName, byte(s.name), tagInode, s.inode, tagTime, byte(s.birth), tagTime, byte(s.mtime), tagScan, byte(len(s.content)))
		if s.deny {
			o = append(o, tagDeny, 0)
			continue
		}
		for _, c := range []byte(s.content) {
			o = append(o, tagLine, c)
		}
	}
	for i := range w.used {
		if a.held&^named&(1<<i) != 0 {
			o = append(o, tagHeld, w.inodes[i].number, tagTime, byte(w.inodes[i].mtime))
			for _, c := range []byte(w.classes(w.inodes[i].data)) {
				o = append(o, tagLine, c)
			}
		}
	}
	a.observed = o
}

var seed = maphash.MakeSeed()

// signature is the same for observations that can't be told apart.
func (a *agent) signature() uint64 {
	var ranks, classes [256]uint8
	for i := 0; i < len(a.observed); i += 2 {
		if a.observed[i] == tagTime {
			ranks[a.observed[i+1]] = 1
		}
	}
	n := uint8(0)
	for t, there := range ranks {
		if t > 0 && there != 0 {
			n++
			ranks[t] = n
		}
	}
	ranks[0] = 0
	classes[classNUL], classes[classEqual] = classNUL, classEqual
	next := uint8(distinct)
	var buf [1024]byte
	out := append(buf[:0], a.observed...)
	for i := 0; i < len(out); i += 2 {
		switch v := &out[i+1]; out[i] {
		case tagTime:
			*v = ranks[*v]
		case tagLine:
			if *v >= distinct && classes[*v] == 0 {
				classes[*v] = next
				next++
			}
			*v = classes[*v]
		}
	}
	return maphash.Bytes(seed, out)
}
