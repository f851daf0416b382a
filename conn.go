package sallyport

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// Errors of sending. Test with errors.Is.
var (
	ErrSlow   = link.ErrFull   // the peer does not read what is queued for it
	ErrMemory = link.ErrBudget // limits.buffered is used up
	ErrClosed = link.ErrClosed // the connection has ended
)

// Conn is one admitted connection. It is a state machine: the engine tells it
// of bytes, the clock of time, and whoever knows why ends it. Its methods may be
// called from any goroutine.
type Conn struct {
	// Set once at admission.
	door    *Door
	id      string
	gate    string
	origin  string
	seals   string // the token that wants the seal; empty if it is not sealed
	key     string // the thumbprint of the key that its client has proven to hold, if any
	host    host
	address netip.Addr
	opening time.Duration // from its first byte to its place
	place   *guard.Place

	identity atomic.Pointer[auth.Identity] // replaced by renewal only
	life     guard.Life
	alarm    guard.Alarm
	recheck  atomic.Pointer[recheck] // nil if nobody is asked again

	ended atomic.Pointer[ending] // the first wins

	context atomic.Pointer[scope]              // made when somebody asks for it
	abandon atomic.Pointer[context.CancelFunc] // of the route's Open

	// mu is held while the connection goes live, while an ending looks whether it
	// has, and while the route pauses or goes on.
	mu       sync.Mutex
	link     atomic.Pointer[link.Link] // nil until then; what follows was set before
	sink     Sink
	streams  bool // the sink is a PartSink
	protocol string
	control  *control // if sallyport.v1 is spoken; else nil. Set before the link starts.
	sealed   *sealed  // if it is sealed; else nil. Set before the link starts.

	paused atomic.Uint32 // why nothing is read: pausedRate, pausedRoute
	polls  bool          // it came through a listener of ours: its sockets may be polled. Set once.

	// Owned by the event in progress.
	partial []byte // of an unfinished message; lent, and its capacity is taken from the budget

	peerCode   atomic.Uint32 // of the close frame received; 0 = none
	peerReason atomic.Pointer[string]

	messages, replies atomic.Int64
}

// Reasons for a pause.
const (
	pausedRate  = 1 << iota // the client is over its rate
	pausedRoute             // the route takes no messages
)

// ID is the connection's random name, 128 bits in hexadecimal.
func (c *Conn) ID() string { return c.id }

// Gate is the path of the gate that admitted it.
func (c *Conn) Gate() string { return c.gate }

// Identity is who was admitted, as last renewed.
func (c *Conn) Identity() auth.Identity { return *c.identity.Load() }

// Origin is the page's origin; "none" for a program.
func (c *Conn) Origin() string { return c.origin }

// Address is the client's.
func (c *Conn) Address() netip.Addr { return c.address }

// Protocol is the subprotocol of the application; empty if none was selected.
func (c *Conn) Protocol() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return shownProtocol(c.protocol)
}

// Began is when the connection was admitted, and Expires when it ends unless
// renewed.
func (c *Conn) Began() time.Time { return c.life.Began().Add(-c.opening) }

// Expires is when the connection ends at the latest, unless it is renewed.
func (c *Conn) Expires() time.Time {
	end, _ := c.life.End()
	return end
}

// Reason is why the connection ended; 0 while it has not.
func (c *Conn) Reason() deny.Reason {
	if e := c.ended.Load(); e != nil {
		return e.reason
	}
	return 0
}

// PeerClose is the close frame received from the client. ok is false if there
// was none. Code is 1005 for a frame without a code.
func (c *Conn) PeerClose() (code uint16, reason string, ok bool) {
	if code := c.peerCode.Load(); code != 0 {
		return uint16(code), *c.peerReason.Load(), true
	}
	return 0, "", false
}

// Bytes counts what was received and sent, below TLS, with frame headers.
func (c *Conn) Bytes() (received, sent int64) {
	if l := c.live(); l != nil {
		return l.Bytes()
	}
	return 0, 0
}

// Counts is how many data messages were received and sent.
func (c *Conn) Counts() (received, sent int64) { return c.messages.Load(), c.replies.Load() }

// live returns the link, or nil while the connection is opening.
func (c *Conn) live() *link.Link { return c.link.Load() }

// Post queues m without waiting. It returns ErrSlow if 256 KiB are already
// queued, ErrMemory or ErrClosed.
func (c *Conn) Post(m Message) error {
	return c.PostPart(Part{Message: m, First: true, Last: true})
}

// PostPart queues a part of a message without waiting. The parts of one message
// must come in order, with no other message between them. After an error in the
// middle of a message the connection must be ended.
func (c *Conn) PostPart(p Part) error {
	l := c.live()
	if l == nil {
		return ErrClosed
	}
	if err := l.SendPart(ws.Opcode(p.Kind), p.First, p.Last, p.Data); err != nil {
		return err
	}
	c.life.Data(false)
	if p.Last {
		c.replies.Add(1)
	}
	return nil
}

// Send queues m, waiting for room while the client reads slowly. It returns
// ctx's error, ErrMemory or ErrClosed. A client that accepts nothing for
// guard.Config.WriteWait is ended with guard.slow.
func (c *Conn) Send(ctx context.Context, m Message) error {
	for {
		l := c.live()
		if l == nil {
			return ErrClosed
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.Room(): // also when the connection has ended
		}
		if err := c.Post(m); !errors.Is(err, ErrSlow) {
			return err
		}
	}
}

// Congested reports that more than 64 KiB wait for the client. Whoever streams
// to it should pause then, ask once more, and continue at Drained.
func (c *Conn) Congested() bool {
	l := c.live()
	return l != nil && l.Above()
}

// Pause stops reading from the client until Unpause: the route takes no
// messages. After guard.Config.RouteWait the connection ends with route.stuck.
func (c *Conn) Pause() {
	c.mu.Lock() // an Unpause in between would leave the life blocked for good
	defer c.mu.Unlock()
	if c.paused.Or(pausedRoute)&pausedRoute == 0 {
		c.door.clock.Set(&c.alarm, c.life.Blocked())
	}
}

// Unpause ends a Pause.
func (c *Conn) Unpause() {
	c.mu.Lock()
	l, was := c.live(), c.paused.And(^uint32(pausedRoute))&pausedRoute != 0
	if was {
		c.door.clock.Set(&c.alarm, c.life.Unblocked())
	}
	c.mu.Unlock()
	if was && l != nil {
		l.Resume()
	}
}

// End closes the connection for a reason. Only the first ending counts. err is
// the private cause and may be nil.
func (c *Conn) End(reason deny.Reason, err error) {
	c.end(ending{reason: reason, code: reason.Close(), text: reason.CloseReason(), cause: err, ours: true, by: "door"})
}

// Close closes the connection for the application, once what is queued was sent,
// for which it takes 5 s at most. The close code is 1000 or 3000-4999; a reason
// that looks like one of ours is left out.
func (c *Conn) Close(code uint16, reason string) {
	c.relay(deny.RouteDone, code, reason, nil)
}

// Relay closes the connection as its backend asked, with the backend's code and
// reason; a reason that looks like one of ours is left out.
func (c *Conn) Relay(code uint16, reason string) {
	c.relay(deny.BackendClosed, code, reason, nil)
}
