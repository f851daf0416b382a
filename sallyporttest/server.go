// Package sallyporttest makes real connections to a door for tests: in memory,
// so that testing/synctest can let a minute pass in no time (a wait in a TCP
// read would keep time standing still).
//
// There is no TLS in between. Nothing in this package is fit for production.
package sallyporttest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Server is an http.Server whose connections are in memory.
type Server struct {
	listener *listener
	http     *http.Server
	done     sync.WaitGroup
}

// Serve runs handler until the test ends. Inside a synctest bubble, call Close
// before the bubble ends.
func Serve(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	s := &Server{listener: &listener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	s.http = &http.Server{Handler: handler}
	s.done.Go(func() { s.http.Serve(s.listener) })
	t.Cleanup(s.Close)
	return s
}

// Close ends the server and its connections that were not upgraded.
func (s *Server) Close() {
	s.http.Close()
	s.done.Wait()
}

// Dial opens a connection to the server.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	client, server := Pipe()
	select {
	case s.listener.conns <- server:
		return client, nil
	case <-s.listener.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return address }
