package sallyporttest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how many bytes one direction of a Pipe holds, as a kernel's
// socket buffer would.
const pipeBuffer = 64 << 10

// Pipe returns the two ends of a connection in memory. Unlike net.Pipe each
// direction has a buffer of 64 KiB, an end can close its writing side, and
// SetLinger(0) makes Close a reset, as on TCP. Waiting in it lets the time of
// testing/synctest pass.
func Pipe() (a, b net.Conn) {
	there, back := newStream(), newStream()
	return &pipeConn{in: back, out: there}, &pipeConn{in: there, out: back}
}

// stream is one direction.
type stream struct {
	mu      sync.Mutex // guards what follows
	data    []byte
	eof     bool // the writer closed
	broken  bool // the reader closed, or somebody reset
	changed chan struct{}
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// notify wakes whoever waits; called with mu held.
func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.notify()
}

type pipeConn struct {
	in, out *stream

	mu            sync.Mutex // guards what follows
	read, write   deadline
	reset, closed bool
}

// deadline is an alarm that rings when the time has come or the time is changed.
type deadline struct {
	timer *time.Timer
	alarm *alarm
}

type alarm struct {
	once sync.Once
	rung chan struct{}
}

func newAlarm() *alarm { return &alarm{rung: make(chan struct{})} }

func (a *alarm) ring() { a.once.Do(func() { close(a.rung) }) }

func (d *deadline) set(t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	old, next := d.alarm, newAlarm()
	d.alarm = next
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		next.ring()
	default:
		d.timer = time.AfterFunc(wait, next.ring)
	}
	if old != nil {
		old.ring() // who waits on it looks again
	}
}

func (c *pipeConn) alarm(d *deadline) *alarm {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.alarm == nil {
		d.alarm = newAlarm()
	}
	return d.alarm
}

// passed reports whether a has rung and is still the alarm in force.
func (c *pipeConn) passed(d *deadline, a *alarm) bool {
	select {
	case <-a.rung:
	default:
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.alarm == a
}

func (c *pipeConn) Read(b []byte) (int, error) {
	for {
		s := c.in
		alarm := c.alarm(&c.read)
		if c.passed(&c.read, alarm) {
			return 0, os.ErrDeadlineExceeded
		}
		s.mu.Lock()
		switch {
		case s.broken:
			s.mu.Unlock()
			if c.isClosed() {
				return 0, net.ErrClosed
			}
			return 0, syscall.ECONNRESET
		case len(s.data) > 0:
			n := copy(b, s.data)
			s.data = s.data[n:]
			s.notify()
			s.mu.Unlock()
			return n, nil
		case s.eof:
			s.mu.Unlock()
			return 0, io.EOF
		case len(b) == 0:
			s.mu.Unlock()
			return 0, nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-alarm.rung:
		}
	}
}

func (c *pipeConn) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		s := c.out
		alarm := c.alarm(&c.write)
		if c.passed(&c.write, alarm) {
			return written, os.ErrDeadlineExceeded
		}
		s.mu.Lock()
		if s.broken || s.eof {
			s.mu.Unlock()
			if c.isClosed() {
				return written, net.ErrClosed
			}
			return written, syscall.EPIPE
		}
		if room := pipeBuffer - len(s.data); room > 0 {
			n := min(room, len(b))
			s.data = append(s.data, b[:n]...)
			b, written = b[n:], written+n
			s.notify()
			s.mu.Unlock()
			continue
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-alarm.rung:
		}
	}
	return written, nil
}

func (c *pipeConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// CloseWrite tells the peer that nothing more comes.
func (c *pipeConn) CloseWrite() error {
	c.out.set(func() { c.out.eof = true })
	return nil
}

// SetLinger makes Close a reset if seconds is 0.
func (c *pipeConn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = seconds == 0
	return nil
}

func (c *pipeConn) Close() error {
	c.mu.Lock()
	closed, reset := c.closed, c.reset
	c.closed = true
	c.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	c.out.set(func() { c.out.eof, c.out.broken = true, c.out.broken || reset })
	c.in.set(func() { c.in.broken, c.in.data = true, nil })
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.set(t)
	c.write.set(t)
	return nil
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.set(t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write.set(t)
	return nil
}

// address is that of the first address for documentation (RFC 5737).
var address = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}

func (c *pipeConn) LocalAddr() net.Addr  { return address }
func (c *pipeConn) RemoteAddr() net.Addr { return address }
