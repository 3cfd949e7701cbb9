package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// serve answers on the sockets of [telemetry] until the returned function is
// called. A socket that can't be had is a warning, not a stop: lines come first.
func (a *Agent) serve() (stop func()) {
	t := a.setup.Load().cfg.Telemetry
	if t.Socket == "" {
		return func() {}
	}
	stops := []func(){a.serveSocket(t.Socket, -1, a.handler())}
	if t.StatusGroup != "" {
		questions := http.NewServeMux()
		a.handleQuestions(questions)
		if gid, err := groupID(t.StatusGroup); err != nil {
			a.o.Logger.Warn("no socket for the status group", "group", t.StatusGroup, "error", err, "hint", "create the group, or correct [telemetry] status_group")
		} else {
			stops = append(stops, a.serveSocket(t.StatusSocket(), gid, questions))
		}
	}
	return func() {
		for _, stop := range stops {
			stop()
		}
	}
}

// groupID returns the number of a group, which may be given as its name.
func groupID(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// serveSocket answers on one socket until the returned function is called. Its
// group is gid, or that of the process if gid is negative.
func (a *Agent) serveSocket(path string, gid int, h http.Handler) (stop func()) {
	l, err := listen(path, gid)
	if err != nil {
		hint := "create its directory, or set [telemetry] socket"
		var other *notSocketError
		switch {
		case errors.As(err, &other):
			hint = "move it away, or set [telemetry] socket to another path"
		case errors.Is(err, syscall.EPERM):
			hint = "make the agent's user a member of [telemetry] status_group: SupplementaryGroups= in a drop-in of the unit"
		}
		a.o.Logger.Warn("no status socket", "error", err, "hint", hint)
		return func() {}
	}
	srv := newServer(h)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.o.Logger.Warn("status socket failed", "error", err)
		}
	}()
	return func() {
		_ = srv.Close() // and the listener, which removes the socket
		<-done
	}
}

// socket is a listener that removes its socket when it is closed, and nothing that
// somebody has put in its place.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close implements net.Listener.
func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.info) {
			_ = os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}

// listen makes the socket at path, in place of one that nobody answers on. Only its
// owner and its group can connect: that of the process, or gid if it is not negative.
func listen(path string, gid int) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's directory: %w", err)
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: path}
	if s.info, err = os.Lstat(path); err == nil && gid >= 0 {
		err = os.Lchown(path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		if s.info != nil {
			_ = s.Close()
		}
		return nil, err
	}
	return s, nil
}

// notSocketError tells that something else is at the path of a socket.
type notSocketError struct{ path, kind string }

func (e *notSocketError) Error() string {
	return fmt.Sprintf("socket %s: there is %s of that name", e.path, e.kind)
}

// CheckSocket returns an error if anything but a socket is at the path of one; the
// agent leaves it alone.
func CheckSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if kind := kindOf(info.Mode()); kind != "" {
		return &notSocketError{path, kind}
	}
	return nil
}

// kindOf names what is not a socket.
func kindOf(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeSocket:
		return ""
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	case fs.ModeNamedPipe:
		return "a named pipe"
	}
	return "a device"
}

// removeDead removes a socket on which no process listens. Everything else stays: a
// file of that name may be anything, and a process may be too busy to answer.
func removeDead(path string) error {
	if err := CheckSocket(path); err != nil {
		return err
	}
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket %s is in use by another process", path)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		return fmt.Errorf("socket %s is in use by another process", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the stale socket: %w", err)
	}
	return nil
}
