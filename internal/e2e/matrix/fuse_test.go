//go:build e2e && linux

package matrix

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// remote is a file system that another machine writes to, as NFS is: the kernel
// hears of nothing, and files have no birth times.
type remote struct {
	back  string // the other side
	front string
}

// mountRemote mounts one over logs/m, and follows what is in it. restless: no
// two looks at a file see the same inode number.
func (w *world) mountRemote(restless bool) *remote {
	w.t.Helper()
	r := &remote{w.inDir("other-side"), w.inMount("m")}
	root, err := fs.NewLoopbackRoot(r.back)
	w.must(err)
	var now time.Duration // nothing is kept, as with an NFS mount's noac
	raw := fs.NewNodeFS(root, &fs.Options{EntryTimeout: &now, AttrTimeout: &now, NegativeTimeout: &now})
	server, err := fuse.NewServer(&plainAnswers{RawFileSystem: raw, restless: restless}, r.front, &fuse.MountOptions{FsName: "remote", DirectMountStrict: true, DisableReadDirPlus: true})
	if err != nil {
		w.t.Skipf("skipped: mounting a FUSE file system: %v", err)
	}
	go server.Serve()
	w.must(server.WaitMount())
	w.t.Cleanup(func() {
		if w.proc != nil { // it holds files open
			w.proc.Kill()
			w.proc = nil
		}
		if err := server.Unmount(); err != nil {
			w.t.Errorf("unmounting: %v", err)
		}
		server.Wait()
	})
	return r
}

// plainAnswers knows no birth times, and, if restless, gives files a new inode
// number with each answer about them.
type plainAnswers struct {
	fuse.RawFileSystem
	restless bool
	answers  atomic.Uint64
}

func (p *plainAnswers) renumber(a *fuse.Attr) {
	if p.restless && a.Mode&syscall.S_IFREG != 0 {
		a.Ino = p.answers.Add(1)
	}
}

func (p *plainAnswers) Statx(<-chan struct{}, *fuse.StatxIn, *fuse.StatxOut) fuse.Status {
	return fuse.ENOSYS
}

func (p *plainAnswers) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	status := p.RawFileSystem.GetAttr(cancel, in, out)
	p.renumber(&out.Attr)
	return status
}

func (p *plainAnswers) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	status := p.RawFileSystem.Lookup(cancel, in, name, out)
	p.renumber(&out.Attr)
	return status
}

func (r *remote) path(name string) string { return filepath.Join(r.back, name) }

// append is world.append on the other side.
func (r *remote) append(w *world, name, text string) string {
	w.t.Helper()
	return w.appendTo(r.path(name), text)
}

var remotes = []struct {
	name string
	run  func(w *world, r *remote)
}{
	{"FUSE, grew", func(w *world, r *remote) {
		w.start()
		first := r.append(w, "app.log", w.events("first", 10))
		w.spooled(10)
		w.expect("app", first, r.append(w, "app.log", w.events("more", 10)))
		w.spooled(20)
	}},
	{"FUSE, renamed", func(w *world, r *remote) {
		w.start()
		first := r.append(w, "app.log", w.events("first", 10))
		w.spooled(10)
		rest := r.append(w, "app.log", w.events("rest", 10))
		w.must(os.Rename(r.path("app.log"), r.path("app.log.1")))
		w.expect("next", r.append(w, "app.log", w.events("next", 10)))
		w.expect("first", first, rest, r.append(w, "app.log.1", w.events("late", 10)))
		w.spooled(40)
	}},
	{"FUSE, copytruncate", func(w *world, r *remote) {
		w.start()
		first := r.append(w, "app.log", w.events("first", 10))
		w.spooled(10)
		rest := r.append(w, "app.log", w.events("rest", 10))
		w.must(os.WriteFile(r.path("app.log.1"), []byte(first+rest), 0o644))
		w.must(os.Truncate(r.path("app.log"), 0))
		w.expect("first", first, rest)
		w.expect("next", r.append(w, "app.log", w.events("next", 10)))
		w.spooled(30)
	}},
	{"FUSE, renamed while stopped", func(w *world, r *remote) {
		w.start()
		first := r.append(w, "app.log", w.events("first", 10))
		w.spooled(10)
		w.stop()
		rest := r.append(w, "app.log", w.events("rest", 10))
		w.must(os.Rename(r.path("app.log"), r.path("app.log.1")))
		w.expect("first", first, rest)
		w.expect("next", r.append(w, "app.log", w.events("next", 10)))
		w.start()
		w.spooled(20)
	}},
}

// Where inode numbers change and nobody has said so, status says what to set.
func TestRemoteUntold(t *testing.T) {
	w := newWorld(t)
	r := w.mountRemote(true)
	w.expect("app", r.append(w, "app.log", w.events("first", 10)))
	w.start()
	w.status("a problem that names the file", func(s agentproc.Status) bool {
		return len(s.Inputs[0].Errors) == 1 && s.Inputs[0].Errors[0].Path == w.path("m/app.log") &&
			strings.Contains(s.Inputs[0].Errors[0].Hint, "fingerprint")
	})
	w.stop()
	w.cfg.Inputs[0].Identity = "fingerprint"
	w.start()
	w.spooled(10)
	w.arrives()
}

func TestRemote(t *testing.T) {
	for _, restless := range []bool{false, true} {
		for _, row := range remotes {
			name := row.name
			if restless {
				name += ", inodes change"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				if restless {
					w.cfg.Inputs[0].Identity = "fingerprint"
				}
				row.run(w, w.mountRemote(restless))
				w.arrives()
			})
		}
	}
}
