package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guarded is a fixture with a state directory, a configuration and a key, and
// logs/good.log that is followed.
func guarded(t *testing.T, patterns ...string) (f *fixture, log *strings.Builder) {
	f, log = newFixture(t, patterns...), &strings.Builder{}
	f.kill()
	f.append("state/queue/1.seg", "secret segment\n")
	f.append("etc/agent.toml", "secret = 1\n")
	f.append("etc/conf.d/a.toml", "secret = 2\n")
	f.append("etc/key", "secret key\n")
	f.append("logs/good.log", "one\n")
	f.o.Private = []string{f.path("state"), f.path("state/queue"), f.path("etc/agent.toml"), f.path("etc/conf.d/a.toml"), f.path("etc/key"), f.path("no/such")}
	f.o.Logger = newLogger(log)
	f.start()
	return f, log
}

var secrets = []string{"state/queue/1.seg", "etc/agent.toml", "etc/conf.d/a.toml", "etc/key"}

// Whatever name leads to what is the agent's own, or the kernel's, it is not
// followed; the rest is, and nothing counts as lost or wrong.
func TestPrivate(t *testing.T) {
	for name, c := range map[string]struct {
		pattern string
		make    func(f *fixture)
	}{
		"symbolic links": {"logs/*.log", func(f *fixture) {
			for i, s := range secrets {
				f.must(os.Symlink(f.path(s), f.path(fmt.Sprintf("logs/%d.log", i))))
			}
		}},
		"hard links": {"logs/*.log", func(f *fixture) {
			for i, s := range secrets {
				f.must(os.Link(f.path(s), f.path(fmt.Sprintf("logs/%d.log", i))))
			}
		}},
		"rotated names": {"logs/*.log", func(f *fixture) {
			for i, s := range secrets {
				f.must(os.Link(f.path(s), f.path(fmt.Sprintf("logs/good.log.%d", i))))
			}
		}},
		"a link to a directory": {"logs/*.log", func(f *fixture) {
			f.append("state/queue/2.log", "secret\n")
			f.must(os.Symlink(f.path("state/queue/2.log"), f.path("logs/2.log")))
		}},
		"a wildcard":       {"**/*", func(*fixture) {}},
		"another wildcard": {"{state,etc,logs}/**/*{.log,.toml,.seg,key}", func(*fixture) {}},
		"links to the kernel's": {"logs/*.log", func(f *fixture) {
			f.must(os.Symlink("/proc/self/environ", f.path("logs/environ.log")))
			f.must(os.Symlink("/proc/version", f.path("logs/version.log")))
			f.must(os.Symlink("/sys/kernel/uevent_seqnum", f.path("logs/sys.log")))
		}},
	} {
		for _, byContent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by content %v", name, byContent), func(t *testing.T) {
				f, log := guarded(t, c.pattern)
				f.o.Inputs[0].ByContent = byContent
				f.restart(func() {})
				f.step()
				c.make(f)
				for range 3 {
					f.pass(idle)
				}
				f.append("logs/good.log", "two\n")
				f.append("state/queue/3.seg", "secret segment\n") // a new one, and a link to it
				f.must(os.Link(f.path("state/queue/3.seg"), f.path("logs/late.log")))
				f.pass(idle)
				f.restart(func() {})
				f.step()
				f.pass(idle)
				f.want("one\ntwo\n")
				if s := f.stats(); s.LostBytes != 0 || len(s.Errors) != 0 || s.Files != 1 {
					t.Errorf("stats: %+v", s)
				}
				if n := strings.Count(log.String(), "never followed") + strings.Count(log.String(), "ignored a name"); n == 0 || n > 2 {
					t.Errorf("%d warnings:\n%s", n, log)
				}
			})
		}
	}
}

// A pattern of the kernel's files follows none, and does not walk through them.
func TestPrivateKernel(t *testing.T) {
	for _, pattern := range []string{"/proc/**/*", "/proc/self/environ", "/proc/*/stat*", "/sys/**/*.log", "/sys/kernel/*"} {
		f := newFixture(t, "*.log")
		f.kill()
		f.o.Inputs[0].Include = []string{pattern, f.path("*.log")}
		f.append("a.log", "one\n")
		f.start()
		began := time.Now()
		f.step()
		f.want("one\n")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: a scan took %v", pattern, took)
		}
		f.kill()
	}
}

// A name leads elsewhere by the time it is opened.
func TestPrivateSwapped(t *testing.T) {
	f, _ := guarded(t, "logs/*.log")
	f.append("logs/a.log", "a\n")
	open := f.openFD
	f.openFD = func(path string) (int, error) {
		if path != f.path("logs/a.log") {
			return open(path)
		}
		return open(f.path("etc/key"))
	}
	f.step()
	f.pass(idle)
	f.want("one\n")
	if s := f.stats(); len(s.Errors) != 1 || !strings.Contains(s.Errors[0].Problem, "never followed") {
		t.Errorf("stats: %+v", s)
	}
	f.openFD = open
	f.pass(time.Second)
	f.want("one\na\n")
}

// A bind mount of a directory, or of a file, has the inodes of what it shows.
func TestPrivateBindMount(t *testing.T) {
	f, _ := guarded(t, "logs/**/*")
	for _, m := range []struct{ from, to string }{{"state/queue", "logs/queue"}, {"etc/key", "logs/key.log"}} {
		if strings.HasSuffix(m.to, ".log") {
			f.append(m.to, "")
		} else {
			f.must(os.MkdirAll(f.path(m.to), 0o755))
		}
		if err := unix.Mount(f.path(m.from), f.path(m.to), "", unix.MS_BIND, ""); err != nil {
			t.Skip("mounting is not allowed here: ", err)
		}
		defer func() { f.must(unix.Unmount(f.path(m.to), 0)) }()
	}
	f.step()
	f.pass(idle)
	f.want("one\n")
	if s := f.stats(); s.Files != 1 {
		t.Errorf("stats: %+v", s)
	}
}
