//go:build e2e

package matrix

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
)

// node is what the kubelet and a container runtime make of a pod's output:
// pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log, with a link to each in
// containers/. The kubelet renames a log that is too large, has the runtime open
// a new one, and then compresses all older ones but the newest.
type node struct {
	w        *world
	restarts int
	file     *os.File // what the runtime writes to
	rotated  int
	text     []string // of each container's log
	lines    int
}

const podDir = "default_web-7d4b9c_0a1b2c3d-1111-2222-3333-444455556666/web"

func newNode(w *world) *node {
	n := &node{w: w, text: []string{""}}
	w.must(os.MkdirAll(w.path("pods/"+podDir), 0o755))
	w.must(os.Mkdir(w.path("containers"), 0o755))
	w.cfg.Inputs[0].Format = string(bucket.CRI)
	w.cfg.Inputs[0].Include = []string{w.path("containers/*.log")}
	n.reopen()
	n.link(0)
	return n
}

// log is the path of the running container's log.
func (n *node) log() string { return n.w.path(fmt.Sprintf("pods/%s/%d.log", podDir, n.restarts)) }

func (n *node) reopen() {
	if n.file != nil {
		n.w.must(n.file.Close())
	}
	f, err := os.OpenFile(n.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	n.w.must(err)
	n.file = f
	n.w.t.Cleanup(func() { f.Close() })
}

// link makes containers/POD_NAMESPACE_CONTAINER-ID.log lead to the log.
func (n *node) link(id int) {
	link := n.w.path(fmt.Sprintf("containers/web-7d4b9c_default_web-%064x.log", id))
	n.w.must(os.Symlink(n.log(), link+".new"))
	n.w.must(os.Rename(link+".new", link))
}

// write has the container write lines, every tenth to stderr and every seventh
// cut in two by the runtime.
func (n *node) write(count int) {
	var b strings.Builder
	for range count {
		at := time.Date(2026, 11, 26, 12, 0, 0, n.lines, time.UTC).Format(time.RFC3339Nano)
		stream, text := "stdout", fmt.Sprintf("line %d says nothing special", n.lines)
		if n.lines%10 == 9 {
			stream = "stderr"
		}
		if n.lines%7 == 6 {
			fmt.Fprintf(&b, "%s %s P %s\n%s %s F %s\n", at, stream, text[:6], at, stream, text[6:])
		} else {
			fmt.Fprintf(&b, "%s %s F %s\n", at, stream, text)
		}
		n.text[n.restarts] += text + "\n"
		n.lines++
	}
	_, err := n.file.WriteString(b.String())
	n.w.must(err)
}

// rotate is one rotation: the runtime goes on writing to the renamed file until
// it is asked to open a new one.
func (n *node) rotate() {
	older, err := filepath.Glob(n.log() + ".*")
	n.w.must(err)
	for _, path := range older {
		if !strings.HasSuffix(path, ".gz") {
			n.compress(path)
		}
	}
	at := time.Date(2026, 11, 26, 12, 0, n.rotated, 0, time.UTC)
	n.rotated++
	n.w.must(os.Rename(n.log(), n.log()+"."+at.Format("20060102-150405")))
	n.write(3)
	n.reopen()
}

// compress goes by the kubelet's steps: a temporary file, a rename, a removal.
// The compressed file has the time of its making.
func (n *node) compress(path string) {
	from, err := os.Open(path)
	n.w.must(err)
	defer from.Close()
	to, err := os.Create(path + ".tmp")
	n.w.must(err)
	z := gzip.NewWriter(to)
	_, err = io.Copy(z, from)
	n.w.must(err)
	n.w.must(z.Close())
	n.w.must(to.Close())
	n.w.must(os.Rename(path+".tmp", path+".gz"))
	n.w.must(os.Remove(path))
}

// restart is that of the container: a log of the next number.
func (n *node) restart(link int) {
	n.restarts++
	n.text = append(n.text, "")
	n.reopen()
	n.link(link)
}

func (n *node) spooled() { n.w.spooled(int64(n.lines)) }

var kubelet = []struct {
	name string
	run  func(n *node)
}{
	{"rotated while the agent runs", func(n *node) {
		n.w.start()
		for range 4 {
			n.write(100)
			n.rotate()
		}
		n.write(10)
		n.spooled()
	}},
	{"rotated once while it is stopped", func(n *node) {
		n.w.start()
		n.write(100)
		n.spooled()
		n.w.stop()
		n.write(100)
		n.rotate()
		n.write(100)
	}},
	{"rotated and compressed while it is stopped", func(n *node) {
		n.w.start()
		n.write(100)
		n.spooled()
		n.w.stop()
		for range 4 {
			n.write(100)
			n.rotate()
		}
		n.write(10)
	}},
	{"the container is restarted", func(n *node) {
		n.w.start()
		n.write(100)
		n.restart(1) // the link of the old container stays until its removal
		n.write(100)
		n.spooled() // a first generation that nobody has seen can't be known
		n.rotate()
		n.write(10)
		n.spooled()
		n.w.must(os.Remove(n.w.path(fmt.Sprintf("containers/web-7d4b9c_default_web-%064x.log", 0))))
		n.restart(2)
		n.write(10)
		n.spooled()
	}},
	{"the link is retargeted", func(n *node) {
		n.w.start()
		n.write(100)
		n.restart(0)
		n.write(100)
		n.spooled()
		n.rotate()
		n.restart(0)
		n.write(10)
		n.spooled()
	}},
	{"the link is retargeted while it is stopped", func(n *node) {
		n.w.start()
		n.write(100)
		n.spooled()
		n.w.stop()
		n.rotate()
		n.restart(0)
		n.write(100)
	}},
	{"the patterns match pods/", func(n *node) {
		n.w.cfg.Inputs[0].Include = []string{n.w.path("pods/*/*/*.log")}
		n.w.start()
		n.write(100)
		n.rotate()
		n.write(10)
		n.spooled()
		n.w.stop()
		n.rotate()
		n.write(10)
		n.rotate()
		n.restart(1)
		n.write(10)
	}},
	{"killed, then rotated", func(n *node) {
		n.w.start()
		n.write(100)
		n.spooled()
		n.w.proc.Kill()
		n.w.proc = nil
		n.write(10)
		n.rotate()
		n.write(10)
		n.w.start()
		n.w.spooled(23)
	}},
}

func TestKubelet(t *testing.T) {
	for _, row := range kubelet {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			n := newNode(w)
			row.run(n)
			for i, text := range n.text {
				w.expect(fmt.Sprintf("%d.log", i), text)
			}
			w.arrives()
		})
	}
}
