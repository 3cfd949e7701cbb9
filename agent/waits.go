package agent

import (
	"slices"
	"sync"
	"time"
)

// waits knows since when each input has lines that were read and are not
// durable yet. It costs a call per batch and input. Any goroutine may use it.
type waits struct {
	mu   sync.Mutex
	born [][]time.Time // by input: of the batches that hold lines of it, oldest first
}

func newWaits(inputs int) *waits { return &waits{born: make([][]time.Time, inputs)} }

// add notes that a batch has its first lines of an input.
func (w *waits) add(input int, born time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.born[input] = append(w.born[input], born)
}

// durable notes that the oldest batch is, which held lines of some inputs.
func (w *waits) durable(spans [][]span) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range spans {
		if len(spans[i]) > 0 {
			w.born[i] = slices.Delete(w.born[i], 0, 1)
		}
	}
}

// since is when the oldest lines of an input were taken that are not durable;
// zero if all are.
func (w *waits) since(input int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.born[input]) == 0 {
		return time.Time{}
	}
	return w.born[input][0]
}
