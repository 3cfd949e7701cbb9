package tailer

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// private knows the files that are never followed, whatever name leads to them:
// those of Options.Private, and those that the kernel makes up. A link in a
// directory that others write to must not have them shipped. Inodes decide, not
// paths: a hard link and a bind mount have the inode of what they lead to.
type private struct {
	paths   []string
	inodes  map[inode]bool  // without birth times
	dirs    map[inode]stamp // the directories among paths
	within  map[string]bool // by directory: whether it is one of dirs
	systems map[uint64]bool // by device: whether the kernel makes up what is there
	devices map[uint64]bool // of inodes
	sure    bool            // names in dirs can't have changed without a new stamp
}

// errPrivate is the problem of a name that leads to such a file by the time it is
// opened.
var errPrivate = errors.New("it leads to a file of the agent or of the kernel, which is never followed")

// load looks at the paths.
func (p *private) load() {
	p.inodes, p.dirs, p.within = map[inode]bool{}, map[inode]stamp{}, map[string]bool{}
	p.systems, p.devices, p.sure = map[uint64]bool{}, map[uint64]bool{}, true
	for _, path := range p.paths {
		i, err := statPath(path)
		if err != nil {
			continue
		}
		p.devices[i.id.dev] = true
		if i.mode&unix.S_IFMT != unix.S_IFDIR {
			p.inodes[bare(i.id)] = true
			continue
		}
		at, good := stampOf(path)
		p.dirs[bare(i.id)], p.sure = at, p.sure && good
		entries, _ := os.ReadDir(path) // what can't be listed, its directory guards
		for _, e := range entries {
			if i, err := statPath(filepath.Join(path, e.Name())); err == nil && i.regular() {
				p.inodes[bare(i.id)] = true
			}
		}
	}
}

// fresh looks again if a directory has new names, or may have.
func (p *private) fresh() {
	stale := !p.sure
	for _, path := range p.paths {
		if i, err := statPath(path); err == nil {
			at, _ := stampOf(path)
			was, known := p.dirs[bare(i.id)]
			stale = stale || known && was != at || !known && !p.inodes[bare(i.id)]
		}
	}
	if stale {
		p.load()
	}
}

// holds reports whether the file at path, links resolved, must not be followed.
func (p *private) holds(path string, i *info) bool {
	if i.id.dev == byPath {
		real, err := statPath(path)
		if err != nil {
			return false
		}
		i = &real
	}
	if p.inodes[bare(i.id)] || p.made(i.id.dev, func() bool { return kernelMade(path) }) {
		return true
	}
	if len(p.dirs) == 0 {
		return false
	}
	if i.links > 1 && p.devices[i.id.dev] {
		if p.fresh(); p.inodes[bare(i.id)] {
			return true
		}
	}
	dir := filepath.Dir(path)
	within, ok := p.within[dir]
	if !ok {
		d, err := statPath(dir)
		_, within = p.dirs[bare(d.id)]
		within = within && err == nil
		p.within[dir] = within
	}
	return within
}

// opened is holds for what was opened, as far as its inode tells.
func (p *private) opened(fd int) bool {
	i, err := statFD(fd)
	return err == nil && (p.inodes[bare(i.id)] || p.made(i.id.dev, func() bool { return kernelMadeFD(fd) }))
}

// lists reports whether the names in a directory are worth a look.
func (p *private) lists(dir string) bool {
	i, err := statPath(dir)
	if err != nil {
		return true
	}
	_, ours := p.dirs[bare(i.id)]
	return !ours && !p.made(i.id.dev, func() bool { return kernelMade(dir) })
}

// made remembers the answer for a device until the next scan.
func (p *private) made(dev uint64, ask func() bool) bool {
	made, ok := p.systems[dev]
	if !ok && p.systems != nil {
		made = ask()
		p.systems[dev] = made
	}
	return made
}

func bare(id inode) inode { return inode{dev: id.dev, ino: id.ino} }

// ignorePrivate says once that such files are left alone.
func (t *Tailer) ignorePrivate(in *input, path string) {
	t.warnOnce(in, "private", "ignored a name that leads to a file of the agent or of the kernel: exclude it to be rid of this warning", slog.String("path", path))
}
