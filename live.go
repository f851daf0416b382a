package sallyport

import (
	"bytes"
	"context"
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
)

func (d *Door) newConn(v *visit, place *guard.Place) *Conn {
	c := &Conn{
		door: d, id: newID(), gate: v.gate.Path, origin: v.origin, host: hostOf(v.r),
		address: v.address, began: v.began, place: place,
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	id := v.id
	id.Handle = bytes.Clone(id.Handle) // erased at the end
	c.identity.Store(&id)
	c.life.Begin(&v.gate.guard, v.id.Expires)
	c.alarm.Ticker = c
	return c
}

// hostOf keeps of r what the host check reads, for a later judgement.
func hostOf(r *http.Request) *http.Request {
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, r.Context().Value(http.LocalAddrContextKey))
	return (&http.Request{Host: r.Host, Header: http.Header{}}).WithContext(ctx)
}

// handshake is what the route may see: no ticket, none of our subprotocols.
func (v *visit) handshake(c *Conn) *Handshake {
	r := v.r.Clone(c.ctx)
	h := &Handshake{Request: r, ID: c.id, Gate: c.gate, Identity: v.id, Origin: c.origin, Address: c.address, Conn: c}
	h.Protocols = v.apps
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
		sink.Closed(nil, c.Reason())
		ended := c.ended.Load()
		if err == nil {
			err = deny.Because(ended.reason, ended.cause)
		}
		v.refuse(err)
	}
	if h.Protocol != "" && !slices.Contains(h.Protocols, h.Protocol) {
		abandon(deny.Because(deny.BackendProtocol, errors.New("the route selected a subprotocol that was not offered")))
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
	protocol := selectProtocol(v.offer.Protocols, h.Protocol)
	header := http.Header{}
	v.policy.headers.Apply(header)
	socket, early, err := d.hijack(v.w)
	if err != nil {
		abandon(deny.Because(deny.Internal, err))
		return
	}
	// The server no longer answers: from here on refusals are written raw.
	v.w = nil
	if early {
		sinkErr := deny.Because(deny.HTTPMalformed, errors.New("bytes behind the handshake, before its answer"))
		c.end(ending{reason: deny.HTTPMalformed, cause: sinkErr, by: "client"})
		defer v.refuseRaw(socket, sinkErr) // also if the sink panics
		sink.Closed(nil, deny.HTTPMalformed)
		return
	}
	if end, why := c.life.End(); !time.Now().Before(end) { // the clock may not have come to it
		c.End(why, nil)
	}
	if !d.revocations.Unless(holder(v.id), func() { c.goLive(v, socket, protocol, header, sink) }) {
		c.end(ending{reason: deny.AuthRevoked, by: "door"})
	}
	l := c.live()
	if l == nil { // a stop won
		ended := c.ended.Load()
		defer v.refuseRaw(socket, deny.Because(ended.reason, ended.cause)) // also if the sink panics
		sink.Closed(nil, ended.reason)
		return
	}
	d.observe(Event{
		Kind: Admitted, Conn: c.id, Gate: c.gate, Path: c.gate, Origin: c.origin, Address: c.address,
		Identity: v.id, Status: http.StatusSwitchingProtocols, Lasted: time.Since(v.began),
	})
	func() {
		defer c.survive()
		sink.Opened(c)
	}()
	l.Start(nil)
	d.clock.Set(&c.alarm, c.life.First())
	d.startRecheck(c, v.gate)
	d.rejudge(c, v.policy)
}

// goLive makes c's link, unless c has ended.
func (c *Conn) goLive(v *visit, socket net.Conn, protocol string, header http.Header, sink Sink) {
	g, d := v.gate, v.door
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Load() != nil {
		return
	}
	config := link.Config{
		Role: ws.Server, MaxMessage: g.guard.MaxMessage, WriteWait: g.guard.WriteWait, Budget: d.budget, Writers: &d.writers,
	}
	first := ws.AppendResponse(nil, v.offer, protocol, header)
	c.life.Live(speaks(protocol))
	if speaks(protocol) {
		c.control = &control{}
		config.MaxMessage, config.Marks = max(config.MaxMessage, maxControlIn)+1, controlMarks
		first = append(first, controlFrame(c.hello())...)
	}
	c.sink, c.protocol = sink, protocol
	c.parts, _ = sink.(PartSink)
	d.sockets.Add(1)
	c.link = link.New(d.engine, socket, owner{c}, config, first)
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
