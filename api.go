package sallyport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/headers"
	"github.com/sallyport/sallyport/internal/strictjson"
	"github.com/sallyport/sallyport/origin"
)

// API is the door's own endpoints, under one prefix:
//
//	POST ticket {gate}      a credential in, a one-time ticket out
//	POST token {gate}       a session in, a short-lived JWT out
//	GET  getToken?gate=…    the same, if GetToken is set
//	POST renew {gate}       moves the end of the caller's connections
//	POST logout             ends the session and its connections
//	GET  session            who am I, and for how long
//
// and the key sets under /.well-known/. Every POST wants a JSON object and an
// Origin that is the door's own or listed; only a bearer request without Cookie
// may lack it.
type API struct {
	// Prefix of the endpoints. Default "/sallyport".
	Prefix string

	// Origin is the door's own, "https://app.example.com": issuer of its tokens
	// and first part of their audience.
	Origin string

	// Origins of other pages that may call the endpoints. A gate's origins may
	// call ticket, for that gate, in any case.
	Origins []string

	// GetToken offers GET getToken, which demands Sec-Fetch-Site: same-origin.
	GetToken bool

	// Sessions, if the door keeps any itself.
	Sessions *session.Sessions

	// Signer signs the tokens; nil: no token endpoint. Its public keys are at
	// /.well-known/jwks.json.
	Signer *jwt.Signer

	// TokenLife is the longest life of a token. Default 5m.
	TokenLife time.Duration

	// Documents are further JSON documents by their path, such as
	// "/.well-known/sallyport-identity.jwks".
	Documents map[string][]byte
}

// maxAPIBody is the largest body of a request to an endpoint, in bytes.
const maxAPIBody = 4 << 10

// Bounds of a token's life.
const (
	defaultTokenLife = 5 * time.Minute
	maxTokenLife     = time.Hour
)

type api struct {
	API
	door   *Door
	policy *policy
	mux    *http.ServeMux
	csrf   *http.CrossOriginProtection
	own    []string // origins that may call everything
}

func newAPI(d *Door, p *policy, c API) (*api, error) {
	a := &api{API: c, door: d, policy: p, mux: http.NewServeMux(), csrf: http.NewCrossOriginProtection()}
	var errs []error
	if a.Prefix == "" {
		a.Prefix = "/sallyport"
	}
	if err := checkPath(a.Prefix); err != nil || a.Prefix == "/" || strings.HasSuffix(a.Prefix, "/") {
		errs = append(errs, fmt.Errorf("api: prefix %q must be a path without a slash at its end", a.Prefix))
	}
	if a.TokenLife == 0 {
		a.TokenLife = defaultTokenLife
	}
	if a.TokenLife < time.Second || a.TokenLife > maxTokenLife {
		errs = append(errs, fmt.Errorf("api: TokenLife (%s) must be 1s to %s", a.TokenLife, maxTokenLife))
	}
	if a.Signer != nil && a.Origin == "" {
		errs = append(errs, errors.New("api: tokens need the door's own Origin"))
	}
	for _, o := range append(slices.Clone(c.Origins), c.Origin) {
		if o == "" {
			continue
		}
		if _, ok := origin.Parse(o); !ok {
			errs = append(errs, fmt.Errorf("api: %q is no origin", o))
			continue
		}
		a.own = append(a.own, o)
	}
	for _, o := range a.own {
		errs = append(errs, a.csrf.AddTrustedOrigin(o))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	a.routes()
	return a, nil
}

func (a *api) routes() {
	post := func(name string, f func(http.ResponseWriter, *http.Request) error) {
		a.mux.HandleFunc("POST "+a.Prefix+"/"+name, a.answer(f))
	}
	get := func(path string, f func(http.ResponseWriter, *http.Request) error) {
		a.mux.HandleFunc("GET "+path, a.answer(f))
	}
	post("ticket", a.ticket)
	a.mux.HandleFunc("OPTIONS "+a.Prefix+"/ticket", a.answer(a.preflight))
	post("renew", a.renew)
	post("logout", a.logout)
	get(a.Prefix+"/session", a.session)
	documents := map[string][]byte{}
	for path, doc := range a.Documents {
		documents[path] = doc
	}
	if a.Signer != nil {
		post("token", a.token)
		documents["/.well-known/jwks.json"] = a.Signer.JWKS()
		if a.GetToken {
			get(a.Prefix+"/getToken", a.getToken)
		}
	}
	for path, doc := range documents {
		get(path, func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "public, max-age=300")
			_, err := w.Write(doc)
			return err
		})
	}
}

// owns reports whether a raw path is an endpoint, or a place for one.
func (a *api) owns(rawPath string) bool {
	if a == nil {
		return false
	}
	if rawPath == a.Prefix || strings.HasPrefix(rawPath, a.Prefix+"/") {
		return true
	}
	_, ok := a.Documents[rawPath]
	return ok || a.Signer != nil && rawPath == "/.well-known/jwks.json"
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	headers.NoStore(w.Header())
	if err := a.policy.origin.CheckHost(r); err != nil {
		a.refuse(w, r, "", err)
		return
	}
	if _, pattern := a.mux.Handler(r); pattern == "" {
		reason := deny.HTTPNotFound
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := a.mux.Handler(other); pattern != "" {
				reason = deny.HTTPMethod
				w.Header().Set("Allow", method)
			}
		}
		a.refuse(w, r, "", deny.Because(reason, nil))
		return
	}
	a.mux.ServeHTTP(w, r)
}

func (a *api) answer(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			a.refuse(w, r, "", err)
		}
	}
}

func (a *api) refuse(w http.ResponseWriter, r *http.Request, gate string, err error) {
	reason := deny.Of(err)
	a.door.observe(Event{
		Kind: Refused, Gate: gate, Path: rawPath(r), Origin: clip(r.Header.Get("Origin")), Address: a.policy.address(r),
		Reason: reason, Cause: err, Status: reason.Status(),
	})
	writeDenial(w, err)
}

// clip cuts what a client sent to a length that a log can bear, without keeping
// the rest in memory.
func clip(s string) string { return strings.Clone(s[:min(len(s), 256)]) }

// crossSite refuses what a page of another site made a browser send.
func (a *api) crossSite(r *http.Request) error {
	if err := a.csrf.Check(r); err != nil {
		return deny.Because(deny.HTTPCrossSite, err)
	}
	return nil
}

// caller checks that a POST comes from a page that may make it, or from a
// program, and returns its origin. also are origins that may make it too.
func (a *api) caller(r *http.Request, also func(string) bool) (string, error) {
	lines := r.Header.Values("Origin")
	switch {
	case len(lines) > 1:
		return "", deny.Because(deny.HTTPMalformed, errors.New("more than one Origin"))
	case len(lines) == 0:
		if _, bearer := auth.BearerFrom(r); bearer && len(r.Header.Values("Cookie")) == 0 {
			return origin.None, nil
		}
		return "", deny.Because(deny.HTTPCrossSite, errors.New("no Origin"))
	case slices.Contains(a.own, lines[0]):
		return lines[0], a.crossSite(r)
	case also != nil && also(lines[0]):
		return lines[0], nil // listed for this: judged by its exact origin, as on the handshake
	}
	return "", deny.Because(deny.HTTPCrossSite, fmt.Errorf("origin %q", clip(lines[0])))
}

// body decodes a JSON object into v, strictly.
func body(r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return deny.Because(deny.HTTPMediaType, nil)
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxAPIBody+1))
	if err != nil {
		return deny.Because(deny.HTTPMalformed, err)
	}
	if len(data) > maxAPIBody {
		return deny.Because(deny.HTTPTooLarge, nil)
	}
	if err := strictjson.Check(data); err != nil {
		return deny.Because(deny.HTTPMalformed, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return deny.Because(deny.HTTPMalformed, err)
	}
	return nil
}

func reply(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

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
	at := auth.Attempt{Gate: g.Path, Origin: from, Address: a.policy.address(r).String()}
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
	var in gateRequest
	if err := body(r, &in); err != nil {
		return err
	}
	if _, err := a.caller(r, nil); err != nil {
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
	var in gateRequest
	if err := body(r, &in); err != nil {
		return err
	}
	from, err := a.caller(r, nil)
	if err != nil {
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
	if id.Subject == "" { // nobody's credential would fit everybody's connections
		return deny.Because(deny.RenewMismatch, errors.New("a credential without a subject has nothing to renew"))
	}
	renewed, end := 0, time.Time{}
	for _, c := range a.door.all() {
		if c.Reason() != 0 || c.gate != g.Path || in.Connection != "" && c.id != in.Connection {
			continue
		}
		if old := c.Identity(); old.Issuer != id.Issuer || old.Subject != id.Subject {
			continue // knowing an id gives no right to end another's connection
		}
		if err := a.door.Renew(c, id); err == nil {
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
	if err := body(r, &struct{}{}); err != nil {
		return err
	}
	if _, err := a.caller(r, nil); err != nil {
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
