package tailer

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
)

// The figures of the package's documentation are those of the code.
func TestFiguresOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(strings.ReplaceAll(string(text), "//", "")), " ")
	for _, says := range []string{
		"a glance asks for at most " + humanize.Comma(glanceAtMost) + " names",
		"after ScanInterval per " + humanize.Comma(glanceAtMost) + " files",
		fmt.Sprintf("a scan is done every %d scan intervals", verifyEvery),
		fmt.Sprintf("one that was only read, for %d s", closeRead/time.Second),
		fmt.Sprintf("some %d KiB", markEvery>>10),
		fmt.Sprintf("the last %d bytes before the offset", anchorSize),
		fmt.Sprintf("about %d earlier (offset, CRC) pairs", maxMarks),
		fmt.Sprintf("a window of %d MiB", maxWindow>>20),
	} {
		if !strings.Contains(doc, says) {
			t.Errorf("doc.go does not say %q", says)
		}
	}
}
