package tailer

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// watcher has the kernel say what happens in directories. A nil watcher, or one
// that could not watch everything, is not relied on: files are polled then.
type watcher struct {
	w    *fsnotify.Watcher
	log  *slog.Logger
	dirs map[string]bool
	full bool // the kernel's limit is reached
}

// eventBuffer is how many events may wait outside the kernel. It is small, so
// that writes to busy files, of which there may be thousands a second, soon
// find it full and wake nobody until the tailer has rested.
const eventBuffer = 8

// newWatcher returns nil, and says so, where there is no inotify. What other
// systems have (kqueue) takes a descriptor for each file of a directory.
func newWatcher(log *slog.Logger) *watcher {
	if runtime.GOOS != "linux" {
		log.Info("files are polled, this system has no inotify")
		return nil
	}
	w, err := fsnotify.NewBufferedWatcher(eventBuffer)
	if err != nil {
		log.Warn("inotify is not available, files are polled", "error", err, "hint", "raise fs.inotify.max_user_instances with sysctl")
		return nil
	}
	return &watcher{w: w, log: log, dirs: map[string]bool{}}
}

func (w *watcher) working() bool { return w != nil && !w.full }

func (w *watcher) close() {
	if w != nil {
		_ = w.w.Close() // it was only read
	}
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w == nil {
		return nil
	}
	return w.w.Events
}

func (w *watcher) errors() <-chan error {
	if w == nil {
		return nil
	}
	return w.w.Errors
}

// set makes dirs the watched ones. Adding one again is harmless, and needed
// where a directory was removed and made anew. It returns whether any is newly
// watched: what happened there since it was listed, nobody has heard of.
func (w *watcher) set(dirs map[string]bool) (added bool) {
	if w == nil {
		return false
	}
	full := false
	for dir := range dirs {
		err := w.w.Add(dir)
		switch {
		case err == nil:
			added = added || !w.dirs[dir]
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EMFILE):
			full = true
		case !errors.Is(err, os.ErrNotExist) && !w.dirs[dir]:
			w.log.Warn("can't watch a directory, it is looked at on a timer", "path", dir, "error", err)
		}
	}
	if full && !w.full {
		w.log.Warn("can't watch all directories, files are polled", "hint", "raise fs.inotify.max_user_watches with sysctl")
	}
	w.full = full
	for dir := range w.dirs {
		if !dirs[dir] {
			_ = w.w.Remove(dir) // it may be gone
		}
	}
	w.dirs = dirs
	return added
}

// failed notes an error of the watcher; an overflow only costs a scan.
func (w *watcher) failed(err error) {
	if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
		w.log.Warn("watching directories failed for now, they are scanned again", "error", err)
	}
}

// takeEvents takes what has happened so far, within bounds: a flood of events
// must not keep files from being read.
func (t *Tailer) takeEvents() {
	refilled := true
	for range 4096 {
		select {
		case e, ok := <-t.watch.events():
			if t.event(e, ok); !ok {
				return
			}
			refilled = false
		case err := <-t.watch.errors():
			t.watch.failed(err)
			t.asked = true
			if err == nil {
				return
			}
		default:
			if refilled {
				return
			}
			runtime.Gosched() // whoever waited for room in the buffer fills it
			refilled = true
		}
	}
}

// event has a written file read, and everything looked at when names change.
func (t *Tailer) event(e fsnotify.Event, ok bool) {
	if !ok {
		return
	}
	if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
		t.asked = true
		return
	}
	known := false
	for _, in := range t.inputs {
		if f := in.names[e.Name]; f != nil {
			known = true
			t.enqueue(f)
		}
	}
	// Permissions of a file that could not be read may have changed.
	if !known && e.Has(fsnotify.Chmod) {
		t.asked = true
	}
}
