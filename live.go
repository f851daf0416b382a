package sallyport

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/seal"
	"github.com/sallyport/sallyport/wss"
)

func (d *Door) newConn(v *visit, place *guard.Place) *Conn {
	c := &Conn{
		door: d, id: newID(), gate: v.gate.Path, origin: v.origin, seals: strings.Clone(v.seals), host: hostOf(v.r),
		address: v.address, place: place,
	}
	c.key = v.key()
	_, c.polls = wss.FromContext(v.r.Context())
	id := v.id
	id.Handle = bytes.Clone(id.Handle) // erased at the end
	c.identity.Store(&id)
	c.life.Begin(&v.gate.guard, v.id.Expires)
	c.opening = c.life.Began().Sub(v.began)
	c.alarm.Ticker = c
	return c
}

// host is what the host check reads of a request, for a later judgement.
type host struct {
	name string
	port uint16 // of the listener; 0 if it is not known
}

func hostOf(r *http.Request) host {
	return host{name: r.Host, port: origin.ListenerPort(r)}
}

// handshake is what the route may see: no ticket, none of our subprotocols.
func (v *visit) handshake(c *Conn) *Handshake {
	r := v.r.Clone(c.Context())
	h := &Handshake{Request: r, ID: c.id, Gate: c.gate, Identity: v.id, Origin: c.origin, Address: c.address, Conn: c}
	h.Protocols = v.apps
	if v.seals != "" { // the answer was given, and named one
		h.Protocols = nil
		if app := shownProtocol(v.seals); app != "" {
			h.Protocols = []string{app}
		}
	}
	r.Header.Del("Sec-WebSocket-Protocol")
	if len(h.Protocols) > 0 {
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(h.Protocols, ", "))
	}
	return h
}

// live re-reads what may have changed while the route was opening and hands the
// socket over. A stop in between wins.
func (v *visit) live(c *Conn, h *Handshake, sink Sink) {
	d := v.door
	abandon := func(err error) {
		c.end(ending{reason: deny.Of(err), cause: err, by: "door"}) // unless it has ended
		ended := c.ended.Load()
		if err == nil {
			err = deny.Because(ended.reason, ended.cause)
		}
		defer v.refuse(err) // also if the sink panics
		sink.Closed(nil, c.Reason())
	}
	if h.Protocol != "" && !slices.Contains(h.Protocols, h.Protocol) {
		abandon(deny.Because(deny.BackendProtocol, errors.New("the route selected a subprotocol that was not offered")))
		return
	}
	if v.seals != "" && h.Protocol != shownProtocol(v.seals) {
		abandon(deny.Because(deny.BackendProtocol, errors.New("the route did not select the subprotocol of the seal")))
		return
	}
	if err := d.judge(c); err != nil {
		abandon(err)
		return
	}
	if c.ended.Load() != nil {
		abandon(nil)
		return
	}
	protocol := v.seals
	var early []byte
	if v.seals == "" {
		protocol = selectProtocol(v.offer.Protocols, h.Protocol)
		socket, tooSoon, err := d.hijack(v.w)
		if err != nil {
			abandon(deny.Because(deny.Internal, err))
			return
		}
		// The server no longer answers: from here on refusals are written raw.
		v.w, v.taken = nil, socket
		if tooSoon {
			abandon(deny.Because(deny.HTTPMalformed, errors.New("bytes behind the handshake, before its answer")))
			return
		}
	} else {
		early = v.breach.unread
	}
	if end, why := c.life.End(); !time.Now().Before(end) { // the clock may not have come to it
		c.End(why, nil)
	}
	if !d.revocations.Unless(holder(v.id), func() { c.goLive(v, protocol, sink) }) {
		c.end(ending{reason: deny.AuthRevoked, by: "door"})
	}
	l := c.live()
	if l == nil { // a stop won
		ended := c.ended.Load()
		defer v.refuse(deny.Because(ended.reason, ended.cause)) // also if the sink panics
		sink.Closed(nil, ended.reason)
		return
	}
	d.observe(Event{
		Kind: Admitted, Conn: c.id, Gate: c.gate, Path: c.gate, Origin: c.origin, Address: c.address,
		Identity: v.id, Status: http.StatusSwitchingProtocols, Lasted: time.Since(v.began), Sealed: c.Sealed(),
	})
	func() {
		defer c.survive()
		sink.Opened(c)
	}()
	l.Start(early)
	d.clock.Set(&c.alarm, c.life.First())
	d.startRecheck(c, v.gate)
	d.rejudge(c, v.policy)
}

// switching is the head of the 101, with the headers of the policy.
func (v *visit) switching(protocol string) []byte {
	head := ws.AppendSwitching(make([]byte, 0, 1<<10), v.offer, protocol)
	return append(v.policy.headers.Append(head), "\r\n"...)
}

// goLive makes c's link, unless c has ended.
func (c *Conn) goLive(v *visit, protocol string, sink Sink) {
	g, d := v.gate, v.door
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Load() != nil {
		return
	}
	config := link.Config{
		Role: ws.Server, MaxMessage: g.guard.MaxMessage, WriteWait: g.guard.WriteWait, Budget: d.budget, Writers: &d.writers,
	}
	c.life.Live(speaks(protocol))
	var first []byte
	if b := v.breach; b != nil {
		c.sealed = b.sealed
		config.MaxMessage, config.Seal = seal.MaxRecord, c.sealed
	} else {
		first = v.switching(protocol)
	}
	if speaks(protocol) {
		c.control = &control{}
		config.Marks = controlMarks
		if c.sealed == nil {
			config.MaxMessage = max(config.MaxMessage, maxControlIn) + 1
			first = append(first, controlFrame(c.hello())...)
		}
	}
	if _, ok := sink.(maskedSink); ok {
		config.KeepMasks = c.sealed == nil && c.control == nil // else we must read what is inside
	}
	c.sink, c.protocol = sink, strings.Clone(protocol) // of a line that had a ticket in it
	_, c.streams = sink.(PartSink)
	d.sockets.Add(1)
	l := link.New(d.engines.of(c.polls), v.taken, owner{c}, config, first)
	if c.sealed != nil {
		l.Insert(controlFrame(c.hello())) // an empty queue takes it
	}
	c.link.Store(l)
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
