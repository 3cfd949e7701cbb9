package tailer

import "testing"

func TestPassing(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/l/*", "/l/a.log", false},
		{"/l/*", "/l/.a.log.Xy12aB", true},
		{"/l/*.log", "/l/.a.log", true},
		{"/l/.*", "/l/.a.log", false},
		{"/l/.a*", "/l/.a.log", false},
		{"/l/{.,}*.log", "/l/.a.log", false},
		{"/l/{a,.b}.log", "/l/.b.log", false},
		{"/l/[.]a", "/l/.a", false},
		{"/l/**/*.log", "/l/.git/a.log", true},
		{"/l/**/*.log", "/l/x/.snapshot/a.log", true},
		{"/l/**/.snapshot/*.log", "/l/x/.snapshot/a.log", false},
		{"/home/me/.cache/*.log", "/home/me/.cache/a.log", false},
		{"/home/me/.cache/app.log", "/home/me/.cache/app.log", false},
		{"/l/*", "/l/a.log~", true},
		{"/l/*~", "/l/a.log~", false},
		{"/l/*", "/l/a.log.tmp", true},
		{"/l/*.tmp", "/l/a.tmp", false},
		{"/l/*.{log,tmp}", "/l/a.tmp", false},
		{"/l/*", "/l/a.swp", true},
		{"/l/tmp/*", "/l/tmp/a.log", false},
		{"/l/a.tmp", "/l/a.tmp", false},
	} {
		if got := passing(c.pattern, c.path); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.path, got)
		}
	}
}

// rsync writes under a hidden name and renames: nothing is read before.
func TestHiddenNames(t *testing.T) {
	f := newFixture(t, "*")
	f.append(".a.log.Xy12aB", "one\ntw")
	f.append("b.log~", "old\n")
	f.append("c.tmp", "not yet\n")
	f.step()
	f.want("")
	f.append(".a.log.Xy12aB", "o\n")
	f.rename(".a.log.Xy12aB", "a.log")
	f.step()
	f.want("one\ntwo\n")
}
