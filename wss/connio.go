package wss

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

const bufferSize = 4 << 10

// buffers are lent while a connection reads its first head or ends.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func giveBack(b *[bufferSize]byte) {
	clear(b[:])
	buffers.Put(b)
}

// nextHead reads a head until it may be handed over. The time for it begins with
// its first byte; for the first head, and for one that was held back, at once.
func (c *Conn) nextHead(p []byte, first bool) error {
	o := &c.sock.l.o
	begun := first || len(c.buf) > 0
	if begun {
		c.within(o.HeadTimeout)
	} else {
		c.within(o.IdleTimeout)
	}
	var scan ws.HeadScanner
	for {
		if len(c.buf) > 0 {
			if !begun {
				begun = true
				c.within(o.HeadTimeout)
			}
			h, n, err := scan.Scan(c.buf)
			if he, ok := errors.AsType[*ws.HeadError](err); ok {
				return c.refuse(he.Status, he.Why, false)
			}
			if h != nil {
				return c.take(h, n)
			}
		}
		err := c.fill(p, ws.MaxHead)
		switch {
		case err == nil:
		case err == errOurs && len(c.buf) > 0:
			return c.refuse(408, "the head was not completed in time", false)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return err // net/http gives up, or looks again
		default:
			if err == errOurs {
				err = io.EOF // nothing was asked
			}
			c.phase, c.err = phaseDead, err
			return err
		}
	}
}

// take judges a head as the next request of this connection.
func (c *Conn) take(h *ws.Head, n int) error {
	o := &c.sock.l.o
	switch {
	case !c.secure:
		return c.refuse(426, "only TLS is spoken here", false)
	case c.raw == c.sock && (h.Count(forwardedProto) != 1 || h.Get(forwardedProto) != "https"):
		c.secure = false // the client came in clear: no Strict-Transport-Security
		return c.refuse(426, "the proxy does not say that the client came by TLS", false)
	case h.ContentLength > o.MaxBody:
		return c.refuse(413, errTooBig.Error(), false)
	case h.Upgrade && len(c.buf) > n:
		return c.refuse(400, "bytes follow an upgrade request before its answer", false)
	}
	c.within(0)
	if b := c.sock.before.Load(); b != nil {
		c.sock.l.waiting.renew(&b.waiting)
	}
	c.wrote.Store(false)
	c.early.Store(false)
	c.phase, c.ok, c.upgrade = phaseRequest, n, h.Upgrade
	c.body = newBody(h.ContentLength, h.Chunked, o.MaxBody)
	c.keepSeat()
	return nil
}

const forwardedProto = "X-Forwarded-Proto"

// refuse answers and ends the connection; within a request only if its answer has
// not begun. It takes at most a second to write and a second to end.
func (c *Conn) refuse(status int, why string, within bool) error {
	c.phase, c.ok, c.buf = phaseDead, 0, nil
	c.err = &RefusedError{status, why}
	c.sock.l.refused(c.peer, status, why)
	free := c.writeMu.TryLock()
	c.failed.Store(true)
	if free {
		defer c.writeMu.Unlock()
		if !within || !c.wrote.Load() {
			c.raw.SetWriteDeadline(time.Now().Add(lingerTime))
			c.raw.Write(c.sock.l.refusal(status, why, c.secure))
			if t, ok := c.raw.(interface{ CloseWrite() error }); ok && c.raw != c.sock {
				t.CloseWrite() // close_notify: the end is no truncation
			}
		}
	}
	c.freeze()
	c.sock.linger()
	return c.err
}

// RefusedError is returned by the body of a request that was refused while it was read.
type RefusedError struct {
	Status int
	Why    string // constant text
}

func (e *RefusedError) Error() string { return "wss: refused: " + e.Why }

// interim is what net/http writes to ask for a body; it is no answer yet.
const interim = "HTTP/1.1 100 Continue\r\n\r\n"

const (
	writePiece = 64 << 10
	writeStall = 30 * time.Second
)

// Write implements net.Conn. Unless the server has set a deadline, a peer that
// takes no 64 KiB in 30 seconds is lost: it would hold its place for ever. While
// it does not take them, its place may be given to somebody else.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if string(p) != interim {
		c.wrote.Store(true)
	}
	for first := true; (first || n < len(p)) && err == nil; first = false {
		if c.failed.Load() {
			return n, net.ErrClosed
		}
		if !c.timed.Load() {
			c.raw.SetWriteDeadline(time.Now().Add(writeStall))
		}
		b := c.sock.before.Load()
		kept := b != nil && c.sock.l.waiting.yield(&b.waiting)
		var k int
		k, err = c.raw.Write(p[n:min(len(p), n+writePiece)])
		n += k
		if kept {
			c.sock.l.waiting.keep(&b.waiting)
		}
	}
	return n, err
}

// CloseWrite ends our direction: close_notify, or FIN without TLS.
func (c *Conn) CloseWrite() error {
	if w, ok := c.raw.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.deadMu.Lock()
	c.closed = true
	c.tellChanged()
	c.deadMu.Unlock()
	if c.failed.Load() {
		return c.sock.Close() // close_notify was sent, or nobody reads it
	}
	return c.raw.Close()
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.failed.Load() {
		return nil // a refusal has its own
	}
	c.timed.Store(!t.IsZero())
	return c.raw.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn. The time of the phase ends a read too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadMu.Lock()
	defer c.deadMu.Unlock()
	c.theirs = t
	return c.handDown()
}

// within sets the time of the phase; 0 is none.
func (c *Conn) within(d time.Duration) {
	c.deadMu.Lock()
	defer c.deadMu.Unlock()
	c.ours = time.Time{}
	if d > 0 {
		c.ours = time.Now().Add(d)
	}
	c.handDown()
}

// freeze leaves the deadlines to linger, or to who took the connection over.
func (c *Conn) freeze() {
	c.deadMu.Lock()
	defer c.deadMu.Unlock()
	c.closed = true
	c.tellChanged()
}

// earliest and handDown are called with deadMu held.
func (c *Conn) earliest() time.Time {
	if c.theirs.IsZero() || !c.ours.IsZero() && c.ours.Before(c.theirs) {
		return c.ours
	}
	return c.theirs
}

func (c *Conn) handDown() error {
	if c.closed {
		return nil
	}
	c.tellChanged()
	return c.sock.SetReadDeadline(c.earliest())
}

func (c *Conn) tellChanged() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// awaitDeadline waits as a read would from which nothing comes.
func (c *Conn) awaitDeadline() error {
	for {
		c.deadMu.Lock()
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed, end, closed := c.changed, c.earliest(), c.closed
		c.deadMu.Unlock()
		wait := time.Until(end)
		switch {
		case closed:
			return net.ErrClosed
		case end.IsZero():
			<-changed
			continue
		case wait <= 0:
			return os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}
