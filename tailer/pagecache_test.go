package tailer

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A backlog that was not in the page cache is not there afterwards, but for its
// end; one that was stays.
func TestBacklogSparesThePageCache(t *testing.T) {
	f := newFixture(t, "*.log")
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 5*cacheWindow/100)
	for _, name := range []string{"cold.log", "warm.log"} {
		f.append(name, text)
		file, err := os.Open(f.path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		fd := int(file.Fd())
		if err := unix.Fsync(fd); err != nil {
			t.Fatal(err)
		}
		cached := func() int64 { return cachedBytes(fd, 0, int64(len(text))) }
		if name == "cold.log" {
			dropCached(fd, 0, 0)
			if n := cached(); n > 0 {
				t.Skipf("skipped: %d bytes stay in the page cache on this file system or kernel", n)
			}
		}
		before := cached()
		f.step()
		if n := cached(); name == "warm.log" && n < before || name == "cold.log" && n > 3*cacheWindow {
			t.Errorf("%s: %d of %d bytes are in the page cache, %d were", name, n, len(text), before)
		}
	}
}
