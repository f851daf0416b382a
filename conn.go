package sallyport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
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
	host    *http.Request // with nothing but what the host check reads
	address netip.Addr
	began   time.Time
	place   *guard.Place
	ctx     context.Context
	cancel  context.CancelCauseFunc

	identity atomic.Pointer[auth.Identity] // replaced by renewal only
	life     guard.Life
	alarm    guard.Alarm
	recheck  recheck

	ended atomic.Pointer[ending] // the first wins

	// mu is held while the connection goes live, while an ending looks whether it
	// has, and while the route pauses or goes on.
	mu       sync.Mutex
	link     *link.Link
	sink     Sink
	parts    PartSink // sink, if it takes parts
	protocol string

	paused atomic.Uint32 // why nothing is read: pausedRate, pausedRoute

	// Owned by the event in progress.
	partial []byte // of an unfinished message; its capacity is taken from the budget

	peerCode   atomic.Uint32 // of the close frame received; 0 = none
	peerReason atomic.Pointer[string]

	messages, replies atomic.Int64
}

// Reasons for a pause.
const (
	pausedRate  = 1 << iota // the client is over its rate
	pausedRoute             // the route takes no messages
)

// ending is why and how a connection ends.
type ending struct {
	reason deny.Reason
	code   uint16
	text   string
	cause  error
	reset  bool // no closing handshake
	flush  bool // what is queued goes first
	by     string
}

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
	if reservedProtocol(c.protocol) {
		return ""
	}
	return c.protocol
}

// Began is when the connection was admitted, and Expires when it ends unless
// renewed.
func (c *Conn) Began() time.Time { return c.began }

// Expires is when the connection ends at the latest, unless it is renewed.
func (c *Conn) Expires() time.Time {
	end, _ := c.life.End()
	return end
}

// Context ends when the connection does; its cause is a [*deny.Denial].
func (c *Conn) Context() context.Context { return c.ctx }

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
func (c *Conn) live() *link.Link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link
}

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
		case <-c.ctx.Done():
			return ErrClosed
		case <-l.Room():
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
	l, was := c.link, c.paused.And(^uint32(pausedRoute))&pausedRoute != 0
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
	c.end(ending{reason: reason, code: reason.Close(), text: reason.CloseReason(), cause: err, by: "door"})
}

// Close closes the connection for the application once what is queued was sent,
// for which it takes 5 s at most. It has a close code of its own: 1000 or 3000-4999. A reason that looks like one of ours is left out.
func (c *Conn) Close(code uint16, reason string) {
	c.relay(deny.RouteDone, code, reason, nil)
}

// Relay closes the connection as its backend asked, with the backend's code and
// reason; a reason that looks like one of ours is left out.
func (c *Conn) Relay(code uint16, reason string) {
	c.relay(deny.BackendClosed, code, reason, nil)
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
	if l := c.live(); l != nil {
		l.Cut()
	}
}

// end is the one way in which a connection ends. The first wins.
func (c *Conn) end(e ending) {
	if code, _, left := c.PeerClose(); left && e.by == "route" { // what follows a goodbye is its consequence
		if e.reason != deny.BackendClosed {
			e.code = code
		}
		e.reason, e.text, e.by, e.flush = deny.PeerClosed, "", "client", true
	}
	if !c.ended.CompareAndSwap(nil, &e) {
		return
	}
	c.cancel(&deny.Denial{Reason: e.reason, Cause: e.cause})
	c.door.leave(c)
	if !e.flush { // else a stop still finds it
		c.door.forgetConn(c)
	}

	c.mu.Lock()
	l, sink := c.link, c.sink
	c.mu.Unlock()
	if l == nil { // still opening: the corridor answers
		c.door.forgetConn(c)
		return
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
		Reason: e.reason, Cause: e.cause, Lasted: time.Since(c.began), Received: received, Sent: sent,
		Messages: c.messages.Load(), Replies: c.replies.Load(), By: e.by,
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

// Ready, Data, Control, Arrived, PeerClosed, Failed, Drained and Released make
// the connection the owner of its link.
var _ link.Owner = owner{}

// owner keeps the link's callbacks out of Conn's public methods.
type owner struct{ *Conn }

func (c owner) Ready() bool { return c.paused.Load() == 0 }

func (c owner) Data(ev ws.Event) {
	defer c.survive()
	c.life.Data(true)
	whole := 0
	if ev.Last {
		whole = 1
		c.messages.Add(1)
	}
	if !c.spend(whole, len(ev.Data)) {
		return
	}
	if c.parts != nil {
		c.parts.Part(c.Conn, Part{Message: Message{Kind: Kind(ev.Op), Data: ev.Data}, First: ev.First, Last: ev.Last})
		return
	}
	data := ev.Data
	if !ev.First || !ev.Last {
		if !c.collect(ev) || !ev.Last {
			return
		}
		data = c.partial
	}
	c.sink.Message(c.Conn, Message{Kind: Kind(ev.Op), Data: data})
	if c.partial != nil {
		c.dropPartial()
	}
}

// collect appends a part of a message that came in several.
func (c owner) collect(ev ws.Event) bool {
	if need := len(c.partial) + len(ev.Data); need > cap(c.partial) {
		grown := min(max(need, 2*cap(c.partial), 1<<10), max(need, int(c.life.Config().MaxMessage)))
		if !c.door.budget.Take(grown) {
			c.End(deny.GuardFull, errors.New("limits.buffered"))
			return false
		}
		bigger := make([]byte, len(c.partial), grown)
		copy(bigger, c.partial)
		held := c.partial
		c.dropPartial()
		clear(held)
		c.partial = bigger
	}
	c.partial = append(c.partial, ev.Data...)
	return true
}

func (c owner) dropPartial() {
	c.door.budget.Give(cap(c.partial))
	c.Conn.partial = nil
}

func (c owner) Control(ev ws.Event) { c.spend(1, len(ev.Data)) }

// spend charges the client's rates and reports whether it may go on.
func (c owner) spend(messages, bytes int) bool {
	alarm, why := c.life.Spend(messages, bytes)
	if why != 0 {
		c.End(why, nil)
		return false
	}
	if !alarm.IsZero() {
		c.paused.Or(pausedRate)
		if !c.life.Throttled() { // a tick came first: nobody else would end this pause
			c.paused.And(^uint32(pausedRate))
		}
		c.door.clock.Set(&c.alarm, alarm)
	}
	return true
}

func (c owner) Arrived(n int, unfinished bool) {
	if alarm := c.life.Heard(n, unfinished); !alarm.IsZero() {
		c.door.clock.Set(&c.alarm, alarm)
	}
}

func (c owner) PeerClosed(code uint16, reason string) {
	defer c.survive()
	c.peerReason.Store(&reason)
	c.peerCode.Store(uint32(code))
	if l, ok := c.sink.(Leaver); ok {
		c.door.clock.Set(&c.alarm, c.life.Left())
		l.Leaving(c.Conn, code, reason)
		return
	}
	c.left(nil)
}

// left ends a connection whose client said goodbye.
func (c *Conn) left(cause error) {
	code, _, _ := c.PeerClose()
	c.end(ending{reason: deny.PeerClosed, code: code, cause: cause, flush: true, by: "client"})
}

func (c owner) Failed(err error) {
	if fault, ok := errors.AsType[*ws.Error](err); ok {
		c.End(reasonOf(fault), err)
		return
	}
	if c.peerCode.Load() != 0 {
		c.left(err)
		return
	}
	reason := deny.PeerLost
	if errors.Is(err, link.ErrSlow) {
		reason = deny.GuardSlow
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the socket ended without a close frame")
	}
	c.end(ending{reason: reason, cause: err, reset: true, by: "client"})
}

func reasonOf(fault *ws.Error) deny.Reason {
	switch fault.Code {
	case 1007:
		return deny.WSUTF8
	case 1009:
		return deny.GuardTooBig
	}
	return deny.WSProtocol
}

func (c owner) Drained() {
	defer c.survive()
	if d, ok := c.sink.(Drainer); ok {
		d.Drained(c.Conn)
	}
}

func (c owner) Released() {
	c.dropPartial()
	c.door.forgetConn(c.Conn)
	c.door.sockets.Done()
}

// Tick is the clock's event.
func (c *Conn) Tick() {
	if c.ended.Load() != nil {
		return
	}
	l := c.live()
	due, next := c.life.Tick(l != nil && l.Above())
	switch {
	case due.End == deny.PeerLost:
		c.end(ending{reason: due.End, reset: true, by: "door"})
		return
	case due.End == deny.PeerClosed:
		c.left(errors.New("the route did not end in time"))
		if l != nil {
			l.Cut() // what is queued had its time
		}
		return
	case due.End != 0:
		c.End(due.End, nil)
		return
	}
	if l != nil && due.Ping {
		l.Ping()
	}
	if l != nil && due.Resume {
		c.paused.And(^uint32(pausedRate))
		l.Resume()
	}
	c.door.clock.Set(&c.alarm, next)
}

// strictConn is what a strict listener's connections offer once hijacked.
type strictConn interface {
	Detach() (raw net.Conn, early []byte, err error)
	Early() bool // bytes followed the request before its answer
}

// hijack takes the socket out of an HTTP server. early reports bytes behind the
// request, which nobody may act on. An error names the middleware that stands in
// the way.
func (d *Door) hijack(w http.ResponseWriter) (socket net.Conn, early bool, err error) {
	socket, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, false, fmt.Errorf("hijack through %T (a middleware's ResponseWriter needs an Unwrap method): %w", w, err)
	}
	early = rw.Reader.Buffered() > 0
	if strict, ok := socket.(strictConn); ok {
		raw, read, err := strict.Detach()
		if err != nil {
			socket.Close()
			return nil, false, fmt.Errorf("take over the socket: %w", err)
		}
		socket, early = raw, early || len(read) > 0 || strict.Early()
		d.strict.Store(true)
	} else {
		d.lax.Store(true)
	}
	socket.SetDeadline(time.Time{})
	return socket, early, nil
}
