//go:build linux

package poll

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
)

// The states of a connection: at most one goroutine is in its event.
const (
	idle    int32 = iota
	running       // an event is in progress
	rerun         // … and another must follow
	ended         // there are no more
)

// claim begins an event, unless one is in progress, which then runs once more.
func (c *conn) claim() bool {
	for {
		switch s := c.state.Load(); s {
		case idle:
			if c.state.CompareAndSwap(idle, running) {
				return true
			}
		case running:
			if c.state.CompareAndSwap(running, rerun) {
				return false
			}
		default:
			return false
		}
	}
}

// ready is what the kernel has reported.
func (c *conn) ready(events uint32) {
	if events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		c.turn(hangup, true)
	}
	if events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		c.writable()
	}
	if events&^uint32(syscall.EPOLLOUT) != 0 && c.claim() {
		c.run()
	}
}

// kick has an event run on a goroutine of its own.
func (c *conn) kick() {
	if c.claim() {
		c.loop.engine.kicked.Go(c.alone)
	}
}

// run is an event. It was claimed.
func (c *conn) run() {
	for {
		c.drained = false
		more, err := c.feed()
		switch {
		case err != nil:
			c.state.Store(ended)
			c.kept = nil
			c.machine.Gone(err)
			c.loop.engine.fed.End()
			return
		case more: // a goroutine of its own: the others come first
			c.loop.engine.kicked.Go(c.alone)
			return
		case c.state.CompareAndSwap(running, idle):
			return
		}
		c.state.Store(running) // it was rerun
	}
}

// alone is run outside the loop, which nobody looks after.
func (c *conn) alone() {
	watch := time.AfterFunc(tooLong, func() { c.loop.engine.late(c) })
	defer watch.Stop()
	c.run()
}

// maxEvent is how many bytes a connection may give before the others come, and
// maxRecord the largest piece that crypto/tls returns.
const (
	maxEvent  = 256 << 10
	maxRecord = 16 << 10
)

// feed gives the machine what has arrived, until there is no more or it pauses.
// It returns the error that ends the reading.
func (c *conn) feed() (more bool, err error) {
	if c.paused {
		switch {
		case c.is(closed):
			return false, net.ErrClosed
		case !c.turn(resumed, false):
			return false, nil
		}
		c.paused = false
	}
	if c.kept != nil {
		kept := *c.kept
		c.kept = nil
		c.keep(c.give(kept))
		if c.paused {
			return false, nil
		}
	}
	if c.is(closed) {
		return false, net.ErrClosed
	}
	loan := c.borrow()
	defer c.giveBack(&loan)
	in := loan.plain
	for taken := 0; ; {
		n, err := loan.fill()
		taken += n
		c.loop.engine.settling.bytes(int64(n))
		in.used = max(in.used, n)
		c.keep(bytes.Clone(c.give(in.b[:n:n])))
		switch {
		case c.paused:
			return false, nil // what ended the reading ends it again
		case err == errAgain:
			return false, nil
		case err != nil:
			return false, err
		case taken >= maxEvent:
			return true, nil
		}
	}
}

// keep is for what the machine did not take.
func (c *conn) keep(rest []byte) {
	if len(rest) > 0 {
		kept := rest // it alone moves to the heap
		c.kept = &kept
	}
}

// give feeds the machine. It returns what the machine does not take.
func (c *conn) give(b []byte) []byte {
	for len(b) > 0 && !c.paused {
		n, ok := c.machine.Readable(b)
		engine.Poison(b[:n])
		b = b[n:]
		c.paused = !ok && !c.turn(resumed, false) // else it was resumed meanwhile
	}
	return b
}

// loan is what one event reads with.
type loan struct {
	from  io.Reader // TLS, or the socket itself
	plain *buffer
	raw   *buffer // under TLS; nil if it uses its own
	held  []byte  // what TLS had of a record before; it is in raw too
}

func (c *conn) borrow() loan {
	l := loan{from: c.socket, plain: plainBuffers.lend()}
	t, ok := c.socket.(*tls.Conn)
	c.lent, c.high = 0, 0
	if ok && c.loop.layout != nil {
		l.raw = rawBuffers.lend()
		if l.held, ok = c.loop.layout.lend(t, l.raw.b); ok {
			c.lent = int32(len(l.raw.b))
		} else {
			rawBuffers.giveBack(l.raw)
			l.raw = nil
		}
	}
	return l
}

func (c *conn) giveBack(l *loan) {
	plainBuffers.giveBack(l.plain)
	if l.raw != nil && c.loop.layout.reclaim(c.socket.(*tls.Conn), l.held) { // else it goes with the connection
		l.raw.used = max(len(l.held), int(c.high))
		rawBuffers.giveBack(l.raw)
	}
}

// fill reads until nothing more has arrived, or until a record might not fit.
func (l *loan) fill() (n int, err error) {
	for len(l.plain.b)-n >= maxRecord && err == nil {
		var k int
		k, err = l.from.Read(l.plain.b[n:])
		n += k
	}
	return n, err
}

// handle is the machine's side of a conn.
type handle struct{ *conn }

var _ engine.Prompt = handle{}

// Socket is what the machine sets deadlines of, and closes.
func (h handle) Socket() net.Conn { return h.socket }

// Write hands b to the socket. Its records leave in one write of the kernel: the
// last as crypto/tls made it, and copies of the others before it.
func (h handle) Write(b []byte) (int, error) {
	t, ok := h.socket.(*tls.Conn)
	if !ok || len(b) <= maxRecord {
		return h.socket.Write(b)
	}
	head, last := b[:len(b)-maxRecord], b[len(b)-maxRecord:]
	copies := corkBuffers.lend()
	h.cork(copies.b[:0])
	n, err := t.Write(head)
	copies.used = min(h.uncork(), len(copies.b))
	if err == nil {
		var k int
		k, err = t.Write(last)
		n += k
	}
	h.uncorked()
	corkBuffers.giveBack(copies)
	return n, err
}

// cork has what is written wait in records.
func (h handle) cork(records []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rare().cork = records
}

// uncork has the next write take along what waits. It returns how much that is.
func (h handle) uncork() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy.pulled = true
	return len(h.busy.cork)
}

// uncorked follows that write. If it has failed, what waited is dropped.
func (h handle) uncorked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.busy
	if s == nil {
		return
	}
	s.cork, s.pulled = nil, false
	if s.half && len(s.rest) == 0 {
		h.fin()
	}
	h.ease()
}

// Start begins to read.
func (c handle) Start(first []byte) {
	c.loop.engine.fed.Begin()
	if len(first) > 0 {
		c.kept = &first
	}
	c.state.Store(running) // it was ended: nothing has come to it before
	if err := c.loop.add(c.conn); err != nil {
		c.Close()
	}
	c.alone() // crypto/tls may have read more than a record
}

// Resume ends a pause.
func (c handle) Resume() {
	c.turn(resumed, true)
	c.kick()
}

// Soon has the machine's Flush called.
func (c handle) Soon() {
	if !c.turn(soon, true) {
		c.loop.later(c.conn)
	}
}
