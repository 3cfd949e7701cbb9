//go:build e2e

package outage

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// link is a TCP connection to another address that can be narrow or long: what
// the agent sends goes through it, the answers come back at once.
type link struct {
	to    string
	l     net.Listener
	ctx   context.Context // ends with the link
	end   context.CancelFunc
	width *rate.Limiter // bytes per second of all connections together

	mu      sync.Mutex
	latency time.Duration

	running sync.WaitGroup
}

// piece is how many bytes pass at once; received, how many the kernel takes
// before they do: with its usual megabytes a narrow link would not be felt.
const (
	piece    = 4 << 10
	received = 16 << 10
)

// inTransit bounds what a long link holds, in pieces.
const inTransit = 16 << 10

// newLink listens on loopback and passes on to the address to.
func newLink(to string) (*link, error) {
	k := &link{to: to, width: rate.NewLimiter(rate.Inf, piece)}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, received) })
	}}
	k.ctx, k.end = context.WithCancel(context.Background())
	var err error
	if k.l, err = lc.Listen(k.ctx, "tcp", "127.0.0.1:0"); err != nil {
		k.end()
		return nil, err
	}
	k.running.Go(func() {
		for {
			c, err := k.l.Accept()
			if err != nil {
				return
			}
			k.running.Go(func() { k.pass(c) })
		}
	})
	return k, nil
}

func (k *link) close() {
	k.end()
	k.l.Close()
	k.running.Wait()
}

func (k *link) setLatency(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.latency = d
}

// pass serves one connection.
func (k *link) pass(from net.Conn) {
	to, err := net.Dial("tcp", k.to)
	if err != nil {
		from.Close()
		return
	}
	both := func() { from.Close(); to.Close() }
	defer both()
	defer context.AfterFunc(k.ctx, both)()
	var answers sync.WaitGroup
	answers.Go(func() {
		defer both()
		io.Copy(from, to)
	})
	k.forth(to, from)
	both()
	answers.Wait()
}

// sent is a piece on its way.
type sent struct {
	data []byte
	at   time.Time
}

// forth moves what the agent sends, as narrow and as late as the link is.
func (k *link) forth(to, from net.Conn) {
	way := make(chan sent, inTransit)
	var arriving sync.WaitGroup
	arriving.Go(func() {
		for s := range way {
			k.mu.Lock()
			left := time.Until(s.at.Add(k.latency))
			k.mu.Unlock()
			select {
			case <-time.After(left):
			case <-k.ctx.Done():
			}
			to.Write(s.data) // an end is seen by the reader
		}
	})
	for {
		b := make([]byte, piece)
		n, err := from.Read(b)
		if err == nil {
			err = k.width.WaitN(k.ctx, n)
		}
		if err != nil {
			break
		}
		way <- sent{b[:n], time.Now()}
	}
	close(way)
	arriving.Wait()
}
