package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Everybody who can reach a listener of the agent can ask, so what those who ask
// can take from the pipeline is bounded: descriptors, memory and time.
const (
	// maxClients is how many connections a listener has. One more closes the one
	// that has waited longest without asking: idle ones keep nobody out.
	maxClients = 64
	// maxAnswers is how many answers are made at a time, and answersPerSecond how
	// many of those that cost some work.
	maxAnswers       = 4
	answersPerSecond = 50
	// askWait is how long a client may take to ask, and to take the next
	// answerPiece of an answer.
	askWait     = 10 * time.Second
	answerPiece = 64 << 10
	idleWait    = 2 * time.Minute
	// maxHeader and maxBody are bytes of a request.
	maxHeader = 16 << 10
	maxBody   = 64 << 10
)

// newServer returns a server whose clients are bounded. How long making an
// answer takes is not: profiles and a flush take as long as they are asked to.
func newServer(h http.Handler) *http.Server {
	c := &clients{waiting: make(map[net.Conn]uint64), wait: askWait}
	return &http.Server{
		Handler: c.bound(h), ReadHeaderTimeout: askWait, IdleTimeout: idleWait, MaxHeaderBytes: maxHeader,
		ConnState: c.state,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
}

// clients are the connections of one server.
type clients struct {
	wait time.Duration // for the next bytes of a request, and of an answer to be taken

	mu      sync.Mutex
	open    int
	turn    uint64
	waiting map[net.Conn]uint64 // no request of theirs is being answered; by when that began
}

type connKey struct{}

// state follows the life of a connection.
func (c *clients) state(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		c.open++
		c.turn++
		c.waiting[conn] = c.turn
		if c.open > maxClients {
			c.closeLongest()
		}
	case http.StateClosed:
		c.open--
		delete(c.waiting, conn)
	}
}

// closeLongest closes the connection that has waited longest, the new one if all
// others are being answered.
func (c *clients) closeLongest() {
	var longest net.Conn
	for conn, turn := range c.waiting {
		if longest == nil || turn < c.waiting[longest] {
			longest = conn
		}
	}
	delete(c.waiting, longest)
	_ = longest.Close() // its server finds out, and says so to state
}

// answering notes that a request of conn is being answered, until the returned
// function is called.
func (c *clients) answering(conn net.Conn) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, conn)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.turn++
		c.waiting[conn] = c.turn
	}
}

// bound has h answer requests of small bodies, to clients that take what they
// asked for.
func (c *clients) bound(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			defer c.answering(conn)()
		}
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(c.wait))
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if err != nil {
				code := http.StatusRequestTimeout
				if errors.As(err, new(*http.MaxBytesError)) {
					code = http.StatusRequestEntityTooLarge
				}
				http.Error(w, err.Error(), code)
				return
			}
			_ = control.SetReadDeadline(time.Time{})
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		h.ServeHTTP(&answer{w, c.wait}, r)
	})
}

// answer is a ResponseWriter that gives the client that long for every piece.
type answer struct {
	http.ResponseWriter
	wait time.Duration
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Write(b []byte) (n int, err error) {
	control := http.NewResponseController(a.ResponseWriter)
	for first := true; first || len(b) > 0; first = false {
		piece := b[:min(len(b), answerPiece)]
		_ = control.SetWriteDeadline(time.Now().Add(a.wait))
		k, err := a.ResponseWriter.Write(piece)
		n += k
		if err != nil {
			return n, err
		}
		b = b[len(piece):]
	}
	return n, nil
}

// desk bounds how many answers are made at a time, and how often.
type desk struct {
	places chan struct{}
	pace   *rate.Limiter // nil: as fast as they are made
}

// newDesk returns a desk of maxAnswers places and at most perSecond answers a
// second; 0 is no limit.
func newDesk(perSecond int) *desk {
	d := &desk{places: make(chan struct{}, maxAnswers)}
	if perSecond > 0 {
		d.pace = rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
	return d
}

// enter waits for a place, and answers 503 and returns false if none gets free
// within askWait.
func (d *desk) enter(w http.ResponseWriter, r *http.Request) (leave func(), ok bool) {
	ctx, cancel := context.WithTimeout(r.Context(), askWait)
	defer cancel()
	if d.pace == nil || d.pace.Wait(ctx) == nil {
		select {
		case d.places <- struct{}{}:
			return func() { <-d.places }, true
		case <-ctx.Done():
		}
	}
	w.Header().Set("Retry-After", "10")
	http.Error(w, "too many ask at once", http.StatusServiceUnavailable)
	return nil, false
}

// streamed has h answer at a place of the desk.
func (d *desk) streamed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if leave, ok := d.enter(w, r); ok {
			defer leave()
			h(w, r)
		}
	}
}

// prepared is streamed for answers of little size. The place is free again once
// the answer is made: a client that does not take it keeps nobody waiting.
func (d *desk) prepared(h http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		leave, ok := d.enter(w, r)
		if !ok {
			return
		}
		p := page{header: w.Header(), code: http.StatusOK}
		h.ServeHTTP(&p, r)
		leave()
		w.WriteHeader(p.code)
		_, _ = w.Write(p.body.Bytes()) // the client went away
	}
}

// page is an answer in memory.
type page struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (p *page) Header() http.Header         { return p.header }
func (p *page) WriteHeader(code int)        { p.code = code }
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }
