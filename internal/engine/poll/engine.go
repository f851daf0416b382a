//go:build linux

// Package poll feeds connections by the readiness of their sockets (Linux, epoll):
// an idle one has no goroutine, no timer and no buffer.
//
// It takes sockets over from package net and reads them without waiting. Under
// TLS it is the transport of a standard [tls.Conn], for which "nothing has
// arrived" is a temporary error that it does not remember; writing never fails
// for want of room, since crypto/tls would remember that: what the kernel does
// not take waits in the connection, bounded.
package poll

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
)

// Engine is an engine.Engine with one loop per processor. Its zero value is ready.
// It has goroutines while it has connections.
type Engine struct {
	fed     engine.Tally // machines
	runners engine.Tally // goroutines of loops
	kicked  engine.Tally // other goroutines

	settling settling
	lates    atomic.Int64
	watching atomic.Bool

	mu    sync.Mutex // guards what follows
	loops []*loop    // while there are connections
	open  int        // connections
	next  int        // loop
}

// Attach implements engine.Engine. The socket must be one that Take accepts.
func (e *Engine) Attach(socket net.Conn, m engine.Machine) engine.Handle {
	h, err := e.Take(socket, m)
	if err != nil {
		panic("poll: " + err.Error())
	}
	return h
}

// Take is Attach for any socket: it fails, and leaves the socket as it was, if
// there is no descriptor to take, or none to be had.
func (e *Engine) Take(socket net.Conn, m engine.Machine) (engine.Handle, error) {
	c := &conn{machine: m}
	c.users.Store(1)
	c.state.Store(ended) // until Start
	switch s := socket.(type) {
	case *tls.Conn:
		below, ok := s.NetConn().(engine.Replaceable)
		if !ok {
			return nil, errors.New("the transport below TLS cannot be replaced")
		}
		c.socket = s
		return handle{c}, below.Replace(func(t net.Conn) (net.Conn, error) { return c, c.take(e, t) })
	case engine.Replaceable:
		c.socket = s
		return handle{c}, s.Replace(func(t net.Conn) (net.Conn, error) { return c, c.take(e, t) })
	default:
		c.socket = c
		return handle{c}, c.take(e, socket)
	}
}

// take duplicates the descriptor of from, which it closes: package net shall not
// poll it any more.
func (c *conn) take(e *Engine, from net.Conn) error {
	var s syscall.Conn
	switch from := from.(type) {
	case *net.TCPConn:
		s = from
	case *net.UnixConn:
		s = from
	default: // a wrapper that has a descriptor too wants to see what is read and written
		return errors.New("not a socket of package net")
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if c.loop, err = e.enter(); err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		var n uintptr
		n, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		c.fd = int32(n)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		e.leave()
		return err
	}
	engine.BoundUnsent(from)
	from.Close()
	if t, ok := c.socket.(*tls.Conn); ok && c.loop.layout != nil {
		c.loop.layout.reclaim(t, nil) // of the handshake
	}
	return nil
}

// enter counts a connection and returns its loop.
func (e *Engine) enter() (*loop, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loops == nil {
		if err := e.begin(); err != nil {
			return nil, err
		}
	}
	e.open++
	e.next++
	e.settling.connection(1)
	return e.loops[e.next%len(e.loops)], nil
}

// begin starts the loops. It is called with mu held.
func (e *Engine) begin() error {
	layout := known()
	var loops []*loop
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop(e, layout)
		if err != nil {
			for _, l := range loops {
				l.waiter.end()
				l.waiter.free()
			}
			return err
		}
		loops = append(loops, l)
	}
	for _, l := range loops {
		e.runners.Go(func() { l.run(0) })
	}
	e.loops = loops
	return nil
}

// leave ends the loops with the last connection.
func (e *Engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settling.connection(-1)
	if e.open--; e.open > 0 {
		return
	}
	for _, l := range e.loops {
		l.waiter.end()
	}
	e.loops = nil
}

// Wait returns when every machine that was started has had its last event, and
// the engine's goroutines have ended if every connection was closed.
func (e *Engine) Wait() {
	e.fed.Wait()
	e.kicked.Wait()
	e.mu.Lock()
	running := e.loops != nil
	e.mu.Unlock()
	if !running {
		e.runners.Wait()
	}
}

// Lates counts the events that took too long.
func (e *Engine) Lates() int64 { return e.lates.Load() }

// tooLong is how long an event may keep the others of its loop waiting.
const tooLong = 20 * time.Millisecond

// watch looks after the loops for as long as they are busy.
func (e *Engine) watch() {
	if !e.watching.Load() && !e.watching.Swap(true) {
		time.AfterFunc(tooLong, e.look)
	}
}

func (e *Engine) look() {
	busy := false
	for _, l := range e.present() {
		busy = l.look() || busy
	}
	if busy {
		time.AfterFunc(tooLong, e.look)
		return
	}
	e.watching.Store(false)
	for _, l := range e.present() { // a batch may have come that saw somebody watching
		if l.busy() {
			e.watch()
		}
	}
}

func (e *Engine) present() []*loop {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.loops
}

// late tells the machine of c, again and again while its event goes on: in one
// event a machine may be asked many times.
func (e *Engine) late(c *conn) {
	if !c.turn(watched, true) {
		e.lates.Add(1)
		e.tellLate(c)
	}
}

func (e *Engine) tellLate(c *conn) {
	e.kicked.Go(c.machine.Late)
	time.AfterFunc(tooLong, func() {
		if s := c.state.Load(); s == running || s == rerun {
			e.tellLate(c)
		} else {
			c.turn(watched, false)
		}
	})
}
