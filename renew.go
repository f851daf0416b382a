package sallyport

import (
	"bytes"
	"errors"
	"slices"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// Renew moves c's end to that of id. It is refused with renew.mismatch, leaving
// the connection and its old end alone, unless issuer, subject, session,
// audience and method are the same and no scope is lost; with auth.revoked if
// id is revoked. A credential of another subject ends the connection.
func (d *Door) Renew(c *Conn, id auth.Identity) error {
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
	c.say(c.renewed())
	d.observe(Event{Kind: Renewed, Conn: c.id, Gate: c.gate, Path: c.gate, Origin: c.origin, Address: c.address, Identity: id})
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
