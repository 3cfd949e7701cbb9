package tailer

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// trusts reports whether o can be a copy of f as far as its owner tells: rotations
// are done by root and by the owner of a log. Anybody else would have his own lines
// read as the owner's, or the owner's never.
func (f *file) trusts(o *seen) bool { return o.uid == 0 || o.uid == f.pos.Owner }

// planted reports whether o has a rotated name of a log of somebody else, in a
// directory where everybody may make files, and says so. It is no generation of
// that log, and if it is its copy, its lines were read.
func (t *Tailer) planted(in *input, fam *family, o *seen) bool {
	last := fam.lastPlain()
	if o.owner != nil || last == nil || last.trusts(o) || !in.matches(fam.home) {
		return false
	}
	dir, err := statPath(filepath.Dir(o.real))
	if err != nil || dir.mode&unix.S_IWOTH == 0 {
		return false
	}
	t.warnOnce(in, "planted "+fam.home, "ignored a file with a rotated name of a log that belongs to another user: exclude it, or let it have another name, to be rid of this warning",
		"path", o.path, "owner", o.uid, "log", fam.home, "log's owner", last.pos.Owner)
	return true
}
