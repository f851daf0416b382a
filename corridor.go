package sallyport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
)

// openWait bounds authentication and a route's Open together.
const openWait = 10 * time.Second

// ServeHTTP answers gates, endpoints and, if there is one, the application. It
// works inside any http.Server whose middleware leaves the ResponseWriter's
// Unwrap method.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := d.policy.Load()
	path := rawPath(r)
	g := p.find(path)
	switch {
	case p.api.owns(path):
		p.headers.Apply(w.Header())
		p.api.ServeHTTP(w, r)
	case g == nil:
		d.application(p, w, r, path)
	case p.ambiguous(path, g):
		v := &visit{door: d, policy: p, gate: g, w: w, r: r, began: time.Now(), address: p.address(r)}
		v.refuseHTTP(deny.Because(deny.HTTPPath, nil))
	case ws.IsUpgrade(r):
		d.corridor(p, g, w, r)
	case g.HTTP != nil:
		d.guarded(p, g, w, r)
	default:
		v := &visit{door: d, policy: p, gate: g, w: w, r: r, began: time.Now(), address: p.address(r)}
		if r.ProtoMajor == 1 { // HTTP/2 has neither, and calls them an error (RFC 9113, section 8.2.2)
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
		}
		v.refuseHTTP(deny.Because(deny.HTTPUpgrade, nil))
	}
}

// application passes a request to what lies behind the door, if its path could
// not be meant for the door.
func (d *Door) application(p *policy, w http.ResponseWriter, r *http.Request, path string) {
	v := &visit{door: d, policy: p, w: w, r: r, began: time.Now(), address: p.address(r)}
	switch {
	case p.ambiguous(path, nil):
		v.refuseHTTP(deny.Because(deny.HTTPPath, nil))
	case p.config.App == nil:
		v.refuseHTTP(deny.Because(deny.HTTPNotFound, nil))
	default:
		if err := p.origin.CheckHost(r); err != nil {
			v.refuseHTTP(err)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Del("Upgrade")
		p.headers.Middleware(p.config.App).ServeHTTP(w, r)
	}
}

func (p *policy) address(r *http.Request) netip.Addr {
	if f := p.config.ClientAddress; f != nil {
		return f(r)
	}
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr().Unmap()
}

// visit is one handshake on its way through the corridor.
type visit struct {
	door    *Door
	policy  *policy
	gate    *gate
	w       http.ResponseWriter
	r       *http.Request
	began   time.Time
	address netip.Addr
	origin  string
	offer   ws.Offer
	apps    []string // subprotocols of the application
	id      auth.Identity

	// Of the sealed order.
	seals  string   // the token that wants the seal, if the gate takes it
	taken  net.Conn // the socket, once it was taken from the HTTP server
	breach *breach  // what has come of the seal, once the 101 was sent
}

// corridor is the order in which a handshake passes the rooms. Here the order
// is the product: each line is cheaper, or needs less trust, than the next.
func (d *Door) corridor(p *policy, g *gate, w http.ResponseWriter, r *http.Request) {
	v := &visit{door: d, policy: p, gate: g, w: w, r: r, began: time.Now(), address: p.address(r)}
	ctx, cancel := context.WithTimeout(r.Context(), openWait)
	defer cancel()

	var err error
	if v.offer, err = ws.CheckUpgrade(r); err != nil { // RFC 6455, section 4.2.1
		v.refuseHTTP(malformed(err))
		return
	}
	if err = g.origin.CheckHost(r); err != nil { // 2
		v.refuseHTTP(err)
		return
	}
	v.wantSeal()
	if v.origin, err = v.checkOrigin(); err != nil {
		v.refuse(err)
		return
	}
	if v.apps, err = appProtocols(v.offer.Protocols); err != nil {
		v.refuseHTTP(err)
		return
	}
	if err = v.checkSeal(); err != nil {
		v.refuse(err)
		return
	}
	if d.isDraining() {
		v.refuseHTTP(deny.Because(deny.Drain, nil))
		return
	}
	place, err := d.places.Admit(v.address) // 3
	if err != nil {
		v.refuseHTTP(err)
		return
	}
	var c *Conn
	defer func() { // whatever a gate's code does, nothing is kept
		if p := recover(); p != nil {
			v.survive(c, place, p)
		}
	}()
	if v.seals != "" {
		if r, err = v.openSeal(ctx); err != nil {
			v.turnAway(place, err)
			return
		}
		v.r = r // the route sees nothing else
	}
	if v.id, err = d.identify(ctx, g.Auth, r, v.attempt()); err == nil { // 4
		err = g.bound(v.id, v.key())
	}
	if err != nil {
		v.turnAway(place, err)
		return
	}
	if err = place.Bind(v.id.Issuer, v.id.Subject); err != nil { // 5
		v.turnAway(place, err)
		return
	}
	c = d.newConn(v, place) // from here on, whoever ends c releases the place
	if err = d.enter(c); err != nil {
		v.refuse(err)
		return
	}
	defer d.openings.Done()
	c.whileOpening(cancel)
	h := v.handshake(c)
	sink, err := g.Route.Open(ctx, h) // 6
	c.whileOpening(nil)
	if err != nil {
		if ended := c.ended.Load(); ended != nil { // a stop won
			err = deny.Because(ended.reason, ended.cause)
		}
		c.end(ending{reason: deny.Of(err), cause: err, by: "route"})
		v.refuse(err)
		return
	}
	v.live(c, h, sink) // 7
}

// turnAway refuses and gives the place back. A sealed refusal lingers, and there
// are no more of an address than places: nothing else bounds them.
func (v *visit) turnAway(place *guard.Place, err error) {
	if v.taken != nil {
		defer place.Release()
	} else {
		place.Release()
	}
	v.refuse(err)
}

// survive gives back what a handshake holds whose authenticator or route panicked.
func (v *visit) survive(c *Conn, place *guard.Place, p any) {
	place.Release()
	err := deny.Because(deny.Internal, panicked(p))
	if c != nil {
		c.End(deny.Internal, err)
	}
	if v.w != nil || c == nil || c.live() == nil { // else the socket ends with c
		v.refuse(err)
	}
}

func malformed(err error) error {
	fault, ok := errors.AsType[*ws.Fault](err)
	if !ok {
		return deny.Because(deny.HTTPMalformed, err)
	}
	switch {
	case fault.Code == "version":
		return deny.Because(deny.HTTPVersion, err)
	case fault.Code == "body":
		return deny.Because(deny.HTTPBody, err)
	case fault.Code == "method":
		return deny.Because(deny.HTTPMethod, err)
	case fault.Status == http.StatusUpgradeRequired:
		return deny.Because(deny.HTTPUpgrade, err)
	case fault.Status == http.StatusRequestHeaderFieldsTooLarge:
		return deny.Because(deny.HTTPHead, err)
	}
	return deny.Because(deny.HTTPMalformed, err)
}

// identify finds out who sends r to a gate, by the gate's authenticators or some
// of them.
func (d *Door) identify(ctx context.Context, by auth.Authenticator, r *http.Request, at auth.Attempt) (auth.Identity, error) {
	if err := auth.CheckQuery(r); err != nil {
		return auth.Identity{}, err
	}
	id, err := by.Authenticate(auth.WithAttempt(ctx, at), r)
	if errors.Is(err, auth.ErrNoCredentials) { // by an authenticator that stands alone, without auth.First
		err = deny.Because(deny.AuthMissing, err)
	}
	if err != nil {
		return id, err
	}
	return id, d.acceptable(id)
}

// addressText is empty for an address that nobody knows, such as that of a peer
// on a unix socket.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (v *visit) attempt() auth.Attempt {
	return auth.Attempt{Gate: v.gate.Path, Origin: v.origin, Address: addressText(v.address), Key: v.key()}
}

// acceptable refuses an identity that has ended, that was revoked, or that
// could outlive the memory of its revocation.
func (d *Door) acceptable(id auth.Identity) error {
	left := time.Until(id.Expires)
	switch {
	case !id.Expires.IsZero() && left <= 0:
		return deny.Because(deny.AuthExpired, nil)
	case !id.Expires.IsZero() && max(left, lifetime(id)) > guard.RevocationsKept:
		return deny.Because(deny.AuthInvalid, errors.New("valid for longer than revocations are kept"))
	case d.revocations.Revoked(holder(id)):
		return deny.Because(deny.AuthRevoked, nil)
	}
	return nil
}

// lifetime is how long a credential is valid in all. One that is valid for
// longer than revocations are kept would come back to life after its revocation
// was forgotten, however little of it is left by then.
func lifetime(id auth.Identity) time.Duration {
	if id.IssuedAt.IsZero() {
		return 0
	}
	return id.Expires.Sub(id.IssuedAt)
}

func holder(id auth.Identity) guard.Holder {
	return guard.Holder{Issuer: id.Issuer, Subject: id.Subject, Session: id.Session, Credential: id.Credential, IssuedAt: id.IssuedAt}
}
