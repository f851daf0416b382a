package sallyport

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// scope is the context of a connection. It is made when it is first asked: most
// connections do without.
type scope struct {
	context.Context
	cancel context.CancelCauseFunc
}

// Context ends when the connection does; its cause is a [*deny.Denial].
func (c *Conn) Context() context.Context { return lazy{c} }

// scope returns the connection's, which has ended if the connection has.
func (c *Conn) scope() *scope {
	s := c.context.Load()
	if s == nil {
		s = new(scope)
		s.Context, s.cancel = context.WithCancelCause(context.Background())
		if !c.context.CompareAndSwap(nil, s) {
			s = c.context.Load()
		}
	}
	if e := c.ended.Load(); e != nil { // perhaps before there was something to cancel
		s.cancel(&deny.Denial{Reason: e.reason, Cause: e.cause})
	}
	return s
}

// cancel ends the context and the opening, once the connection has an ending.
func (c *Conn) cancel(e *ending) {
	if s := c.context.Load(); s != nil {
		s.cancel(&deny.Denial{Reason: e.reason, Cause: e.cause})
	}
	if cancel := c.abandon.Load(); cancel != nil {
		(*cancel)()
	}
}

// whileOpening has cancel called when the connection ends, or has ended; nil: no
// more.
func (c *Conn) whileOpening(cancel context.CancelFunc) {
	if cancel == nil {
		c.abandon.Store(nil)
		return
	}
	c.abandon.Store(&cancel)
	if c.ended.Load() != nil {
		cancel()
	}
}

// lazy is a connection as its context. Value gives package context its own, so
// that contexts made from this one are ended by it and have its cause.
type lazy struct{ c *Conn }

func (lazy) Deadline() (time.Time, bool) { return time.Time{}, false }
func (l lazy) Done() <-chan struct{}     { return l.c.scope().Done() }
func (l lazy) Value(key any) any         { return l.c.scope().Value(key) }
func (l lazy) Err() error {
	if l.c.ended.Load() == nil {
		return nil
	}
	return l.c.scope().Err()
}
