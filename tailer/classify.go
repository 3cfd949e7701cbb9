package tailer

// place is where the directory shows a followed file's inode.
type place int

const (
	nowhere place = iota
	atHome        // at the path the file is written under
	renamed       // under another name
)

// match is what the bytes before the offset are.
type match int

const (
	differs match = iota
	same
	unsure // they can't be read now
)

// facts is all that is known of one followed file after a look around.
type facts struct {
	at      place
	bytes   match // at the file's inode, up to the offset
	open    bool  // the inode is held by a descriptor
	linked  bool  // with open: some name still leads to it
	copied  bool  // a younger sibling has the bytes up to the offset, and is no mere copy of what is at home
	home    bool  // another inode at the home path has the bytes up to the offset
	doubt   bool  // a file that may have them could not be read
	kept    bool  // the inode has the beginning of it, and lost the end before the last boot
	later   bool  // a compressed file that may have them is being looked into
	settled bool  // nothing has changed for RotateWait, and a second scan agrees
}

// verdict is what to do with the file.
type verdict int

const (
	readOn   verdict = iota // it is at home: read what it has grown by
	drain                   // it was rotated away or deleted: read it to its end
	takeCopy                // its bytes are in a rotated copy now: go on there
	takeHome                // it was replaced by a copy of itself: go on there
	waitFor                 // its bytes may still turn up: decide later
	goOn                    // its end was lost, but had been read: go on behind what is left
	giveUp                  // its unread bytes are gone
)

// classify decides what happened to a file. It is pure; the package
// documentation has its table.
func classify(f facts) verdict {
	switch {
	case f.bytes == unsure:
		return waitFor
	case f.at == atHome && f.bytes == same && (f.doubt || f.later):
		return waitFor // what is there may be the next generation already
	case f.at == atHome && f.bytes == same && !f.copied:
		return readOn
	case f.at == renamed && f.bytes == same:
		return drain
	case f.at == nowhere && f.open && f.bytes == same:
		// Deleted, and its bytes are elsewhere: an editor's or sed -i's work,
		// after which it may have been rotated. In doubt it is read as well,
		// but not finished: then what can't be read now would pass for new.
		switch {
		case f.linked:
			return drain
		case f.copied:
			return takeCopy
		case f.home && !f.doubt && !f.later:
			return takeHome
		}
		return drain
	// While the file looks intact, a copy that has more may yet turn out to be
	// one that is being written.
	case f.copied && (f.bytes == differs || f.settled):
		return takeCopy
	case f.home && !f.doubt && !f.later:
		return takeHome
	case f.settled && !f.doubt && !f.later && f.kept:
		return goOn
	case f.settled && !f.doubt && !f.later:
		return giveUp
	}
	return waitFor
}
