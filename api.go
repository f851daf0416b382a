package sallyport

import (
	"bytes"
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
	"github.com/sallyport/sallyport/deny"
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
	if s := a.policy.config.Sealing; s != nil {
		get(sealDocument, func(w http.ResponseWriter, r *http.Request) error {
			document := s.document(r.Host)
			if len(document) == 0 {
				return deny.Because(deny.HTTPNotFound, errors.New("no key document for this host"))
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Cache-Control", "public, max-age=300")
			w.Header().Set("Access-Control-Allow-Origin", "*") // public, and signed
			w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
			_, err := w.Write(document)
			return err
		})
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
	return ok || a.policy.config.Sealing != nil && rawPath == sealDocument || a.Signer != nil && rawPath == "/.well-known/jwks.json"
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
