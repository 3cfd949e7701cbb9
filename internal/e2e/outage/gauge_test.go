//go:build e2e

package outage

import (
	"net/http"
	"sync"
)

// gauge counts the PUTs that a store has at once, also those that the agent gave
// up and that are still on their way.
type gauge struct {
	next http.Handler

	mu       sync.Mutex
	running  int
	answered int // since reset
	most     int // at once since reset
	early    int // PUTs beyond one more than those answered since reset
}

func (g *gauge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		g.next.ServeHTTP(w, r)
		return
	}
	g.mu.Lock()
	g.running++
	g.most = max(g.most, g.running)
	if g.running > 1+g.answered {
		g.early++
	}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		g.answered++
	}()
	g.next.ServeHTTP(w, r)
}

func (g *gauge) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answered, g.most, g.early = 0, 0, 0
}

func (g *gauge) seen() (most, early int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most, g.early
}
