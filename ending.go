package sallyport

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// ending is why and how a connection ends.
type ending struct {
	reason deny.Reason
	code   uint16
	text   string
	cause  error
	reset  bool // no closing handshake
	flush  bool // what is queued goes first
	ours   bool // the reason is the door's own, and announced where sallyport.v1 is spoken
	by     string
}

func (c *Conn) relay(why deny.Reason, code uint16, reason string, cause error) {
	if _, ours := deny.Parse(reason); ours {
		reason = ""
	}
	c.end(ending{reason: why, code: code, text: reason, cause: cause, flush: true, by: "route"})
}

// stop is End, also for a connection that is about to end and still sends what
// is queued.
func (c *Conn) stop(reason deny.Reason, err error) {
	c.End(reason, err)
	c.cut()
}

// cut hurries an ending that sends what is queued. A connection that is going live
// gets its link first.
func (c *Conn) cut() {
	c.mu.Lock()
	l := c.live()
	c.mu.Unlock()
	if l != nil {
		l.Cut()
	}
}

// end is the one way in which a connection ends. The first wins.
func (c *Conn) end(e ending) {
	if code, _, left := c.PeerClose(); left && e.by == "route" { // what follows a goodbye is its consequence
		if e.reason != deny.BackendClosed {
			e.code = code
		}
		e.reason, e.text, e.by, e.flush, e.ours = deny.PeerClosed, "", "client", true, false
	}
	if !c.ended.CompareAndSwap(nil, &e) {
		return
	}
	c.cancel(&e)
	c.door.leave(c)
	if !e.flush { // else a stop still finds it
		c.door.forgetConn(c)
	}

	c.mu.Lock()
	l, sink := c.live(), c.sink
	c.mu.Unlock()
	if l == nil { // still opening: the corridor answers
		c.door.forgetConn(c)
		return
	}
	if e.ours && c.control != nil {
		l.Announce(controlFrame(closing(e.reason, c.got())))
	}
	switch {
	case e.reset:
		l.Reset()
	case e.flush:
		l.Shutdown(e.code, e.text)
	default:
		l.Close(e.code, e.text)
	}
	c.tellClosed(sink, &e)
	received, sent := l.Bytes()
	c.door.observe(Event{
		Kind: Ended, Conn: c.id, Gate: c.gate, Path: c.gate, Origin: c.origin, Address: c.address, Identity: c.Identity(),
		Reason: e.reason, Cause: e.cause, Lasted: time.Since(c.Began()), Received: received, Sent: sent,
		Messages: c.messages.Load(), Replies: c.replies.Load(), Sealed: c.Sealed(), By: e.by,
	})
}

// tellClosed survives a sink that panics: it runs on any goroutine, the clock's too.
func (c *Conn) tellClosed(sink Sink, e *ending) {
	defer func() {
		if p := recover(); p != nil {
			e.cause = errors.Join(e.cause, panicked(p))
		}
	}()
	sink.Closed(c, e.reason)
}

// survive is deferred where a route's code runs on a goroutine of the door: a
// panic ends the connection and nothing else.
func (c *Conn) survive() {
	if p := recover(); p != nil {
		c.End(deny.Internal, panicked(p))
	}
}

func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }

// left ends a connection whose client said goodbye.
func (c *Conn) left(cause error) {
	code, _, _ := c.PeerClose()
	c.end(ending{reason: deny.PeerClosed, code: code, cause: cause, flush: true, by: "client"})
}
