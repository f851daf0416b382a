package wss

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Conn is a connection as net/http sees it: only complete heads that were read
// strictly, the bytes of their bodies, and the next head when the request before
// it was answered. What arrives too early is held back and never handed over.
type Conn struct {
	// Set once.
	sock *socket
	raw  net.Conn // *tls.Conn, or sock
	peer netip.Addr

	// Owned by the reader. net/http has one reader at a time, and none when it
	// calls ConnState or hijacks.
	secure  bool // TLS, here or at a proxy that is believed
	phase   phase
	buf     []byte // read and not handed over
	ok      int    // how much of buf may be handed over
	body    body
	upgrade bool
	err     error // what Read returns in phase dead

	early  atomic.Bool // bytes arrived between an upgrade request and its answer
	wrote  atomic.Bool // the answer to the present request has begun
	failed atomic.Bool // nothing is written any more
	timed  atomic.Bool // the server has set a deadline for writes

	// writeMu is held during a write, so that a refusal does not fall into an answer.
	writeMu sync.Mutex

	// deadMu guards the deadlines; it is held while they are handed down.
	deadMu  sync.Mutex
	theirs  time.Time     // set by net/http
	ours    time.Time     // of the phase
	changed chan struct{} // closed when a deadline changes; nil if nobody waits
	closed  bool
}

type phase uint8

const (
	phaseIdle     phase = iota // the next thing is a head
	phaseRequest               // head or body is being handed over, or the answer is due
	phaseHijacked              // bytes pass
	phaseDetached              // somebody else reads
	phaseDead
)

const (
	// holdAhead bounds what is held back behind a request; then reading stops.
	holdAhead = ws.MaxHead
	// holdEarly bounds what is held back behind an upgrade request.
	holdEarly = 4 << 10
)

// ErrEarly says that bytes followed an upgrade request before its answer.
var ErrEarly = errors.New("wss: bytes before the answer to the upgrade request")

// From returns the Conn behind a connection that a [Listener] accepted, such as
// the one that hijacking returns.
func From(c net.Conn) (*Conn, bool) {
	switch c := c.(type) {
	case *Conn:
		return c, true
	case tlsConn:
		return c.Conn, true
	}
	return nil, false
}

type connKey struct{}

// FromContext returns the Conn of the request whose context ctx is, if its
// server was set up by [Listener.Install].
func FromContext(ctx context.Context) (*Conn, bool) {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return c, ok
}

// tlsConn is a Conn for which net/http sets Request.TLS.
type tlsConn struct{ *Conn }

func (t tlsConn) ConnectionState() tls.ConnectionState { return *t.TLS() }

// TLS returns the state of the TLS connection; nil if a proxy ended TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	if t, ok := c.raw.(*tls.Conn); ok {
		state := t.ConnectionState()
		return &state
	}
	return nil
}

// Peer is the address at the other end, without zone; zero on a unix socket.
func (c *Conn) Peer() netip.Addr { return c.peer }

// Early reports whether bytes followed an upgrade request before its answer
// began. Such a request must be refused: they may be a second request. Ask after
// Detach, which looks a last time.
func (c *Conn) Early() bool { return c.early.Load() }

// Detach hands the hijacked connection over: *tls.Conn, or the socket itself. Its
// deadlines are cleared and it leaves the pool of the unauthenticated; only
// [Listener.Count] knows it, until it is closed. early is what was read before
// the answer, at most 4 KiB; the request must be refused if there is any, or if
// Early says so. Nothing else of the Conn may be used any more.
func (c *Conn) Detach() (raw net.Conn, early []byte, err error) {
	if c.phase != phaseHijacked {
		return nil, nil, errors.New("wss: the connection is not hijacked, or its server is not set up by Install")
	}
	if c.upgrade && !c.wrote.Load() && c.sock.unread() {
		c.early.Store(true)
	}
	early, c.buf, c.phase = c.buf, nil, phaseDetached
	c.freeze()
	c.sock.admit()
	return c.raw, early, c.raw.SetDeadline(time.Time{})
}

// Read implements net.Conn for net/http, which calls it from one goroutine at a time.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.ok > 0 {
			n := copy(p, c.buf[:c.ok])
			c.buf, c.ok = c.buf[n:], c.ok-n
			if len(c.buf) == 0 {
				c.buf = nil
			}
			return n, nil
		}
		switch c.phase {
		case phaseIdle:
			if err := c.nextHead(p, false); err != nil {
				return 0, err
			}
		case phaseRequest:
			if c.body.done() {
				return 0, c.hold(p)
			}
			if n, err := c.readBody(p); n > 0 || err != nil {
				return n, err
			}
		case phaseHijacked:
			if c.early.Load() {
				return 0, ErrEarly
			}
			if c.ok = len(c.buf); c.ok == 0 {
				return c.raw.Read(p)
			}
		case phaseDetached:
			return 0, net.ErrClosed
		case phaseDead:
			return 0, c.err
		}
	}
}

// fill reads once, at most until buf has limit bytes. An empty buf is filled by
// way of p, so that a connection that waits holds no buffer.
func (c *Conn) fill(p []byte, limit int) error {
	if len(c.buf) == 0 {
		n, err := c.raw.Read(p[:min(len(p), limit)])
		if n > 0 {
			c.buf, err = append([]byte(nil), p[:n]...), nil
		}
		return c.late(err)
	}
	if cap(c.buf)-len(c.buf) < bufferSize/8 {
		grown := make([]byte, len(c.buf), min(len(c.buf)+bufferSize, limit))
		copy(grown, c.buf)
		c.buf = grown
	}
	n, err := c.raw.Read(c.buf[len(c.buf):min(cap(c.buf), limit)])
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		err = nil
	}
	return c.late(err)
}

// errOurs is a timeout of the phase, not of net/http.
var errOurs = errors.New("wss: the time of this phase is over")

// late tells the two kinds of timeouts apart.
func (c *Conn) late(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.deadMu.Lock()
	defer c.deadMu.Unlock()
	now := time.Now()
	if !c.ours.IsZero() && !now.Before(c.ours) && (c.theirs.IsZero() || now.Before(c.theirs)) {
		return errOurs
	}
	return err
}

// readBody hands over bytes of the body or makes them ready in buf.
func (c *Conn) readBody(p []byte) (int, error) {
	if len(c.buf) == 0 && c.body.state == bodyLength {
		n, err := c.raw.Read(p[:min(int64(len(p)), c.body.left)])
		c.body.advance(int64(n))
		c.keepSeat()
		return n, err
	}
	if len(c.buf) == 0 {
		if err := c.fill(p, bufferSize); err != nil {
			return 0, err
		}
	}
	n, err := c.body.feed(c.buf)
	c.ok = n
	if err == nil {
		c.keepSeat()
		return 0, nil
	}
	status := 400
	if errors.Is(err, errTooBig) {
		status = 413
	}
	return 0, c.refuse(status, err.Error(), true)
}

// keepSeat keeps the place of a connection once its request is there to the end.
// Until then it makes others wait, and may have to go for them.
func (c *Conn) keepSeat() {
	if b := c.sock.before.Load(); b != nil && c.body.done() {
		c.sock.l.waiting.keep(&b.waiting)
	}
}

// hold keeps what arrives while a request is being answered. It returns only
// when reading fails or a deadline passes, as net/http's background read must.
func (c *Conn) hold(p []byte) error {
	limit := holdAhead
	if c.upgrade {
		limit = holdEarly
	}
	for len(c.buf) < limit {
		if err := c.fill(p, limit); err != nil {
			return err
		}
		if c.upgrade && !c.wrote.Load() {
			c.early.Store(true)
		}
	}
	return c.awaitDeadline()
}

// state follows the server; see [Listener.ConnState].
func (c *Conn) state(s stateChange) {
	switch {
	case s == becameHijacked && c.phase == phaseRequest:
		c.phase = phaseHijacked
	case s == becameIdle && c.phase == phaseRequest && c.body.done() && c.ok == 0:
		c.phase = phaseIdle
		if b := c.sock.before.Load(); b != nil {
			c.sock.l.waiting.yield(&b.waiting)
		}
	case s == becameIdle && c.phase != phaseDead:
		c.phase, c.err = phaseDead, errors.New("wss: the request before was not read to its end")
	}
}

type stateChange uint8

const (
	becameIdle stateChange = iota
	becameHijacked
)
