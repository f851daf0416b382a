package proxy

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// The backend's heartbeat.
const (
	ping     = 25 * time.Second // of silence
	pongWait = 10 * time.Second // then it is lost
)

// relay joins a client's connection and the leg to its backend. As a
// [sallyport.Sink] it is told of the client; as backend, of the backend. It owns
// no goroutine and no timer: it runs in the events of the two legs and of the
// door's clock.
type relay struct {
	// Set once.
	conn  *sallyport.Conn
	leg   *link.Link
	base  time.Time
	alarm guard.Alarm

	early []byte // frames that came with the 101; gone once the leg is started

	stopped atomic.Bool  // the leg is not read: the client's queue is full
	ended   atomic.Bool  // Closed was called
	heard   atomic.Int64 // when bytes last arrived, since base

	pinged time.Duration // owned by Tick: when the unanswered ping was sent; 0 = none
}

// backend is a relay as the owner of its leg.
type backend relay

// streamed is a relay that takes the client's messages in parts.
type streamed struct{ *relay }

// masked and maskedStreamed are the same for clients whose own masks pass. What a
// client shares with the door, a seal or sallyport.v1, cannot: then they are what
// they are made of.
type (
	masked         struct{ *relay }
	maskedStreamed struct{ streamed }
)

var (
	_ sallyport.Route    = (*Proxy)(nil)
	_ sallyport.PartSink = streamed{}
	_ sallyport.Drainer  = (*relay)(nil)
	_ sallyport.Leaver   = (*relay)(nil)
	_ sallyport.Taker    = (*relay)(nil)
	_ link.Owner         = (*backend)(nil)
)

func newRelay(p *Proxy, c *sallyport.Conn, socket net.Conn, early []byte) sallyport.Sink {
	r := &relay{conn: c, early: early, base: time.Now()}
	r.alarm.Ticker = r
	r.leg = c.InternalLeg(socket, (*backend)(r), link.Config{MaxMessage: p.config.MaxMessageDown, MaxFragments: -1})
	switch pass := p.config.DangerouslyPassMasked != ""; {
	case pass && p.config.Stream:
		return maskedStreamed{streamed{r}}
	case pass:
		return masked{r}
	case p.config.Stream:
		return streamed{r}
	}
	return r
}

// Opened begins to read the backend. It may come after Closed.
func (r *relay) Opened(*sallyport.Conn) {
	r.start()
	r.heard.Store(int64(r.now()))
	r.wake(r.now() + ping)
}

func (r *relay) start() {
	early := r.early
	r.early = nil
	r.leg.Start(early)
}

// Message sends a message of the client on.
func (r *relay) Message(c *sallyport.Conn, m sallyport.Message) {
	r.up(sallyport.Part{Message: m, First: true, Last: true})
}

// Part sends a part of a message of the client on.
func (r streamed) Part(c *sallyport.Conn, p sallyport.Part) { r.up(p) }

func (r *relay) up(p sallyport.Part) {
	r.leg.Hold() // until InternalArrived
	r.went(r.leg.SendPart(ws.Opcode(p.Kind), p.First, p.Last, p.Data))
}

// InternalMasked sends a part of a message of the client on as the client masked it.
func (r masked) InternalMasked(ev ws.Event)         { r.pass(ev) }
func (r maskedStreamed) InternalMasked(ev ws.Event) { r.pass(ev) }

func (r *relay) pass(ev ws.Event) {
	r.leg.Hold() // until InternalArrived
	r.went(r.leg.SendMasked(ev.Op, ev.First, ev.Last, ev.Key, ev.Data))
}

// went judges what became of a part that was sent, and pauses the client while too
// much waits.
func (r *relay) went(err error) {
	switch {
	case errors.Is(err, link.ErrFull):
		r.conn.End(deny.BackendTimeout, err)
	case errors.Is(err, link.ErrBudget):
		r.conn.End(deny.GuardFull, err)
	}
	if r.leg.Above() {
		r.conn.Pause()
		if !r.leg.Above() { // it drained before we paused
			r.conn.Unpause()
		}
	}
}

// InternalArrived is the end of an event of the client's.
func (r *relay) InternalArrived() { r.leg.Flush() }

// Taken is how many messages the backend's socket has taken.
func (r *relay) Taken() int64 { return r.leg.Delivered() }

// Drained continues to read the backend: the client takes messages again.
func (r *relay) Drained(*sallyport.Conn) {
	if r.stopped.Swap(false) {
		r.heard.Store(int64(r.now())) // it was not listened to
		r.leg.Resume()
	}
}

// Leaving passes the client's goodbye on, behind what it said before. What the
// backend answers, its own goodbye last, still reaches the client.
func (r *relay) Leaving(_ *sallyport.Conn, code uint16, reason string) { r.leg.Leave(code, reason) }

// Closed ends the leg.
func (r *relay) Closed(c *sallyport.Conn, reason deny.Reason) {
	r.ended.Store(true)
	r.conn.InternalClock().Cancel(&r.alarm)
	switch {
	case reason == deny.BackendLost, reason == deny.BackendTimeout:
		r.leg.Reset()
	default:
		r.leg.Close(reason.Backend(), reason.Title())
	}
	if c == nil { // it was never opened: the backend is told even so
		r.start()
	}
}

// Ready says whether the client takes more.
func (b *backend) Ready() bool { return !b.stopped.Load() }

// Data sends a part of a message of the backend on.
func (b *backend) Data(ev ws.Event) {
	part := sallyport.Part{Message: sallyport.Message{Kind: sallyport.Kind(ev.Op), Data: ev.Data}, First: ev.First, Last: ev.Last}
	b.conn.InternalHold() // until Arrived
	switch err := b.conn.PostPart(part); {
	case errors.Is(err, sallyport.ErrSlow):
		b.conn.End(deny.GuardSlow, err)
	case errors.Is(err, sallyport.ErrMemory):
		b.conn.End(deny.GuardFull, err)
	}
	if b.conn.Congested() {
		b.stopped.Store(true)
		if !b.conn.Congested() { // it drained before we stopped
			b.stopped.Store(false)
		}
	}
}

// Control counts for nothing: the leg has answered, and each leg has a
// heartbeat of its own.
func (b *backend) Control(ws.Event) {}

// Arrived is the backend's sign of life, and the end of an event.
func (b *backend) Arrived(int, bool) {
	b.heard.Store(int64((*relay)(b).now()))
	b.conn.InternalFlush()
}

// PeerClosed answers the backend's goodbye and passes it on.
func (b *backend) PeerClosed(code uint16, reason string) {
	b.leg.Close(code, "")
	b.conn.Relay(code, reason)
}

// Failed ends the connection: the backend broke a rule, or is gone.
func (b *backend) Failed(err error) {
	if fault, ok := errors.AsType[*ws.Error](err); ok {
		reason := deny.BackendProtocol
		if fault.Code == 1009 {
			reason = deny.BackendTooBig
		}
		b.conn.End(reason, err)
		b.leg.Close(reason.Backend(), reason.Title()) // if the connection ended before
		return
	}
	reason := deny.BackendLost
	switch {
	case errors.Is(err, link.ErrSlow):
		reason = deny.BackendTimeout
	case errors.Is(err, link.ErrBudget):
		reason = deny.GuardFull
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the backend's socket ended without a close frame")
	}
	b.leg.Reset()
	b.conn.InternalEnd(reason, err)
}

// Drained continues to read the client: the backend takes messages again.
func (b *backend) Drained() { b.conn.Unpause() }

// Released needs nothing.
func (b *backend) Released() {}

// now is never 0, so that 0 can mean "not".
func (r *relay) now() time.Duration { return max(time.Since(r.base), 1) }

// Tick is the clock's event: the backend's heartbeat. It measures the backend
// only while it is read, and while it can be expected to have got the ping.
func (r *relay) Tick() {
	if r.ended.Load() {
		return
	}
	now, heard := r.now(), time.Duration(r.heard.Load())
	switch {
	case r.stopped.Load(), r.leg.Above(): // waiting is bounded by WriteWait on either side
		r.pinged = 0
		heard = now
		r.heard.Store(int64(now))
	case heard >= r.pinged:
		r.pinged = 0
	}
	switch {
	case r.pinged != 0 && now-r.pinged >= pongWait:
		r.conn.InternalEnd(deny.BackendLost, errors.New("the backend does not answer pings"))
		return
	case r.pinged == 0 && now-heard >= ping:
		r.pinged = now
		r.leg.Ping()
	}
	if r.pinged != 0 {
		r.wake(r.pinged + pongWait)
	} else {
		r.wake(heard + ping)
	}
}

// wake has Tick called, unless the connection has ended.
func (r *relay) wake(at time.Duration) {
	clock := r.conn.InternalClock()
	clock.Set(&r.alarm, r.base.Add(at))
	if r.ended.Load() { // perhaps before the alarm was set
		clock.Cancel(&r.alarm)
	}
}
