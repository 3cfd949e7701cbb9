package tailer

import (
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func TestLinkPolicies(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make links of two users")
	}
	const alice, eve = 1000, 1001
	for _, c := range []struct {
		what                string
		link, between, file int // owners; between: of a link in the middle, -1 for none
		policy              LinkPolicy
		want                bool
	}{
		{"of root", 0, -1, alice, "", true},
		{"of root, to root's", 0, -1, 0, SameOwner, true},
		{"of the file's owner", alice, -1, alice, SameOwner, true},
		{"of another user", eve, -1, alice, SameOwner, false},
		{"of another user, to root's", eve, -1, 0, "", false},
		{"by another user's link", alice, eve, alice, SameOwner, false},
		{"of another user, by root's link", eve, 0, 0, SameOwner, false},
		{"of another user, all are", eve, -1, 0, Always, true},
		{"of root, none is", 0, -1, 0, Never, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := newFixture(t, "logs/*.log")
			f.kill()
			f.o.Inputs[0].Links = c.policy
			f.start()
			f.append("away/shadow", "secret\n")
			f.append("logs/plain.log", "plain\n")
			f.must(os.Lchown(f.path("away/shadow"), c.file, c.file))
			to := f.path("away/shadow")
			if c.between >= 0 {
				f.must(os.Symlink("shadow", f.path("away/between")))
				f.must(os.Lchown(f.path("away/between"), c.between, c.between))
				to = "../away/between"
			}
			f.must(os.Symlink(to, f.path("logs/a.log")))
			f.must(os.Lchown(f.path("logs/a.log"), c.link, c.link))
			f.step()
			if got := strings.Contains(f.c.text(), "secret"); got != c.want || !strings.Contains(f.c.text(), "plain") {
				t.Errorf("handed on %q", f.c.text())
			}
		})
	}
}

// A link under a rotated name is no rotated copy, and exclude counts for real paths.
func TestLinksToWhatIsNotWanted(t *testing.T) {
	f := newFixture(t, "logs/*.log")
	f.kill()
	f.o.Inputs[0].Exclude = []string{f.path("away/**")}
	f.start()
	f.append("logs/a.log", "one\n")
	f.step()
	f.append("away/shadow", "one\nsecret\n")
	f.must(os.Symlink("../away/shadow", f.path("logs/a.log.1")))
	f.must(os.Symlink("../away/shadow", f.path("logs/b.log")))
	f.rename("logs/a.log", "logs/a.log.2")
	f.append("logs/a.log", "two\n")
	for range 4 {
		f.pass(idle)
	}
	f.want("one\ntwo\n")
}

// A link that is retargeted all the time leads nowhere else in the end.
func TestLinkSwapped(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make links of two users")
	}
	f := newFixture(t, "logs/*.log")
	f.append("away/shadow", "secret\n")
	f.append("eve/own", "own\n")
	f.append("logs/keep", "")
	f.must(os.Lchown(f.path("eve/own"), 1001, 1001))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; !stop.Load(); n++ {
			to := []string{"../away/shadow", "../eve/own"}[n%2]
			_ = os.Symlink(to, f.path("logs/tmp"))
			_ = os.Lchown(f.path("logs/tmp"), 1001, 1001)
			_ = os.Rename(f.path("logs/tmp"), f.path("logs/a.log"))
		}
	}()
	for range 300 {
		f.must(f.scan(t.Context()))
		_, err := f.round(t.Context())
		f.must(err)
	}
	stop.Store(true)
	<-done
	if strings.Contains(f.c.text(), "secret") {
		t.Errorf("handed on %q", f.c.text())
	}
}

// Directories behind wildcards may be links.
func TestLinkedDirectories(t *testing.T) {
	for _, pattern := range []string{"srv/*/current/log/*.log", "srv/*/current/log/**/*.log", "srv/{shop,other}/*/log/*.log", "srv/shop/current/log/*.log"} {
		f := newFixture(t, pattern)
		f.append("releases/1/log/a.log", "one\n")
		f.append("releases/2/log/a.log", "")
		f.must(os.MkdirAll(f.path("srv/shop"), 0o755))
		f.must(os.Symlink("../../releases/1", f.path("srv/shop/current")))
		f.must(os.Symlink("..", f.path("srv/shop/loop")))
		f.must(os.Symlink(".", f.path("releases/1/log/loop")))
		f.step()
		f.want("one\n")
		// The next release.
		f.must(os.Symlink("../../releases/2", f.path("srv/shop/next")))
		f.append("releases/2/log/a.log", "two\n")
		f.append("releases/1/log/a.log", "last\n")
		f.rename("srv/shop/next", "srv/shop/current")
		f.pass(idle)
		f.append("releases/2/log/a.log", "three\n")
		f.pass(idle)
		f.pass(idle)
		if got := sorted(f.c.text()); got != sorted("one\nlast\ntwo\nthree\n") {
			t.Errorf("%s: %q", pattern, got)
		}
	}
}

func TestLinkedDirectoryOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make links of two users")
	}
	f := newFixture(t, "srv/*/log/*.log")
	f.append("root/log/a.log", "secret\n")
	f.append("srv/shop/log/a.log", "one\n")
	f.must(os.Symlink("../root", f.path("srv/eve")))
	f.must(os.Lchown(f.path("srv/eve"), 1001, 1001))
	f.step()
	f.pass(idle)
	f.want("one\n")
}

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
