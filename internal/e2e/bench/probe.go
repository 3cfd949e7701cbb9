package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// status is the part of GET /status that the benchmark uses.
type status struct {
	PID       int   `json:"pid"`
	Following bool  `json:"following"`
	Lag       int64 `json:"lag_bytes"`
	Backlog   int64 `json:"backlog_bytes"`
	Open      int   `json:"open_chunks"`
	Sealed    int   `json:"sealed_chunks"`
	Inputs    []struct {
		Bytes   int64 `json:"bytes"`   // durable
		Records int64 `json:"records"` // durable
	} `json:"inputs"`
}

func (s *status) bytes() (n int64) {
	for _, in := range s.Inputs {
		n += in.Bytes
	}
	return n
}

func (s *status) records() (n int64) {
	for _, in := range s.Inputs {
		n += in.Records
	}
	return n
}

// shipped says that nothing is left to do.
func (s *status) shipped() bool { return s.Lag == 0 && s.Backlog == 0 && s.Open == 0 && s.Sealed == 0 }

// probe asks a running agent. Use one per goroutine, and close it.
type probe struct{ http http.Client }

func newProbe(socket string) *probe {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &probe{http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 30 * time.Second}}
}

func (p *probe) close() { p.http.CloseIdleConnections() }

func (p *probe) status(ctx context.Context) (status, error) {
	var s status
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return s, err
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// await asks every so often until ok, and returns the answer that was.
func (p *probe) await(ctx context.Context, every, limit time.Duration, ok func(status) bool) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last status
	for {
		s, err := p.status(ctx)
		if err == nil {
			last = s
			if ok(s) {
				return s, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, fmt.Errorf("waited %s for the agent in vain, its last answer is %+v: %w", limit, last, errors.Join(ctx.Err(), err))
		}
	}
}

// peakEvery bounds what is missed of the peak at the end of a process.
const peakEvery = 20 * time.Millisecond

// watchPeak reads the peak of the agent behind the socket until done is
// closed, and then sends the last one.
func watchPeak(ctx context.Context, socket string, done <-chan struct{}) <-chan int64 {
	result := make(chan int64, 1)
	go func() {
		p, tick := newProbe(socket), time.NewTicker(peakEvery)
		defer p.close()
		defer tick.Stop()
		var pid int
		var peak int64
		for {
			select {
			case <-tick.C:
			case <-done:
				result <- peak
				return
			}
			if pid == 0 {
				s, _ := p.status(ctx) // no answer yet: pid stays 0
				pid = s.PID
				continue
			}
			peak = max(peak, agentproc.MemoryOf(pid).Peak)
		}
	}()
	return result
}

func descriptors(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(list)
}
