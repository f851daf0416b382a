package sallyport

import (
	"errors"
	"io"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// owner is a connection as the owner of its link: what it does when bytes arrive.
// It keeps these methods out of Conn's public ones.
type owner struct{ *Conn }

var _ link.Owner = owner{}

func (c owner) Ready() bool { return c.paused.Load() == 0 }

func (c owner) Data(ev ws.Event) {
	defer c.survive()
	if c.sealed != nil && !c.unseal(&ev) {
		return
	}
	if c.control != nil && !c.unwrap(&ev) {
		return
	}
	c.life.Data(true)
	whole := 0
	if ev.Last {
		whole = 1
		c.messages.Add(1)
	}
	if c.sealed == nil && !c.spend(whole, len(ev.Data)) {
		return
	}
	if ev.Masked { // only to a sink that asked for it
		c.sink.(maskedSink).InternalMasked(ev)
		return
	}
	if c.streams {
		c.hand(whole)
		c.sink.(PartSink).Part(c.Conn, Part{Message: Message{Kind: Kind(ev.Op), Data: ev.Data}, First: ev.First, Last: ev.Last})
		return
	}
	data := ev.Data
	if !ev.First || !ev.Last {
		if !c.collect(ev) || !ev.Last {
			return
		}
		data = c.partial
	}
	c.hand(1)
	c.sink.Message(c.Conn, Message{Kind: Kind(ev.Op), Data: data})
	if c.partial != nil {
		c.dropPartial()
	}
}

// hand counts what the route is about to be given: what ends the connection before
// that was not handed over.
func (c owner) hand(messages int) {
	if c.control != nil {
		c.control.handed.Add(int64(messages))
	}
}

// collect appends a part of a message that came in several.
func (c owner) collect(ev ws.Event) bool {
	if need := len(c.partial) + len(ev.Data); need > cap(c.partial) {
		grown := min(max(need, 2*cap(c.partial), 1<<10), max(need, int(c.life.Config().MaxMessage)))
		bigger := link.Lend(grown)
		if !c.door.budget.Take(cap(bigger)) {
			link.GiveBack(bigger)
			c.End(deny.GuardFull, errors.New("limits.buffered"))
			return false
		}
		bigger = append(bigger, c.partial...)
		c.dropPartial()
		c.partial = bigger
	}
	c.partial = append(c.partial, ev.Data...)
	return true
}

func (c owner) dropPartial() {
	c.door.budget.Give(cap(c.partial))
	link.GiveBack(c.partial)
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
	unfinished = unfinished || c.sealed != nil && c.sealed.begun // inside, whole records may be parts
	if alarm := c.life.Heard(n, unfinished); !alarm.IsZero() {
		c.door.clock.Set(&c.alarm, alarm)
	}
	if a, ok := c.sink.(arrivals); ok {
		a.InternalArrived()
	}
}

func (c owner) PeerClosed(code uint16, reason string) {
	defer c.survive()
	if c.sealed == nil {
		c.goodbye(code, reason)
	} else if err := c.sealed.session.Closed(); err != nil { // else the goodbye was heard inside
		c.End(sealReason(err), err)
	}
}

// goodbye is what the client said last.
func (c owner) goodbye(code uint16, reason string) {
	c.peerReason.Store(&reason)
	c.peerCode.Store(uint32(code))
	if l, ok := c.sink.(Leaver); ok {
		c.door.clock.Set(&c.alarm, c.life.Left())
		l.Leaving(c.Conn, code, reason)
		return
	}
	c.left(nil)
}

func (c owner) Failed(err error) {
	if fault, ok := errors.AsType[*ws.Error](err); ok {
		reason := reasonOf(fault)
		if c.sealed != nil { // whoever is between can break frames
			reason = deny.SealBroken
		}
		c.End(reason, err)
		return
	}
	if errors.Is(err, link.ErrBudget) {
		c.End(deny.GuardFull, err)
		return
	}
	if _, ok := errors.AsType[*seal.Error](err); ok { // of a record that could not be made
		c.End(sealReason(err), err)
		return
	}
	if c.peerCode.Load() != 0 {
		c.left(err)
		return
	}
	reason := deny.PeerLost
	switch {
	case errors.Is(err, link.ErrSlow):
		reason = deny.GuardSlow
	case c.sealed != nil:
		reason = deny.SealTruncated
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
	if c.sealed != nil {
		c.sealed.session.Erase()
	}
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
		c.cut() // what is queued had its time
		return
	case due.End != 0:
		c.End(due.End, nil)
		return
	}
	if l != nil && due.Ping {
		l.Ping()
	}
	if l != nil && due.Beat {
		c.beat()
	}
	if l != nil && due.Resume {
		c.paused.And(^uint32(pausedRate))
		l.Resume()
	}
	c.door.clock.Set(&c.alarm, next)
}
