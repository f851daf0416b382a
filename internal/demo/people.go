package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/headers"
)

// maxLogin is the largest body of a request to sign in, in bytes.
const maxLogin = 256

// people signs two made-up persons in, without a password.
type people struct {
	origin   string
	sessions *session.Sessions
	signer   *jwt.Signer
	doors    *doors
}

// newPeople refuses an origin that others than this machine could reach: a
// login without a password is for a demo only.
func newPeople(origin string, sessions *session.Sessions, signer *jwt.Signer, doors *doors) (*people, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" || u.Hostname() != "localhost" {
		return nil, fmt.Errorf("the demo's login needs no password and is for https://localhost only, not %s", origin)
	}
	return &people{origin, sessions, signer, doors}, nil
}

// known are those who can sign in.
var known = map[string]bool{"ada": true, "bob": true}

// login is POST /api/login {who}. A session that the browser already has ends,
// with its connections.
func (p *people) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Who string `json:"who"`
	}
	if err := p.accept(r, &in); err != nil {
		refuse(w, err)
		return
	}
	if !known[in.Who] {
		refuse(w, deny.Because(deny.AuthInvalid, errors.New("nobody of that name")))
		return
	}
	id, old, err := p.sessions.Login(r.Context(), w, r, in.Who, nil)
	if old.Session != "" {
		if revokeErr := p.doors.signOut(r.Context(), old.Session); err == nil {
			err = revokeErr
		}
	}
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, map[string]any{"subject": id.Subject, "expires_in": int(time.Until(id.Expires) / time.Second)})
}

// expired is POST /api/expired-token {}: a token for the caller, signed with
// the real key, that ended a minute ago.
func (p *people) expired(w http.ResponseWriter, r *http.Request) {
	if err := p.accept(r, &struct{}{}); err != nil {
		refuse(w, err)
		return
	}
	id, err := p.whoIs(r)
	if err != nil {
		refuse(w, err)
		return
	}
	token, err := p.token(id, -time.Minute)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, map[string]any{"token": token, "expires_in": -60})
}

// whoIs is who is signed in.
func (p *people) whoIs(r *http.Request) (auth.Identity, error) {
	id, err := p.sessions.Authenticate(r.Context(), r)
	if errors.Is(err, auth.ErrNoCredentials) {
		err = deny.Because(deny.AuthMissing, err)
	}
	return id, err
}

// token is one for the chat that ends left from now, signed with the real key.
func (p *people) token(id auth.Identity, left time.Duration) (string, error) {
	end := time.Now().Add(left)
	return p.signer.Sign(jwt.TypeAccess, map[string]any{
		"iss": p.origin, "aud": p.origin + chatGate, "sub": id.Subject, "sid": id.Session,
		"iat": end.Add(-tokenLife).Unix(), "exp": end.Unix(),
	})
}

// accept reads the body of a POST that comes from the demo's own page on this
// machine. The host and Sec-Fetch-Site were checked by Door.Secure.
func (p *people) accept(r *http.Request, in any) error {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return deny.Because(deny.HTTPNotFound, errors.New("the demo answers this machine only"))
	}
	if r.Method != http.MethodPost {
		return deny.Because(deny.HTTPMethod, nil)
	}
	if from := r.Header.Values("Origin"); len(from) != 1 || from[0] != p.origin {
		return deny.Because(deny.HTTPCrossSite, errors.New("not the demo's own page"))
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return deny.Because(deny.HTTPMediaType, nil)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxLogin+1))
	if err != nil {
		return deny.Because(deny.HTTPMalformed, err)
	}
	if len(body) > maxLogin {
		return deny.Because(deny.HTTPTooLarge, nil)
	}
	if err := json.Unmarshal(body, in); err != nil {
		return deny.Because(deny.HTTPMalformed, err)
	}
	return nil
}

func reply(w http.ResponseWriter, v any) {
	headers.NoStore(w.Header())
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // a client that went away is nobody to tell
}

// refuse answers in the form of the door's own endpoints.
func refuse(w http.ResponseWriter, err error) {
	reason := deny.Of(err)
	headers.NoStore(w.Header())
	w.Header().Set("Content-Type", "application/json")
	if reason == deny.HTTPMethod {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(reason.Status())
	json.NewEncoder(w).Encode(map[string]string{"error": reason.Code(), "message": reason.Sentence()})
}
