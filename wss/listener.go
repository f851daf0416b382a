package wss

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a [Listener]. Durations and numbers that are zero or negative get
// their defaults; nothing can be made unlimited.
type Options struct {
	// TLS is the profile, from [TLSConfig]. Without it, and for peers that are
	// not in TerminatedBy, every request is answered with 426.
	TLS *tls.Config

	// TerminatedBy are proxies that end TLS. From them, and from nobody else,
	// plaintext is served: requests with exactly one "X-Forwarded-Proto: https".
	TerminatedBy Peers

	// Handshakes is how many TLS handshakes run at once, counted from the
	// complete first message of the client. Others wait; one that has taken a
	// second makes room for them. Default 256.
	Handshakes int

	// Unauthenticated is how many connections are open that were not admitted:
	// in the handshake, waiting for a head, or answering ordinary requests. When
	// it is reached, the one that has been silent longest, and for a second, is
	// closed for the next. Default 1000.
	Unauthenticated int

	// HandshakeTimeout ends a TLS handshake, from accept on. Default 10s.
	HandshakeTimeout time.Duration
	// HeadTimeout ends a head, from its first byte on; the first head of a
	// connection from the end of the handshake on. Bytes that drip do not extend
	// it. Answered with 408. Default 5s.
	HeadTimeout time.Duration
	// IdleTimeout closes a connection on which no further request begins. Default 60s.
	IdleTimeout time.Duration

	// MaxBody is the largest request body, in bytes. A larger one is answered
	// with 413. Default 1 MiB.
	MaxBody int64

	// Refusal returns a complete HTTP response for a refused request, which is
	// written as it is before the connection ends: so it must say "Connection:
	// close". It is used over TLS and towards TerminatedBy; in clear text a
	// built-in answer is given, without Strict-Transport-Security (RFC 6797,
	// section 7.2). Default: the built-in one.
	Refusal func(status int, why string) []byte

	// OnRefuse is told of every connection that was refused, with constant text.
	// status is what was answered, or would have been: 0 for a failed TLS
	// handshake, 429 by PerAddress, 503 to make room. It must not block.
	OnRefuse func(remote netip.Addr, status int, why string)

	// PerAddress is asked for a place for each connection, except those on unix
	// sockets and of TerminatedBy. Without one the connection is closed. release
	// is called once when the connection is admitted or closed.
	PerAddress func(netip.Addr) (release func(), ok bool)
}

func (o *Options) setDefaults() {
	o.Handshakes = positive(o.Handshakes, 256)
	o.Unauthenticated = positive(o.Unauthenticated, 1000)
	o.HandshakeTimeout = positive(o.HandshakeTimeout, 10*time.Second)
	o.HeadTimeout = positive(o.HeadTimeout, 5*time.Second)
	o.IdleTimeout = positive(o.IdleTimeout, time.Minute)
	o.MaxBody = positive(o.MaxBody, 1<<20)
}

func positive[T int | int64 | time.Duration](v, other T) T {
	if v > 0 {
		return v
	}
	return other
}

// Listener accepts connections whose first request head was read completely and
// strictly. Serve it with an http.Server that [Listener.Install] has set up.
type Listener struct {
	inner            net.Listener
	o                Options
	waiting, shaking *pool
	count            atomic.Int64

	ready chan net.Conn // unbuffered: from the goroutines of connections to Accept
	done  chan struct{} // closed by Close, or when inner fails for good
	tasks sync.WaitGroup

	// mu guards what follows.
	mu     sync.Mutex
	closed bool
	err    error                // why inner failed
	early  map[*socket]struct{} // that no Accept has returned
}

// Listen begins to accept from inner. It starts one goroutine, and one for each
// connection until its first head is read, at most Options.Unauthenticated;
// [Listener.Close] waits for all of them.
func Listen(inner net.Listener, o Options) *Listener {
	o.setDefaults()
	l := &Listener{
		inner: inner, o: o, waiting: newPool(o.Unauthenticated), shaking: newPool(o.Handshakes),
		ready: make(chan net.Conn), done: make(chan struct{}), early: make(map[*socket]struct{}),
	}
	l.tasks.Go(l.acceptAll)
	return l
}

// Install sets up s to serve this listener: it follows the states of connections,
// without which the second request of a connection is never read, makes
// [FromContext] work, and limits s to HTTP/1. Hooks that s has are kept. Call it
// before s serves. The time for a body is s.ReadTimeout, 30s if it is not set.
func (l *Listener) Install(s *http.Server) {
	state, connContext := s.ConnState, s.ConnContext
	s.ConnState = func(c net.Conn, to http.ConnState) {
		l.ConnState(c, to)
		if state != nil {
			state(c, to)
		}
	}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		if wc, ok := From(c); ok {
			ctx = context.WithValue(ctx, connKey{}, wc)
		}
		return ctx
	}
	s.Protocols = new(http.Protocols)
	s.Protocols.SetHTTP1(true)
	s.ReadTimeout = positive(s.ReadTimeout, 30*time.Second)
	s.IdleTimeout = positive(s.IdleTimeout, l.o.IdleTimeout) // else net/http takes ReadTimeout
}

// ConnState is the hook for http.Server.ConnState, for servers that are not set
// up by Install.
func (l *Listener) ConnState(c net.Conn, to http.ConnState) {
	wc, ok := From(c)
	switch {
	case !ok:
	case to == http.StateIdle:
		wc.state(becameIdle)
	case to == http.StateHijacked:
		wc.state(becameHijacked)
	}
}

// Admitted takes a connection out of the pool of the unauthenticated, as Detach
// does, for those who keep the Conn.
func (l *Listener) Admitted(c net.Conn) {
	if wc, ok := From(c); ok {
		wc.sock.admit()
	}
}

// Count is the number of connections that were accepted and not closed.
func (l *Listener) Count() int { return int(l.count.Load()) }

// Unauthenticated is the number of those that were not admitted.
func (l *Listener) Unauthenticated() int { return l.waiting.held() }

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept implements net.Listener. It returns only connections with a complete
// first head.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			return nil, l.err
		}
		return nil, net.ErrClosed
	}
}

// Close stops accepting, closes the connections that no Accept has returned, and
// waits for every goroutine of the listener. Others are not touched.
func (l *Listener) Close() error {
	err := l.stop(nil)
	l.tasks.Wait()
	return err
}

func (l *Listener) stop(why error) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed, l.err = true, why
	close(l.done)
	var early []*socket
	for s := range l.early {
		early = append(early, s)
	}
	l.mu.Unlock()
	err := l.inner.Close()
	for _, s := range early {
		s.Close()
	}
	return err
}

func (l *Listener) acceptAll() {
	const longest = time.Second
	pause := time.Duration(0)
	for {
		c, err := l.inner.Accept()
		if ne, ok := errors.AsType[net.Error](err); ok && (ne.Timeout() || temporary(ne)) {
			pause = min(max(2*pause, 5*time.Millisecond), longest) // out of descriptors, usually
			select {
			case <-l.done:
				return
			case <-time.After(pause):
			}
			continue
		}
		if err != nil {
			l.stop(err)
			return
		}
		pause = 0
		l.receive(c)
	}
}

func temporary(err net.Error) bool {
	t, ok := err.(interface{ Temporary() bool })
	return ok && t.Temporary()
}

// receive finds places for a connection and starts its goroutine.
func (l *Listener) receive(c net.Conn) {
	s := &socket{Conn: c, l: l}
	l.count.Add(1)
	b := new(before)
	b.waiting.sock, b.shaking.sock = s, s
	addr := PeerAddress(c)
	if l.o.PerAddress != nil && addr.IsValid() && !l.o.TerminatedBy.Contains(addr) {
		release, ok := l.o.PerAddress(addr)
		if !ok {
			l.refused(addr, 429, "too many connections from one address")
			s.Close()
			return
		}
		b.release = release
	}
	s.before.Store(b)
	if !l.waiting.enter(&b.waiting, l.done, time.Time{}) || !l.track(s) {
		s.Close()
		return
	}
	l.tasks.Go(func() {
		defer l.untrack(s)
		if c := l.prepare(s, addr); c != nil {
			select {
			case l.ready <- c:
			case <-l.done:
				c.Close()
			}
		}
	})
}

func (l *Listener) track(s *socket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.early[s] = struct{}{}
	}
	return !l.closed
}

func (l *Listener) untrack(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.early, s)
}
