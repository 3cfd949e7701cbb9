package spool

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The figures of the package's documentation are those of the code.
func TestFiguresOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(strings.ReplaceAll(string(text), "//", "")), " ")
	for _, says := range []string{
		fmt.Sprintf("ballast %d MiB", ballastSize>>20),
		fmt.Sprintf("format 4 bytes, big endian: %d;", formatVersion),
		fmt.Sprintf("version %d, encoding", headerVersion),
		fmt.Sprintf("state (%d open, %d sealed, %d tombstone)", StateOpen, StateSealed, StateTombstone),
	} {
		if !strings.Contains(doc, says) {
			t.Errorf("doc.go does not say %q", says)
		}
	}
}

// Every Append is one transaction, however many batches it takes.
func TestAppendIsOneTransaction(t *testing.T) {
	commits := 0
	sp, err := Open(Options{Dir: t.TempDir(), Hook: func(step string) error {
		if step == "append.committed" {
			commits++
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	batch := func(file uint64) *Batch { return &Batch{Positions: []Position{{File: file, Data: []byte("p")}}} }
	if err := sp.Append(batch(1), batch(2), batch(3)); err != nil {
		t.Fatal(err)
	}
	if commits != 1 {
		t.Errorf("%d commits", commits)
	}
}
