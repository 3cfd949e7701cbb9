package logs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What the writer says it wrote is what is on disk: the newest generation in
// path, the ones before in path.1, path.2 and so on.
func TestWriterKeepsItsWord(t *testing.T) {
	for _, rotation := range []Rotation{Never, Rename, CopyTruncate} {
		t.Run(string(rotation), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			w := &Writer{
				Path:   filepath.Join(t.TempDir(), "app.log"),
				Source: &Odd{Source: NewEvents(1, "app"), Stream: "app", Long: 4096, Rand: r},
				Rate:   20000, Rotation: rotation, Every: 30 * time.Millisecond, Partial: 0.3, Rand: r,
			}
			if err := w.Burst(2500); err != nil {
				t.Fatal(err)
			}
			w.Followed.Store(true)
			ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
			defer cancel()
			if err := w.Run(ctx); err != nil {
				t.Fatal(err)
			}
			compareFiles(t, w)
		})
	}
}

func compareFiles(t *testing.T, w *Writer) {
	t.Helper()
	g := w.Generations()
	if rotated := len(g) > 1; rotated != (w.Rotation != Never) {
		t.Fatalf("%d generations", len(g))
	}
	if len(g[0].Lines) < 2500 {
		t.Errorf("the burst is not in the first generation: %d lines", len(g[0].Lines))
	}
	for i := range g {
		path := w.Path
		if age := len(g) - 1 - i; age > 0 {
			path = fmt.Sprintf("%s.%d", path, age)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Join(g[i].Lines, []byte("\n"))
		if len(want) > 0 {
			want = append(want, '\n')
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s has %d bytes, the writer says %d", path, len(b), len(want))
		}
	}
}

// A file that nobody follows yet is not rotated.
func TestWriterWaitsToBeFollowed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	w := &Writer{
		Path: filepath.Join(t.TempDir(), "app.log"), Source: NewAccess(1, "web"),
		Rate: 1000, Rotation: Rename, Every: time.Millisecond, Rand: r,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(w.Generations()); n != 1 {
		t.Errorf("%d generations", n)
	}
}

// Odd lines are unique, so that a comparison can tell which of them is missing.
func TestOddLinesAreUnique(t *testing.T) {
	o := &Odd{Source: NewEvents(1, "app"), Stream: "app", Long: 100, Rand: rand.New(rand.NewPCG(1, 1))}
	seen := map[string]bool{}
	var l []byte
	for range 20000 {
		l = o.Append(l[:0])
		if bytes.Count(l, []byte("\n")) != 1 || l[len(l)-1] != '\n' {
			t.Fatalf("not one line: %q", l)
		}
		if seen[string(l)] {
			t.Fatalf("twice: %q", l)
		}
		seen[string(l)] = true
	}
	if o.n < 200 {
		t.Errorf("only %d odd lines", o.n)
	}
}
