package sallyport

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// Renew moves c's end to that of id. It is refused with renew.mismatch, leaving
// the connection and its old end alone, unless issuer, subject, session,
// audience and method are the same and no scope is lost; with auth.revoked if
// id is revoked. A credential of another subject ends the connection.
func (d *Door) Renew(c *Conn, id auth.Identity) error {
	if err := d.renew(c, id); err != nil {
		return err
	}
	c.say(c.renewed())
	return nil
}

func (d *Door) renew(c *Conn, id auth.Identity) error {
	if err := d.acceptable(id); err != nil {
		return err
	}
	old := c.Identity()
	if id.Issuer != old.Issuer || id.Subject != old.Subject {
		err := deny.Because(deny.RenewMismatch, errors.New("renewed by another subject"))
		c.End(deny.AuthInvalid, err)
		return err
	}
	if err := fits(old, id); err != nil {
		return deny.Because(deny.RenewMismatch, err)
	}
	id.Handle = bytes.Clone(id.Handle) // erased at the end
	if !d.revocations.Unless(holder(id), func() {
		c.identity.Store(&id)
		c.life.Extend(id.Expires)
	}, holder(old)) { // else it would slip out of a revocation that is about to end it
		return deny.Because(deny.AuthRevoked, nil)
	}
	end, _ := c.life.End()
	d.clock.Set(&c.alarm, end)
	if reason := c.Reason(); reason != 0 {
		return deny.Because(reason, nil)
	}
	d.observe(Event{Kind: Renewed, Conn: c.id, Gate: c.gate, Path: c.gate, Origin: c.origin, Address: c.address, Identity: id, Sealed: c.Sealed()})
	return nil
}

// fits reports whether id may replace old on a connection of the same subject.
func fits(old, id auth.Identity) error {
	switch {
	case id.Session != old.Session:
		return errors.New("another session")
	case id.Audience != old.Audience:
		return errors.New("another audience")
	case id.Method != old.Method:
		return errors.New("another method")
	case id.Key != old.Key:
		return errors.New("bound to another key")
	}
	return keepsScopes(old, id)
}

func keepsScopes(old, id auth.Identity) error {
	for _, s := range old.Scopes {
		if !slices.Contains(id.Scopes, s) {
			return errors.New("fewer scopes")
		}
	}
	return nil
}

// renewInBand judges a credential as on a handshake of the same origin, host and
// address. It may ask others, so it does not run in the event.
func (c owner) renewInBand(cmd command) {
	renewing := &c.control.renewing
	if !renewing.CompareAndSwap(false, true) {
		c.say(refused(deny.GuardTooFast))
		return
	}
	c.door.helpers.Go(func() { // ends after openWait, or with the connection
		defer c.survive()
		ctx, cancel := context.WithTimeout(c.Context(), openWait)
		defer cancel()
		err := c.door.renewBy(ctx, c.Conn, cmd)
		answer := c.renewed()
		if err != nil {
			answer = refused(deny.Of(err))
			c.noteRefusal(err)
		}
		renewing.Store(false) // first: who has the answer may ask again
		c.say(answer)
	})
}

func (d *Door) renewBy(ctx context.Context, c *Conn, cmd command) error {
	p := d.policy.Load()
	g := p.find(c.gate)
	if g == nil || g.Path != c.gate {
		return deny.Because(deny.PolicyChanged, errors.New("the gate is gone"))
	}
	r, err := c.presenting(ctx, cmd)
	if err != nil {
		return err
	}
	id, err := d.identify(ctx, g.Auth, r, auth.Attempt{Gate: c.gate, Origin: c.origin, Address: addressText(c.address), Key: c.key})
	if err != nil {
		return err
	}
	if err := g.bound(id, c.key); err != nil {
		return err
	}
	if err := somebody(id); err != nil {
		return err
	}
	if err := d.renew(c, id); err != nil {
		return err
	}
	return d.rejudge(c, p)
}

// somebody refuses to renew with nobody's identity, which would fit everybody's
// connections.
func somebody(id auth.Identity) error {
	if id.Subject == "" {
		return deny.Because(deny.RenewMismatch, errors.New("a credential without a subject has nothing to renew"))
	}
	return nil
}

// noteRefusal tells of a credential that renewed nothing. An ending tells of itself.
func (c *Conn) noteRefusal(err error) {
	if c.Reason() == 0 {
		c.door.observe(Event{
			Kind: Refused, Conn: c.id, Gate: c.gate, Path: c.gate, Origin: c.origin, Address: c.address, Identity: c.Identity(),
			Reason: deny.Of(err), Cause: err, Sealed: c.Sealed(),
		})
	}
}

// presenting is a handshake of c's client with another credential.
func (c *Conn) presenting(ctx context.Context, cmd command) (*http.Request, error) {
	r := (&http.Request{Host: c.host.name, Header: http.Header{}}).WithContext(ctx)
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = http.MethodGet, "HTTP/1.1", 1, 1
	r.URL, r.RequestURI, r.RemoteAddr = &url.URL{Path: c.gate}, c.gate, addressText(c.address)
	if c.origin != "none" {
		r.Header.Set("Origin", c.origin)
	}
	return r, present(r, cmd.Ticket, cmd.Token)
}

// present puts a ticket or a token that came in a message where it stands in a
// handshake, if it can stand there and nothing beside it.
func present(r *http.Request, ticket, token string) error {
	switch {
	case !visible(ticket + token):
		return deny.Because(deny.AuthInvalid, errors.New("a credential that cannot stand in a header"))
	case ticket != "" && (!strings.HasPrefix(ticket, auth.TicketPrefix) || strings.Contains(ticket, ",")):
		return deny.Because(deny.AuthInvalid, errors.New("not a ticket"))
	case ticket != "":
		r.Header.Set("Sec-WebSocket-Protocol", ticket+", "+neutral)
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}

// visible reports whether s is visible ASCII, without a blank.
func visible(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return true
}
