package sallyport

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// enter puts c in the registry, as opening: from then on a revocation finds it.
// The caller says openings.Done once the handshake is answered, unless there is
// an error.
func (d *Door) enter(c *Conn) error {
	d.mu.Lock()
	if d.draining {
		d.mu.Unlock()
		c.end(ending{reason: deny.Drain, by: "door"})
		return deny.Because(deny.Drain, nil)
	}
	d.conns[c.id] = c
	d.openings.Add(1)
	d.mu.Unlock()
	end, _ := c.life.End()
	d.clock.Set(&c.alarm, end)
	if d.revocations.Revoked(holder(c.Identity())) { // between the check and the registry
		defer d.openings.Done()
		c.end(ending{reason: deny.AuthRevoked, by: "door"})
		return deny.Because(deny.AuthRevoked, nil)
	}
	return nil
}

// leave gives back what c holds of the door.
func (d *Door) leave(c *Conn) {
	d.clock.Cancel(&c.alarm)
	if rc := c.recheck.Load(); rc != nil {
		rc.stop(d)
	}
	c.place.Release()
}

// forgetConn takes c out of the registry.
func (d *Door) forgetConn(c *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c.id)
}

func (d *Door) isDraining() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.draining
}

func (d *Door) all() []*Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.conns))
}

// Conns are the connections that are open at the moment of the call.
func (d *Door) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range d.all() {
			if c.live() != nil && c.Reason() == 0 && !yield(c) {
				return
			}
		}
	}
}

// Revoke makes m final, ends every connection that it names, opening ones too,
// and returns how many. It returns an error if the revocation could not be
// kept; nothing is revoked then.
func (d *Door) Revoke(ctx context.Context, m guard.Match) (int, error) {
	return d.revoke(ctx, m, deny.AuthRevoked)
}

// SignOut is Revoke for a session that its user ended: its connections close
// with auth.signed-out, those opened with its tokens too. They end also if the
// revocation could not be kept, since the session has ended all the same; the
// error says that its tokens are still good.
func (d *Door) SignOut(ctx context.Context, session string) (int, error) {
	m := guard.Match{Session: session}
	n, err := d.revoke(ctx, m, deny.AuthSignedOut)
	if err != nil {
		n = d.sweep(m, deny.AuthSignedOut)
	}
	return n, err
}

func (d *Door) revoke(ctx context.Context, m guard.Match, why deny.Reason) (int, error) {
	if err := d.revocations.Add(ctx, m); err != nil {
		return 0, err
	}
	return d.sweep(m, why), nil
}

// sweep ends the connections that m names.
func (d *Door) sweep(m guard.Match, why deny.Reason) (n int) {
	d.forget()
	for _, c := range d.all() {
		if m.Fits(holder(c.Identity())) {
			if c.Reason() == 0 {
				n++
			}
			c.stop(why, nil)
		}
	}
	for _, q := range d.following() {
		if m.Fits(holder(q.id)) {
			q.end(deny.Because(why, nil))
		}
	}
	return n
}

// forget drops the verdicts that authenticators remember.
func (d *Door) forget() {
	p := d.policy.Load()
	for g := range p.every() {
		for _, a := range auth.Members(g.Auth) {
			if f, ok := a.(interface{ ForgetAll() }); ok {
				f.ForgetAll()
			}
		}
	}
}

// every yields all gates.
func (p *policy) every() iter.Seq[*gate] {
	return func(yield func(*gate) bool) {
		for _, g := range p.gates {
			if !yield(g) {
				return
			}
		}
		for _, g := range p.prefixes {
			if !yield(g) {
				return
			}
		}
	}
}

// Broadcast queues m on every connection of to, without waiting. A connection
// that is too slow for it is ended with guard.slow and counts as dropped. A
// message of up to 16 KiB is framed once for all that are not sealed.
func (d *Door) Broadcast(to iter.Seq[*Conn], m Message) (queued, dropped int) {
	frames := shared{message: m}
	for c := range to {
		switch err := c.postShared(&frames); {
		case err == nil:
			queued++
		case errors.Is(err, ErrSlow):
			c.End(deny.GuardSlow, err)
			dropped++
		default:
			dropped++
		}
	}
	return queued, dropped
}

// shared is a message as it goes to many connections: framed when the first of its
// kind comes along.
type shared struct {
	message        Message
	plain, channel []byte // without and with sallyport.v1
}

// frame returns m's frame for c; nil if c cannot share one.
func (s *shared) frame(c *Conn) []byte {
	frame, marks := &s.plain, (*link.Marks)(nil)
	if c.control != nil {
		frame, marks = &s.channel, controlMarks
	}
	if *frame == nil && c.sealed == nil {
		*frame = link.Frame(ws.Opcode(s.message.Kind), marks, s.message.Data)
	}
	if c.sealed != nil {
		return nil
	}
	return *frame
}

// postShared is Post for a message that others get too.
func (c *Conn) postShared(s *shared) error {
	l := c.live()
	if l == nil {
		return ErrClosed
	}
	frame := s.frame(c)
	if frame == nil {
		return c.Post(s.message)
	}
	if err := l.SendShared(frame); err != nil {
		return err
	}
	c.life.Data(false)
	c.replies.Add(1)
	return nil
}

// judgeAs leaves out what handshakes and ordinary requests do not share: whether
// an origin may be missing. key is what a sealed connection has proven.
func (d *Door) judgeAs(gate string, at host, from string, id auth.Identity, sealed bool, key string) error {
	p := d.policy.Load()
	g := p.gates[gate]
	if g == nil {
		if g = p.find(gate); g == nil || g.Path != gate {
			return deny.Because(deny.PolicyChanged, errors.New("the gate is gone"))
		}
	}
	if err := g.origin.CheckHostText(at.name, at.port); err != nil {
		return deny.Because(deny.PolicyChanged, err)
	}
	if from != "none" && !g.origin.Trusts(from) {
		return deny.Because(deny.PolicyChanged, errors.New("the origin is no longer trusted"))
	}
	if g.Seal == SealRequired {
		if !sealed {
			return deny.Because(deny.PolicyChanged, errors.New("the gate wants a seal now"))
		}
		if err := g.bound(id, key); err != nil {
			return deny.Because(deny.PolicyChanged, err)
		}
	}
	if err := auth.StillAccepts(g.Auth, id); err != nil {
		return deny.Because(deny.PolicyChanged, err)
	}
	return nil
}

// Drain refuses new connections and ends the open ones with drain, spread over
// the first half of the time that ctx has left, at most 20 s. Clients that speak
// sallyport.v1 are advised to move within that time, have a quarter of it more to
// arrive, and end in the quarter that follows if they have not. It returns when
// every socket is given back and every goroutine of the door has ended; or when
// ctx ends, after it has cut off whoever is still being sent something. Sockets
// linger for less than a second more.
func (d *Door) Drain(ctx context.Context) error {
	d.mu.Lock()
	d.draining = true
	d.mu.Unlock()

	spread := 20 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		spread = min(spread, time.Until(deadline)/2)
	}
	began, grace := time.Now(), spread/4
	var told, untold []*Conn
	for _, c := range d.all() {
		if c.live() != nil && c.control != nil {
			c.say(draining(spread, spread+grace))
			told = append(told, c)
		} else {
			untold = append(untold, c)
		}
	}
	endInTurn(ctx, untold, began, spread)
	endInTurn(ctx, told, began.Add(spread+grace), grace)
	for _, c := range d.all() { // out of time, or entered meanwhile
		c.End(deny.Drain, nil)
	}
	done := make(chan struct{})
	go func() { // ends with the sockets, which linger for less than a second, and with the handlers
		d.openings.Wait() // then nothing new is added to the others
		d.sockets.Wait()
		d.engines.wait()
		d.writers.Wait()
		d.clock.Wait()
		d.helpers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		for _, c := range d.all() {
			c.cut()
		}
		return context.Cause(ctx)
	}
}

// endInTurn ends conns one after the other, from a time on and within spread. It
// waits for none that has ended by itself, and returns when ctx ends.
func endInTurn(ctx context.Context, conns []*Conn, from time.Time, spread time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, c := range conns {
		timer.Reset(time.Until(from.Add(spread * time.Duration(i) / time.Duration(len(conns)))))
		select {
		case <-timer.C:
		case <-c.Context().Done():
		case <-ctx.Done():
			return
		}
		c.End(deny.Drain, nil)
	}
}
