package tailer_test

import (
	"fmt"
	"os"
	"testing"
)

// Of the names of one file the one that is no link is what its lines are told by:
// whoever links to a log would have its lines under a name of his choice.
func TestLinkBesideItsTarget(t *testing.T) {
	follow(t, func(f *harness) {
		for i := range 20 {
			log := fmt.Sprintf("b/%d.log", i)
			f.append(log, "line\n")
			f.append("a/x", "")
			f.must(os.Symlink(f.path(log), f.path(fmt.Sprintf("a/%d.log", i))))
		}
		f.step()
		for _, s := range f.store.spans {
			if len(s.Data) > 0 && s.Path[:len(f.path("b/"))] != f.path("b/") {
				t.Errorf("lines of %s", s.Path)
			}
		}
	}, "*/*.log")
}

// A file that is left out is left out under the name of a link as well.
func TestLinkToExcluded(t *testing.T) {
	inBubble(t, func(f *harness) {
		f.o.Inputs[0].Exclude = []string{f.path("b/*")}
		f.append("b/secret.log", "secret\n")
		f.append("a/good.log", "good\n")
		f.must(os.Symlink(f.path("b/secret.log"), f.path("a/link.log")))
		f.start()
		f.step()
		f.want("good\n")
	}, "*/*.log")
}
