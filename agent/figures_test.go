package agent

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The figures of ARCHITECTURE.md are those of the code.
func TestFiguresOfTheArchitecture(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(text)), " ")
	number := map[int]string{2: "two", 3: "three", 4: "four"}
	for _, says := range []string{
		fmt.Sprintf("a batch: at most %d MiB", batchSize>>20),
		fmt.Sprintf("up to %s in one transaction", number[maxGroup]),
	} {
		if !strings.Contains(doc, says) {
			t.Errorf("ARCHITECTURE.md does not say %q", says)
		}
	}
}
