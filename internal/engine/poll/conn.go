//go:build linux

package poll

import (
	"io"
	"net"
	"os"
	"slices"
	"strconv"
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

var errRest net.Error = unread{}

// unread is a timeout: the peer is as slow as one that a deadline has met.
type unread struct{}

func (unread) Error() string   { return "poll: the peer asks and does not read" }
func (unread) Timeout() bool   { return true }
func (unread) Temporary() bool { return false }

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
	loop    *loop
	machine engine.Machine
	socket  net.Conn // above: *tls.Conn, or conn itself
	fd      int32

	// Guarded by loop.mu.
	slot   uint32 // in loop.conns
	serial uint32 // tells a reused slot apart; 0 outside of loop.conns

	state atomic.Int32 // idle, running, rerun, ended
	users atomic.Int32 // of fd, and 1 until Close
	flags atomic.Uint32

	// Owned by the event in progress.
	high    int32   // bytes of the buffer lent to crypto/tls that were written to
	lent    int32   // size of that buffer
	kept    *[]byte // what the machine did not take; nil for most
	drained bool    // the kernel has no more
	paused  bool    // the machine wants nothing until it is resumed

	// mu guards what follows, and orders what is written.
	mu   sync.Mutex
	busy *busy // nil for most
}

// Bits of conn.flags.
const (
	closed  uint32 = 1 << iota
	late           // the read deadline has passed
	lost           // writing has failed by our own bound: reading ends too
	hangup         // the kernel has reported an end: a short read no longer means that all was read
	soon           // in the loop's list of those to flush
	resumed        // since the machine was asked last
	watched        // its event takes long, and it is told so
)

func (c *conn) is(flag uint32) bool { return c.flags.Load()&flag != 0 }

// turn sets a flag and reports what it was.
func (c *conn) turn(flag uint32, on bool) (was bool) {
	if on {
		return c.flags.Or(flag)&flag != 0
	}
	return c.flags.And(^flag)&flag != 0
}

// busy is what a connection has only while it writes more than the kernel takes,
// at its end, and in the middle of a write. It is guarded by conn.mu.
type busy struct {
	rest            []byte // what the kernel did not take
	cork            []byte // records that wait for another to leave with; nil while none shall
	pulled          bool   // … which comes now
	fault           error  // of writing
	readBy, writeBy time.Time
	timer           *time.Timer   // of readBy
	half            bool          // FIN follows what is written
	changed         chan struct{} // closed when rest, writeBy or closed changes; nil if nobody waits
}

// rare returns what is nil for most. It is called with mu held.
func (c *conn) rare() *busy {
	if c.busy == nil {
		c.busy = new(busy)
	}
	return c.busy
}

// ease gives that up when it holds nothing. It is called with mu held.
func (c *conn) ease() {
	b := c.busy
	if b != nil && b.rest == nil && b.cork == nil && b.fault == nil && b.timer == nil && !b.half && b.changed == nil &&
		b.readBy.IsZero() && b.writeBy.IsZero() {
		c.busy = nil
	}
}

// use takes hold of the descriptor, so that its number is not given to somebody
// else meanwhile.
func (c *conn) use() bool {
	for {
		n := c.users.Load()
		if n == 0 || c.is(closed) {
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

// Read never waits. Only the event in progress calls it. A deadline that has
// passed, or our own end, comes before what a peer still sends.
func (c *conn) Read(b []byte) (int, error) {
	if c.is(closed | late | lost) {
		return 0, c.over()
	}
	if c.drained {
		return 0, errAgain
	}
	if !c.use() {
		return 0, net.ErrClosed
	}
	n, err := receive(c.fd, b)
	c.unuse()
	switch {
	case err == syscall.EAGAIN:
		c.drained = true
		return 0, errAgain
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	if n < len(b) && !c.is(hangup) {
		c.drained = true
	}
	if c.lent > 0 {
		if used := c.lent - int32(cap(b)) + int32(n); int(c.lent) < cap(b) {
			c.high = c.lent // another buffer: what is in ours nobody knows
		} else {
			c.high = max(c.high, used)
		}
	}
	return n, nil
}

// over says why reading has ended by ourselves.
func (c *conn) over() error {
	switch {
	case c.is(closed):
		return net.ErrClosed
	case c.is(lost):
		return errRest
	}
	return os.ErrDeadlineExceeded
}

// Write takes all of b. What the kernel does not take follows as soon as it does.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.busy; s != nil && s.cork != nil {
		if !s.pulled {
			s.cork = append(s.cork, b...)
			return len(b), nil
		}
		before := s.cork
		s.cork = nil
		return len(b), c.push(before, b)
	}
	return len(b), c.push(nil, b)
}

// push is called with mu held. What is before b goes with it.
func (c *conn) push(before, b []byte) error {
	if s := c.busy; s != nil {
		switch {
		case s.fault != nil:
			return s.fault
		case len(s.rest)+len(before)+len(b) > maxRest:
			c.turn(lost, true)
			c.fail(errRest)
			c.kick()
			return errRest
		case len(s.rest) > 0:
			s.rest = append(append(s.rest, before...), b...)
			return nil
		}
	}
	n, err := c.put(before, b)
	if err != nil || n == len(before)+len(b) {
		return err
	}
	if n < len(before) {
		c.rare().rest = slices.Concat(before[n:], b)
	} else {
		c.rare().rest = slices.Clone(b[n-len(before):])
	}
	return nil
}

// put writes what the kernel takes. It is called with mu held.
func (c *conn) put(before, b []byte) (n int, err error) {
	if !c.use() {
		return 0, net.ErrClosed
	}
	defer c.unuse()
	for n < len(before)+len(b) {
		var k int
		if n < len(before) {
			k, err = sendBoth(c.fd, before[n:], b)
		} else {
			k, err = send(c.fd, b[n-len(before):])
		}
		switch {
		case err == syscall.EAGAIN:
			return n, nil
		case err != nil:
			err = os.NewSyscallError("write", err)
			c.fail(err)
			return n, err
		}
		n += k
	}
	return n, nil
}

// fail ends the writing. It is called with mu held.
func (c *conn) fail(err error) {
	s := c.rare()
	s.fault, s.rest = err, nil
	c.changed()
}

// writable goes on with the rest: the kernel has room.
func (c *conn) writable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.busy
	if s == nil || len(s.rest) == 0 {
		return
	}
	n, err := c.put(nil, s.rest)
	if err != nil {
		return
	}
	if s.rest = s.rest[n:]; len(s.rest) > 0 {
		return
	}
	s.rest = nil
	c.changed()
	if s.half {
		c.fin()
	}
	c.ease()
}

// changed wakes who waits. It is called with mu held.
func (c *conn) changed() {
	if c.busy != nil && c.busy.changed != nil {
		close(c.busy.changed)
		c.busy.changed = nil
	}
}

// Full reports that the kernel has not taken all that was written.
func (c *conn) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy != nil && len(c.busy.rest) > 0
}

// Sent waits until the kernel has all that was written.
func (c *conn) Sent() error {
	var timer *time.Timer
	for {
		changed, by, err := c.sent()
		if changed == nil {
			return err
		}
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

// sent returns what to wait for, and until when; nil if there is nothing.
func (c *conn) sent() (changed <-chan struct{}, by time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.busy
	switch {
	case s != nil && s.fault != nil:
		return nil, by, s.fault
	case c.is(closed):
		return nil, by, net.ErrClosed
	case s == nil || len(s.rest) == 0:
		return nil, by, nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed, s.writeBy, nil
}

// Close ends the connection. What the kernel did not take is dropped. The machine
// learns of it as of any end.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.turn(closed, true) {
		c.mu.Unlock()
		return net.ErrClosed
	}
	if s := c.busy; s != nil {
		if s.timer != nil {
			s.timer.Stop()
		}
		s.rest = nil
		c.changed()
	}
	c.mu.Unlock()
	c.loop.remove(c)
	c.unuse()
	c.kick()
	c.loop.engine.leave()
	return nil
}

// CloseWrite sends FIN, behind what was written and the kernel has not taken yet.
func (c *conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.busy; s != nil && (len(s.rest) > 0 || s.cork != nil) {
		s.half = true
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

// SetReadDeadline has reading end at t, also while there is something to read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.is(closed) {
		return net.ErrClosed
	}
	if c.busy == nil && t.IsZero() {
		return nil
	}
	s := c.rare()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.readBy = t
	c.turn(late, false)
	if !t.IsZero() {
		s.timer = time.AfterFunc(max(time.Until(t), 0), func() { c.readLate(t) })
	}
	c.ease()
	return nil
}

func (c *conn) readLate(t time.Time) {
	c.mu.Lock()
	passed := c.busy != nil && c.busy.readBy.Equal(t)
	if passed {
		c.turn(late, true)
	}
	c.mu.Unlock()
	if passed {
		c.kick()
	}
}

// SetWriteDeadline has Sent give up at t.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == nil && t.IsZero() {
		return nil
	}
	c.rare().writeBy = t
	c.changed()
	c.ease()
	return nil
}

// LocalAddr is the address of our end.
func (c *conn) LocalAddr() net.Addr { return c.address(syscall.Getsockname) }

// RemoteAddr is the address of the peer.
func (c *conn) RemoteAddr() net.Addr { return c.address(syscall.Getpeername) }

func (c *conn) address(ask func(fd int) (syscall.Sockaddr, error)) net.Addr {
	if !c.use() {
		return nowhere{}
	}
	defer c.unuse()
	a, err := ask(int(c.fd))
	if err != nil {
		return nowhere{}
	}
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: net.IP(a.Addr[:]), Port: a.Port}
	case *syscall.SockaddrInet6:
		t := &net.TCPAddr{IP: net.IP(a.Addr[:]), Port: a.Port}
		if a.ZoneId != 0 {
			t.Zone = strconv.Itoa(int(a.ZoneId))
		}
		return t
	case *syscall.SockaddrUnix:
		return &net.UnixAddr{Name: a.Name, Net: "unix"}
	}
	return nowhere{}
}

// nowhere is the address of a connection that has ended.
type nowhere struct{}

func (nowhere) Network() string { return "" }
func (nowhere) String() string  { return "" }
