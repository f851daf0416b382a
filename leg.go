package sallyport

import (
	"net"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// What follows is for the routes of this module. Its types are internal, it
// promises nothing, and programs have no use for it.

// InternalLeg makes the second leg of a relay, to a backend: fed by the door's
// engine, counted in its budget, waited for by its Drain. Limits of config that
// are zero are those of the gate.
func (c *Conn) InternalLeg(socket net.Conn, owner link.Owner, config link.Config) *link.Link {
	limits := c.life.Config()
	config.Role = ws.Client
	if config.MaxMessage == 0 {
		config.MaxMessage = limits.MaxMessageDown
	}
	if config.WriteWait == 0 {
		config.WriteWait = limits.WriteWait
	}
	config.Budget, config.Writers = c.door.budget, &c.door.writers
	return link.New(c.door.engines.of(c.polls), socket, owner, config, nil)
}

// InternalHold has what is posted wait for InternalFlush: a relay sends what one
// event brought in one write.
func (c *Conn) InternalHold() {
	if l := c.live(); l != nil {
		l.Hold()
	}
}

// InternalFlush ends an InternalHold.
func (c *Conn) InternalFlush() {
	if l := c.live(); l != nil {
		l.Flush()
	}
}

// arrivals is a Sink that is told when all that arrived at once was handed to it.
type arrivals interface{ InternalArrived() }

// maskedSink is a Sink that takes a client's messages in parts and as the client
// masked them, neither unmasked nor checked for UTF-8. On connections that speak
// sallyport.v1 or are sealed it is used as any other Sink.
type maskedSink interface{ InternalMasked(ev ws.Event) }

// passesMasked says why the connections of a gate have a maskedSink; empty if they
// do not.
func (g *Gate) passesMasked() string {
	if r, ok := g.Route.(interface{ InternalPassesMasked() (why string) }); ok {
		return r.InternalPassesMasked()
	}
	return ""
}

// InternalClock is the door's clock.
func (c *Conn) InternalClock() *guard.Clock { return c.door.clock }

// InternalEnd does as End does once what is queued was sent, for which it takes
// 5 s at most: the backend is gone and what it said before still counts.
func (c *Conn) InternalEnd(reason deny.Reason, err error) {
	c.end(ending{reason: reason, code: reason.Close(), text: reason.CloseReason(), cause: err, flush: true, ours: true, by: "route"})
}
