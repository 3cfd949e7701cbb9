//go:build linux

package power

import (
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mounted is a Disk that programs see.
type Mounted struct {
	*Disk
	fuse.RawFileSystem
	server *fuse.Server
	dir    string

	handle  atomic.Uint64
	handles sync.Map // number -> *bool: whether it was written by
}

// Mount mounts d at dir. It fails without FUSE or without the right to mount.
func Mount(d *Disk, dir string) (*Mounted, error) {
	m := &Mounted{Disk: d, RawFileSystem: fuse.NewDefaultRawFileSystem(), dir: dir}
	server, err := fuse.NewServer(m, dir, &fuse.MountOptions{FsName: "power", DirectMountStrict: true, DisableReadDirPlus: true, AllowOther: true})
	if err != nil {
		return nil, err
	}
	m.server = server
	go server.Serve()
	return m, server.WaitMount()
}

// Unmount takes it away, and waits until nobody has files of it open: the kernel
// closes those of a killed process a moment after its end, and other mount
// namespaces keep theirs.
func (m *Mounted) Unmount() error {
	if err := syscall.Unmount(m.dir, syscall.MNT_DETACH); err != nil {
		return err
	}
	m.server.Wait()
	return nil
}

// DropCaches has the kernel forget what it has of all files in memory, so that
// mapped pages are read anew.
func (m *Mounted) DropCaches() {
	m.mu.Lock()
	inodes := slices.Collect(maps.Keys(m.nodes))
	m.mu.Unlock()
	for _, ino := range inodes {
		m.server.InodeNotify(ino, 0, 0)
	}
}

func (m *Mounted) String() string { return "power" }

// attr fills in what stat says. Callers hold mu.
func (m *Mounted) attr(n *node, a *fuse.Attr) {
	*a = fuse.Attr{
		Ino: n.ino, Size: uint64(len(n.data)), Blocks: uint64(len(n.data)+511) / 512, Mode: n.mode, Nlink: 1, Blksize: pageSize,
		Mtime: uint64(n.mtime.Unix()), Mtimensec: uint32(n.mtime.Nanosecond()),
	}
	a.Ctime, a.Ctimensec = a.Mtime, a.Mtimensec
	if n.entries != nil {
		a.Nlink = 2
		return
	}
	links := uint32(0)
	for _, dir := range m.nodes {
		for _, ino := range dir.entries {
			if ino == n.ino {
				links++
			}
		}
	}
	a.Nlink = links
}

func (m *Mounted) entry(n *node, out *fuse.EntryOut) {
	out.NodeId = n.ino
	m.attr(n, &out.Attr)
}

func status(errno syscall.Errno) fuse.Status { return fuse.Status(errno) }

// child finds an entry. Callers hold mu.
func (m *Mounted) child(dir uint64, name string) *node {
	d := m.nodes[dir]
	if d == nil || d.entries == nil {
		return nil
	}
	return m.nodes[d.entries[name]]
}

func (m *Mounted) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.child(h.NodeId, name)
	if n == nil {
		return fuse.ENOENT
	}
	m.entry(n, out)
	return fuse.OK
}

func (m *Mounted) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return status(syscall.ESTALE)
	}
	m.attr(n, &out.Attr)
	return fuse.OK
}

func (m *Mounted) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return status(syscall.ESTALE)
	}
	if in.Valid&fuse.FATTR_SIZE != 0 {
		lie, errno := m.ask(OpResize, n, false)
		if errno == 0 && m.full(int64(in.Size)-int64(len(n.data))) {
			errno = syscall.ENOSPC
		}
		if errno != 0 {
			return status(errno)
		}
		if !lie {
			n.resize(int64(in.Size))
			n.mtime = time.Now()
			n.writes = append(n.writes, write{at: int64(in.Size), size: int64(in.Size)})
		}
	}
	if in.Valid&fuse.FATTR_MODE != 0 {
		n.mode = n.mode&syscall.S_IFMT | in.Mode&0o7777
	}
	if in.Valid&fuse.FATTR_MTIME != 0 && in.Valid&fuse.FATTR_MTIME_NOW == 0 {
		n.mtime = time.Unix(int64(in.Mtime), int64(in.Mtimensec))
	}
	m.attr(n, &out.Attr)
	return fuse.OK
}

// full reports whether n more bytes are too many. Callers hold mu.
func (m *Mounted) full(n int64) bool { return m.limit > 0 && n > 0 && m.used()+n > m.limit }

// make adds a file or a directory. Callers hold mu.
func (m *Mounted) make(dir uint64, name string, mode uint32) (*node, fuse.Status) {
	d := m.nodes[dir]
	if d == nil {
		return nil, status(syscall.ESTALE)
	}
	if m.child(dir, name) != nil {
		return nil, status(syscall.EEXIST)
	}
	if _, errno := m.ask(OpEntry, d, false); errno != 0 {
		return nil, status(errno)
	}
	n := m.add(mode, name)
	m.change(entryOp{set: []entry{{dir, name, n.ino}}})
	return n, fuse.OK
}

func (m *Mounted) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, st := m.make(in.NodeId, name, syscall.S_IFDIR|in.Mode&0o7777)
	if st.Ok() {
		m.entry(n, out)
	}
	return st
}

func (m *Mounted) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, st := m.make(in.NodeId, name, syscall.S_IFREG|in.Mode&0o7777)
	if st.Ok() {
		m.entry(n, &out.EntryOut)
		out.Fh = m.newHandle()
	}
	return st
}

func (m *Mounted) newHandle() uint64 {
	fh := m.handle.Add(1)
	m.handles.Store(fh, new(atomic.Bool))
	return fh
}

func (m *Mounted) wrote(fh uint64) *atomic.Bool {
	if v, ok := m.handles.Load(fh); ok {
		return v.(*atomic.Bool)
	}
	return new(atomic.Bool)
}

func (m *Mounted) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.child(h.NodeId, name)
	if n == nil {
		return fuse.ENOENT
	}
	if _, errno := m.ask(OpEntry, n, false); errno != 0 {
		return status(errno)
	}
	m.change(entryOp{gone: []entry{{h.NodeId, name, n.ino}}})
	return fuse.OK
}

func (m *Mounted) Rmdir(c <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	m.mu.Lock()
	n := m.child(h.NodeId, name)
	busy := n != nil && len(n.entries) > 0
	m.mu.Unlock()
	if busy {
		return status(syscall.ENOTEMPTY)
	}
	return m.Unlink(c, h, name)
}

func (m *Mounted) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.child(in.NodeId, from)
	if n == nil {
		return fuse.ENOENT
	}
	if in.Flags&^1 != 0 { // all but RENAME_NOREPLACE
		return fuse.EINVAL
	}
	if in.Flags == 1 && m.child(in.Newdir, to) != nil {
		return status(syscall.EEXIST)
	}
	if _, errno := m.ask(OpEntry, n, false); errno != 0 {
		return status(errno)
	}
	n.name = to
	m.change(entryOp{set: []entry{{in.Newdir, to, n.ino}}, gone: []entry{{in.NodeId, from, n.ino}}})
	return fuse.OK
}

func (m *Mounted) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.Oldnodeid]
	if n == nil {
		return status(syscall.ESTALE)
	}
	if m.child(in.NodeId, name) != nil {
		return status(syscall.EEXIST)
	}
	if _, errno := m.ask(OpEntry, n, false); errno != 0 {
		return status(errno)
	}
	m.change(entryOp{set: []entry{{in.NodeId, name, n.ino}}})
	m.entry(n, out)
	return fuse.OK
}

func (m *Mounted) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return status(syscall.ESTALE)
	}
	if _, errno := m.ask(OpOpen, n, false); errno != 0 {
		return status(errno)
	}
	out.Fh = m.newHandle()
	return fuse.OK
}

func (m *Mounted) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { m.handles.Delete(in.Fh) }

func (m *Mounted) Read(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return nil, status(syscall.ESTALE)
	}
	if _, errno := m.ask(OpRead, n, false); errno != 0 {
		return nil, status(errno)
	}
	b := tail(n.data, int64(in.Offset))
	return fuse.ReadResultData(slices.Clone(b[:min(len(b), int(in.Size))])), fuse.OK
}

func (m *Mounted) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return 0, status(syscall.ESTALE)
	}
	m.wrote(in.Fh).Store(true)
	lie, errno := m.ask(OpWrite, n, false)
	if errno == 0 && m.full(int64(in.Offset)+int64(len(data))-int64(len(n.data))) {
		errno = syscall.ENOSPC
	}
	if errno != 0 {
		return 0, status(errno)
	}
	if !lie {
		n.write(int64(in.Offset), data)
	}
	return uint32(len(data)), fuse.OK
}

func (m *Mounted) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return status(syscall.ESTALE)
	}
	if in.Mode != 0 {
		return status(syscall.EOPNOTSUPP)
	}
	_, errno := m.ask(OpAlloc, n, false)
	end := int64(in.Offset + in.Length)
	if errno == 0 && m.full(end-int64(len(n.data))) {
		errno = syscall.ENOSPC
	}
	if errno != 0 {
		return status(errno)
	}
	if end > int64(len(n.data)) {
		n.resize(end)
		n.writes = append(n.writes, write{at: end, size: end})
	}
	return fuse.OK
}

func (m *Mounted) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return status(syscall.ESTALE)
	}
	lie, errno := m.ask(OpSync, n, !m.wrote(in.Fh).Load())
	if errno == 0 && !lie {
		n.sync()
	}
	return status(errno)
}

func (m *Mounted) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[in.NodeId]
	if n == nil {
		return status(syscall.ESTALE)
	}
	lie, errno := m.ask(OpDirs, n, false)
	if errno == 0 && !lie {
		m.syncDir(n.ino)
	}
	return status(errno)
}

func (m *Mounted) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (m *Mounted) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (m *Mounted) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes[in.NodeId] == nil {
		return status(syscall.ESTALE)
	}
	return fuse.OK
}

func (m *Mounted) ReleaseDir(*fuse.ReleaseIn) {}

func (m *Mounted) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.nodes[in.NodeId]
	if d == nil {
		return status(syscall.ESTALE)
	}
	names := slices.Sorted(maps.Keys(d.entries))
	for _, name := range names[min(int(in.Offset), len(names)):] {
		n := m.nodes[d.entries[name]]
		if !out.AddDirEntry(fuse.DirEntry{Name: name, Ino: n.ino, Mode: n.mode}) {
			break
		}
	}
	return fuse.OK
}

func (m *Mounted) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	const without = 100 << 30
	free := int64(without)
	if m.limit > 0 {
		free = max(0, m.limit-m.used())
	}
	*out = fuse.StatfsOut{Bsize: pageSize, Frsize: pageSize, NameLen: 255, Blocks: without / pageSize, Bfree: uint64(free / pageSize), Bavail: uint64(free / pageSize)}
	return fuse.OK
}

// Available reports why FUSE can't be had here, or nil.
func Available() error {
	dir, err := os.MkdirTemp("", "power")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	m, err := Mount(NewDisk(), dir)
	if err != nil {
		return err
	}
	return m.Unmount()
}
