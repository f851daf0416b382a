package sallyport

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
)

// Bounds of re-checks.
const (
	maxRechecks  = 32 // in flight, over all connections
	recheckWait  = 5 * time.Second
	recheckAgain = time.Second // after one that could not be started or answered

	// keptAnswer is when to ask about a connection that was admitted by an answer
	// given before it came: the answer may have been out of date already.
	keptAnswer = 2 * time.Second
)

// recheck asks the authority of a connection's credential again and again. Its
// alarm runs on the door's clock; the question itself takes a goroutine.
type recheck struct {
	conn      *Conn
	authority auth.Rechecker
	interval  time.Duration
	grace     time.Duration
	alarm     guard.Alarm

	mu     sync.Mutex // guards what follows
	since  time.Time  // when the authority became unreachable, or could not be asked; zero if it answers
	ended  bool
	cancel context.CancelFunc // of the question in flight
}

// startRecheck begins if the identity's authenticator can be asked again.
func (d *Door) startRecheck(c *Conn, g *gate) {
	authority := auth.RecheckerOf(g.Auth, c.Identity())
	if authority == nil {
		return
	}
	rc := &recheck{conn: c, authority: authority}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if c.recheck.Store(rc); c.ended.Load() != nil { // it ended before it could stop us
		rc.ended = true
		clear(c.identity.Load().Handle)
		return
	}
	rc.interval, rc.grace = authority.Every()
	rc.alarm.Ticker = rc
	first := rc.interval
	if k, ok := authority.(auth.Kinder); ok && k.Kind() == auth.Forward && c.Identity().IssuedAt.Before(c.Began()) {
		first = min(first, keptAnswer)
	}
	d.clock.Set(&rc.alarm, time.Now().Add(first))
}

func (rc *recheck) stop(d *Door) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.ended = true
	d.clock.Cancel(&rc.alarm)
	clear(rc.conn.identity.Load().Handle) // may hold what the browser sent
	if rc.cancel != nil {
		rc.cancel()
	}
}

// Tick is the clock's event.
func (rc *recheck) Tick() {
	d := rc.conn.door
	select {
	case d.rechecks <- struct{}{}:
		d.helpers.Go(func() {
			defer func() { <-d.rechecks }()
			defer rc.conn.survive()
			rc.ask()
		})
	default: // not asking is no better than not being answered
		if rc.unreachableFor() >= rc.grace {
			rc.conn.End(deny.AuthUnavailable, errors.New("too many re-checks in flight"))
			return
		}
		rc.again(recheckAgain)
	}
}

func (rc *recheck) again(wait time.Duration) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if !rc.ended {
		rc.conn.door.clock.Set(&rc.alarm, time.Now().Add(wait))
	}
}

func (rc *recheck) ask() {
	c := rc.conn
	ctx, cancel := context.WithTimeout(context.Background(), recheckWait)
	defer cancel()
	rc.mu.Lock()
	if rc.ended {
		rc.mu.Unlock()
		return
	}
	rc.cancel = cancel
	old := c.Identity()
	old.Handle = bytes.Clone(old.Handle)
	rc.mu.Unlock()
	defer clear(old.Handle)
	ctx = auth.WithAttempt(ctx, auth.Attempt{Gate: c.gate, Origin: c.origin, Address: addressText(c.address)})

	id, err := rc.authority.Recheck(ctx, old)
	switch {
	case err == nil && (id.Issuer != old.Issuer || id.Subject != old.Subject || id.Session != old.Session):
		c.End(deny.AuthSignedOut, errors.New("re-check: another subject or session"))
	case err == nil && keepsScopes(old, id) != nil:
		c.End(deny.PolicyChanged, errors.New("re-check: fewer scopes"))
	case err == nil:
		rc.answered(c, id)
	case deny.Of(err) != deny.AuthUnavailable && deny.Of(err) != deny.Internal:
		c.End(deny.Of(err), err)
	case rc.unreachableFor() >= rc.grace:
		c.End(deny.AuthUnavailable, err)
	default:
		rc.again(recheckAgain)
	}
}

// answered notes a good answer, which may have moved the end or changed what to
// ask with.
func (rc *recheck) answered(c *Conn, id auth.Identity) {
	rc.mu.Lock()
	rc.since = time.Time{}
	if !rc.ended {
		was := c.identity.Load()
		now := *was
		now.Expires, now.Handle = id.Expires, bytes.Clone(id.Handle)
		if c.identity.CompareAndSwap(was, &now) { // else it was renewed meanwhile
			c.life.Extend(id.Expires)
		}
	}
	rc.mu.Unlock()
	end, _ := c.life.End()
	c.door.clock.Set(&c.alarm, end)
	rc.again(rc.interval)
}

func (rc *recheck) unreachableFor() time.Duration {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if rc.since.IsZero() {
		rc.since = time.Now()
	}
	return time.Since(rc.since)
}
