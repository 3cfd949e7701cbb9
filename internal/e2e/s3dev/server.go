package s3dev

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
)

// Server is an HTTP listener that can go away and come back.
// Its methods may be called by any goroutine.
type Server struct {
	addr    string
	handler http.Handler
	gate    sync.RWMutex // held for reading by every running handler

	mu   sync.Mutex
	http *http.Server  // nil while down
	done chan struct{} // closed when http's Serve has returned
}

// Ports are taken from below the range that Linux gives to outgoing
// connections (ip_local_port_range starts at 32768): while a server is down no
// client socket may take its port, nor connect to itself.
const (
	firstPort = 20000
	lastPort  = 32000
	portTries = 64

	loopback = "127.0.0.1"
)

// Listen serves h on a free loopback port until Close.
func Listen(h http.Handler) (*Server, error) { return ListenAt(loopback, h) }

// ListenAt is Listen at another address of this machine.
func ListenAt(ip string, h http.Handler) (*Server, error) {
	var err error
	for range portTries {
		s := &Server{handler: h, addr: freeAddr(ip)}
		if err = s.Up(); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("no free port of %s from %d to %d: %w", ip, firstPort, lastPort, err)
}

func freeAddr(ip string) string {
	return fmt.Sprintf("%s:%d", ip, firstPort+rand.IntN(lastPort-firstPort))
}

// URL is the endpoint, for example http://127.0.0.1:20123.
func (s *Server) URL() string { return "http://" + s.addr }

// ServeHTTP passes the request on; Down waits until it is done.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	s.handler.ServeHTTP(w, r)
}

// Up listens again. It does nothing if the server is up.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	srv, done := &http.Server{Handler: s}, make(chan struct{})
	s.http, s.done = srv, done
	go func() {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("s3dev: serve %s: %v", s.addr, err))
		}
	}()
	return nil
}

// Down cuts every connection and refuses new ones. It returns when no handler
// that began before runs any more.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	s.http.Close()
	<-s.done
	s.gate.Lock() // waits for the handlers
	defer s.gate.Unlock()
	s.http = nil
}

// Close is Down for good.
func (s *Server) Close() { s.Down() }
