//go:build linux

package poll

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
)

// maxRest bounds what waits for a full socket, in bytes: a segment of the machine
// and what crypto/tls says by itself. A peer that makes it say more and reads
// nothing is lost.
const maxRest = 256 << 10

var errRest = errors.New("poll: the peer asks and does not read")

// again is what reading returns when nothing has arrived. crypto/tls goes on
// after an error that is temporary.
type again struct{}

func (again) Error() string   { return "poll: nothing has arrived" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

var errAgain net.Error = again{}

// conn is a socket that never waits: the transport of one connection, and the
// engine's hold on it. Its size is part of what an idle connection costs.
type conn struct {
	// Set once.
	engine  *Engine
	loop    *loop
	machine engine.Machine
	socket  net.Conn // above: *tls.Conn, or conn itself

	fd int32

	// Guarded by loop.mu.
	slot   uint32 // in loop.conns
	serial uint32 // tells a reused slot apart
	added  bool

	state  atomic.Int32 // idle, running, again, ended
	users  atomic.Int32 // of fd, and 1 until Close
	closed atomic.Bool
	hangup atomic.Bool // the kernel has reported an end: a short read no longer means that all was read
	soon   atomic.Bool // in the loop's list of those to flush

	// Owned by the event in progress.
	drained bool   // the kernel has no more
	high    int32  // bytes of the buffer lent to crypto/tls that were written to
	lent    int32  // size of that buffer
	kept    []byte // what the machine did not take

	// mu guards what follows, and orders what is written.
	mu    sync.Mutex
	rest  []byte // what the kernel did not take
	slow  *slow  // nil for most
	cork  []byte // records of one write; nil while there is none
	fault error  // of writing
}

// slow is what only some connections need: deadlines, and somebody who waits. It
// is guarded by conn.mu.
type slow struct {
	readBy, writeBy time.Time
	timer           *time.Timer   // of readBy
	late            bool          // readBy has passed
	half            bool          // FIN follows the rest
	changed         chan struct{} // closed when rest, writeBy or closed changes; nil if nobody waits
}

func (c *conn) rare() *slow {
	if c.slow == nil {
		c.slow = new(slow)
	}
	return c.slow
}

// use takes hold of the descriptor, so that its number is not given to somebody
// else meanwhile.
func (c *conn) use() bool {
	for {
		n := c.users.Load()
		if n == 0 || c.closed.Load() {
			return false
		}
		if c.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// unuse lets go of it. The last to do so closes it: one hold is given up by Close.
func (c *conn) unuse() {
	if c.users.Add(-1) == 0 {
		syscall.Close(int(c.fd))
	}
}

// Read never waits. Only the event in progress calls it.
func (c *conn) Read(b []byte) (int, error) {
	if c.drained {
		return 0, c.nothing()
	}
	if !c.use() {
		return 0, net.ErrClosed
	}
	n, err := read(int(c.fd), b)
	c.unuse()
	switch {
	case err == syscall.EAGAIN:
		c.drained = true
		return 0, c.nothing()
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	if n < len(b) && !c.hangup.Load() {
		c.drained = true
	}
	if used := c.lent - int32(cap(b)) + int32(n); used > c.high || int(c.lent) < cap(b) {
		c.high = min(max(used, 0), c.lent)
		if int(c.lent) < cap(b) {
			c.high = c.lent // another buffer: what is in ours nobody knows
		}
	}
	return n, nil
}

// nothing tells a deadline that has passed from bytes that have not come.
func (c *conn) nothing() error {
	if c.closed.Load() {
		return net.ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow != nil && c.slow.late {
		return os.ErrDeadlineExceeded
	}
	return errAgain
}

func read(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// Write takes all of b. What the kernel does not take follows as soon as it does.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cork != nil {
		c.cork = append(c.cork, b...)
		return len(b), nil
	}
	return len(b), c.push(b)
}

// push is called with mu held.
func (c *conn) push(b []byte) error {
	switch {
	case c.fault != nil:
		return c.fault
	case len(c.rest)+len(b) > maxRest:
		c.fault = errRest
		return c.fault
	case len(c.rest) > 0:
		c.rest = append(c.rest, b...)
		return nil
	}
	n, err := c.put(b)
	if err != nil {
		return err
	}
	if n < len(b) {
		c.rest = append([]byte(nil), b[n:]...)
	}
	return nil
}

// put writes what the kernel takes. It is called with mu held.
func (c *conn) put(b []byte) (n int, err error) {
	if !c.use() {
		return 0, net.ErrClosed
	}
	defer c.unuse()
	for n < len(b) {
		k, err := syscall.Write(int(c.fd), b[n:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return n, nil
		case err != nil:
			c.fault = os.NewSyscallError("write", err)
			c.changed()
			return n, c.fault
		default:
			n += k
		}
	}
	return n, nil
}

// writable goes on with the rest: the kernel has room.
func (c *conn) writable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) == 0 || c.fault != nil {
		return
	}
	n, err := c.put(c.rest)
	clear(c.rest[:n])
	if c.rest = c.rest[n:]; len(c.rest) == 0 || err != nil {
		c.rest = nil
		c.changed()
	}
	if err == nil && c.rest == nil && c.slow != nil && c.slow.half {
		c.fin()
	}
}

// changed wakes who waits. It is called with mu held.
func (c *conn) changed() {
	if c.slow != nil && c.slow.changed != nil {
		close(c.slow.changed)
		c.slow.changed = nil
	}
}

// Full reports that the kernel has not taken all that was written.
func (c *conn) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.rest) > 0
}

// Sent waits until the kernel has all that was written.
func (c *conn) Sent() error {
	var timer *time.Timer
	for {
		c.mu.Lock()
		switch {
		case c.fault != nil:
			defer c.mu.Unlock()
			return c.fault
		case c.closed.Load():
			c.mu.Unlock()
			return net.ErrClosed
		case len(c.rest) == 0:
			c.mu.Unlock()
			return nil
		}
		s := c.rare()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed, by := s.changed, s.writeBy
		c.mu.Unlock()
		if by.IsZero() {
			<-changed
			continue
		}
		wait := time.Until(by)
		if wait <= 0 {
			return os.ErrDeadlineExceeded
		}
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		} else {
			timer.Reset(wait)
		}
		select {
		case <-changed:
		case <-timer.C:
		}
	}
}

// Close ends the connection. What the kernel did not take is dropped. The machine
// learns of it as of any end.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed.Swap(true) {
		c.mu.Unlock()
		return net.ErrClosed
	}
	if c.slow != nil && c.slow.timer != nil {
		c.slow.timer.Stop()
	}
	clear(c.rest)
	c.rest = nil
	c.changed()
	c.mu.Unlock()
	c.loop.remove(c)
	c.unuse()
	c.kick()
	c.engine.leave()
	return nil
}

// CloseWrite sends FIN, behind what the kernel has not taken yet.
func (c *conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) > 0 {
		c.rare().half = true
		return nil
	}
	return c.fin()
}

func (c *conn) fin() error {
	if !c.use() {
		return net.ErrClosed
	}
	defer c.unuse()
	return os.NewSyscallError("shutdown", syscall.Shutdown(int(c.fd), syscall.SHUT_WR))
}

// SetLinger sets SO_LINGER, in seconds; 0 has Close send a reset.
func (c *conn) SetLinger(seconds int) error {
	if !c.use() {
		return net.ErrClosed
	}
	defer c.unuse()
	l := syscall.Linger{Linger: int32(seconds)}
	if seconds >= 0 {
		l.Onoff = 1
	}
	return os.NewSyscallError("setsockopt", syscall.SetsockoptLinger(int(c.fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &l))
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline has reading end at t.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return net.ErrClosed
	}
	if c.slow == nil && t.IsZero() {
		return nil
	}
	s := c.rare()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.readBy, s.late = t, false
	if !t.IsZero() {
		s.timer = time.AfterFunc(max(time.Until(t), 0), func() { c.readLate(t) })
	}
	return nil
}

func (c *conn) readLate(t time.Time) {
	c.mu.Lock()
	late := c.slow.readBy.Equal(t)
	c.slow.late = c.slow.late || late
	c.mu.Unlock()
	if late {
		c.kick()
	}
}

// SetWriteDeadline has Sent give up at t.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slow == nil && t.IsZero() {
		return nil
	}
	c.rare().writeBy = t
	c.changed()
	return nil
}

// LocalAddr is the address of our end.
func (c *conn) LocalAddr() net.Addr { return c.address(syscall.Getsockname) }

// RemoteAddr is the address of the peer.
func (c *conn) RemoteAddr() net.Addr { return c.address(syscall.Getpeername) }

func (c *conn) address(ask func(fd int) (syscall.Sockaddr, error)) net.Addr {
	if !c.use() {
		return nil
	}
	defer c.unuse()
	a, err := ask(int(c.fd))
	if err != nil {
		return nil
	}
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: net.IP(a.Addr[:]), Port: a.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: net.IP(a.Addr[:]), Port: a.Port}
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return nil
}
