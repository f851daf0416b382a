package sallyport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
)

// gateRequest is the body of most endpoints.
type gateRequest struct {
	Gate       string `json:"gate"`
	Purpose    string `json:"purpose,omitempty"`
	Connection string `json:"connection,omitempty"`
}

// whoAt authenticates r for a gate. A ticket is no credential here.
func (a *api) whoAt(r *http.Request, g *gate, from string) (auth.Identity, error) {
	ctx, cancel := context.WithTimeout(r.Context(), openWait)
	defer cancel()
	at := auth.Attempt{Gate: g.Path, Origin: from, Address: addressText(a.policy.address(r))}
	return a.door.identify(ctx, auth.Without(g.Auth, auth.Ticket), r, at)
}

func (a *api) gate(path string) (*gate, error) {
	if g := a.policy.find(path); g != nil {
		return g, nil
	}
	return nil, deny.Because(deny.HTTPNotFound, errors.New("no such gate"))
}

// preflight answers a browser's question whether a page of a gate's origin may
// ask for tickets (the Fetch standard, section 3.3). The gate is judged later.
func (a *api) preflight(w http.ResponseWriter, r *http.Request) error {
	from := r.Header.Get("Origin")
	for g := range a.policy.every() {
		if g.origin.Trusts(from) {
			allow(w, from)
			w.Header().Set("Access-Control-Allow-Methods", "POST")
			w.Header().Set("Access-Control-Allow-Headers", "authorization, content-type")
			w.Header().Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
	}
	return deny.Because(deny.HTTPCrossSite, fmt.Errorf("origin %q", clip(from)))
}

// allow lets the page of an origin read the answer.
func allow(w http.ResponseWriter, from string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", from)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Add("Vary", "Origin")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (a *api) ticket(w http.ResponseWriter, r *http.Request) error {
	from := r.Header.Get("Origin")
	var trusted bool
	for g := range a.policy.every() {
		trusted = trusted || g.origin.Trusts(from)
	}
	if trusted {
		allow(w, from)
	}
	var in gateRequest
	if err := body(r, &in); err != nil {
		return err
	}
	g, err := a.gate(in.Gate)
	if err != nil {
		return err
	}
	from, err = a.caller(r, g.origin.Trusts)
	if err != nil {
		return err
	}
	if in.Purpose != "" { // ticket.Admission starts a seal handshake, which no gate offers yet
		return deny.Because(deny.HTTPMalformed, errors.New("no gate takes tickets of this purpose"))
	}
	grant := ticket.Grant{Gate: g.Path, Origin: from}
	if grant.Identity, err = a.whoAt(r, g, from); err != nil {
		return err
	}
	neighbours := guard.AddressKey(a.policy.address(r)).String() // who has no session counts by these
	ctx := auth.WithAttempt(r.Context(), auth.Attempt{Gate: g.Path, Origin: from, Address: neighbours})
	t, life, err := a.door.tickets.Issue(ctx, grant)
	if err != nil {
		return err
	}
	a.issued(r, g, grant.Identity)
	return reply(w, map[string]any{"ticket": auth.TicketPrefix + t, "protocol": neutral, "expires_in": seconds(life)})
}

func (a *api) issued(r *http.Request, g *gate, id auth.Identity) {
	a.door.observe(Event{
		Kind: Issued, Gate: g.Path, Path: rawPath(r), Origin: clip(r.Header.Get("Origin")),
		Address: a.policy.address(r), Identity: id, Status: http.StatusOK,
	})
}

// seconds rounds down: a client must not think that it has more.
func seconds(d time.Duration) int { return int(d / time.Second) }

func (a *api) token(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.caller(r, nil); err != nil {
		return err
	}
	var in gateRequest
	if err := body(r, &in); err != nil {
		return err
	}
	return a.giveToken(w, r, in.Gate)
}

// getToken is a GET, which a page elsewhere could cause: the browser itself must
// say that the page is ours.
func (a *api) getToken(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") != "same-origin" {
		return deny.Because(deny.HTTPCrossSite, errors.New("not a request of the door's own page"))
	}
	return a.giveToken(w, r, r.URL.Query().Get("gate"))
}

func (a *api) giveToken(w http.ResponseWriter, r *http.Request, path string) error {
	g, err := a.gate(path)
	if err != nil {
		return err
	}
	if a.Sessions == nil {
		return deny.Because(deny.AuthMissing, errors.New("the door keeps no sessions"))
	}
	id, err := a.Sessions.Authenticate(r.Context(), r)
	if err == nil {
		err = a.door.acceptable(id)
	}
	if errors.Is(err, auth.ErrNoCredentials) {
		err = deny.Because(deny.AuthMissing, err)
	}
	if err != nil {
		return err
	}
	now := time.Now()
	life := min(a.TokenLife, id.Expires.Sub(now)).Truncate(time.Second)
	token, err := a.Signer.Sign("at+jwt", map[string]any{
		"iss": a.Origin, "aud": a.Origin + g.Path, "sub": id.Subject, "sid": id.Session,
		"jti": newID(), "iat": now.Unix(), "exp": now.Add(life).Unix(), "scope": strings.Join(id.Scopes, " "),
	})
	if err != nil {
		return err
	}
	a.issued(r, g, id)
	return reply(w, map[string]any{"token": token, "expires_in": seconds(life)})
}

func (a *api) renew(w http.ResponseWriter, r *http.Request) error {
	from, err := a.caller(r, nil)
	if err != nil {
		return err
	}
	var in gateRequest
	if err := body(r, &in); err != nil {
		return err
	}
	g, err := a.gate(in.Gate)
	if err != nil {
		return err
	}
	id, err := a.whoAt(r, g, from)
	if err != nil {
		return err
	}
	if err := somebody(id); err != nil {
		return err
	}
	renewed, end := 0, time.Time{}
	for _, c := range a.door.all() {
		if c.Reason() != 0 || c.gate != g.Path || in.Connection != "" && c.id != in.Connection {
			continue
		}
		if c.Sealed() {
			continue // is renewed inside: nothing that is said outside the seal counts
		}
		if old := c.Identity(); old.Issuer != id.Issuer || old.Subject != id.Subject {
			continue // knowing an id gives no right to end another's connection
		}
		if a.door.Renew(c, id) == nil && a.door.rejudge(c, a.policy) == nil {
			renewed++
			end = c.Expires()
		}
	}
	if renewed == 0 {
		return deny.Because(deny.RenewMismatch, errors.New("no connection that this credential fits"))
	}
	return reply(w, map[string]any{"renewed": renewed, "expires_in": seconds(time.Until(end))})
}

func (a *api) logout(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.caller(r, nil); err != nil {
		return err
	}
	if err := body(r, &struct{}{}); err != nil {
		return err
	}
	if a.Sessions == nil {
		return deny.Because(deny.HTTPNotFound, errors.New("the door keeps no sessions"))
	}
	id, err := a.Sessions.Logout(r.Context(), w, r)
	if errors.Is(err, auth.ErrNoCredentials) {
		err = deny.Because(deny.AuthMissing, err)
	}
	if err != nil {
		return err
	}
	n, err := a.door.SignOut(r.Context(), id.Session)
	if err != nil {
		return err
	}
	return reply(w, map[string]any{"ended": n})
}

func (a *api) session(w http.ResponseWriter, r *http.Request) error {
	if a.Sessions == nil {
		return deny.Because(deny.HTTPNotFound, errors.New("the door keeps no sessions"))
	}
	id, err := a.Sessions.Authenticate(r.Context(), r)
	if errors.Is(err, auth.ErrNoCredentials) {
		return reply(w, map[string]any{"signed_in": false})
	}
	if err == nil {
		err = a.door.acceptable(id)
	}
	if err != nil {
		return err
	}
	return reply(w, map[string]any{
		"signed_in": true, "subject": id.Subject, "issuer": id.Issuer, "scopes": id.Scopes, "expires_in": seconds(time.Until(id.Expires)),
	})
}
