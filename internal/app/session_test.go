package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/app"
)

// page is a browser's page of the door's own origin.
type page struct {
	w       *world
	origin  string
	cookies []*http.Cookie
}

func (p *page) ask(method, path string, in any, header ...string) (int, map[string]any) {
	p.w.t.Helper()
	var body io.Reader
	if in != nil {
		data, _ := json.Marshal(in)
		body = bytes.NewReader(data)
	}
	r, _ := http.NewRequest(method, p.origin+path, body)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method != http.MethodGet {
		r.Header.Set("Origin", p.origin)
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	resp, err := p.w.https().Do(r)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if set := resp.Cookies(); len(set) > 0 {
		p.cookies = set
	}
	var out map[string]any
	json.NewDecoder(resp.Body).Decode(&out)
	return resp.StatusCode, out
}

// TestSessions is the way of a page with the door's own sessions: log in, get a
// token, make a ticket of it, connect, log out.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	gate := fmt.Sprintf("  - path: /chat\n    to: %s\n    origins: [%q]\n    without: bearer\n    auth: {session: {}, jwt: {issuer: %q, audience: chat, jwks: \"file:%s\"}}\n",
		w.backend.ws(), trusted, issuer, w.idp.file)
	w.configure(w.text(gate) + "api: {prefix: /api, get_token: true}\n")
	o := w.options()
	o.App = func(s *app.Server) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, old, err := s.Sessions().Login(r.Context(), rw, r, r.URL.Query().Get("as"), nil)
			if err != nil {
				http.Error(rw, "no", http.StatusBadRequest)
				return
			}
			if old.Session != "" {
				s.Door().Revoke(r.Context(), guard.Match{Session: old.Session})
			}
		})
	}
	s, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	w.running(s)
	p := &page{w: w, origin: s.Name()}
	if status, _ := p.ask(http.MethodPost, "/login?as=alice", nil); status != http.StatusOK || len(p.cookies) != 1 {
		t.Fatalf("login: %d, %v", status, p.cookies)
	}
	if _, who := p.ask(http.MethodGet, "/api/session", nil); who["subject"] != "alice" {
		t.Errorf("session: %v", who)
	}
	_, token := p.ask(http.MethodGet, "/api/getToken?gate=/chat", nil)
	bearer, _ := token["token"].(string)
	if header, claims, err := jwt.InspectUnverified(bearer); err != nil || header["typ"] != jwt.TypeAccess || claims["aud"] != s.Name()+"/chat" {
		t.Fatalf("token %v: %v %v, %v", token, header, claims, err)
	}
	without := &page{w: w, origin: p.origin}
	status, ticket := without.ask(http.MethodPost, "/api/ticket", map[string]string{"gate": "/chat"}, "Authorization", "Bearer "+bearer)
	if status != http.StatusOK {
		t.Fatalf("ticket: %d %v", status, ticket)
	}
	if got := w.refused(client{protocols: []string{ticket["ticket"].(string), "sallyport"}}); got != deny.OriginUntrusted {
		t.Errorf("a ticket of the door's own page, from another: got %v", got)
	}
	_, ticket = p.ask(http.MethodPost, "/api/ticket", map[string]string{"gate": "/chat"}) // with the cookie
	if got := w.refused(client{origin: "https://evil.example", protocols: []string{ticket["ticket"].(string), "sallyport"}}); got != deny.OriginUntrusted {
		t.Errorf("another origin: got %v", got)
	}
	program := w.admit(client{origin: "-", bearer: bearer})                                // the door's own token, of the session
	foreign := w.admit(client{origin: "-", bearer: w.idp.token(t, "bob", nil)})            // and one of the provider
	if got := w.refused(client{bearer: bearer[:len(bearer)-4]}); got != deny.AuthInvalid { // neither
		t.Errorf("got %v", got)
	}
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	alive(t, program, foreign)
	if status, out := p.ask(http.MethodPost, "/api/logout", map[string]string{}); status != http.StatusOK || out["ended"] != 1.0 {
		t.Errorf("logout: %d %v", status, out)
	}
	if got := ending(t, program); got != deny.AuthSignedOut {
		t.Errorf("got %v", got)
	}
	alive(t, foreign)
	for _, document := range []string{"/.well-known/jwks.json", "/.well-known/sallyport-identity.jwks"} {
		if status, set := p.ask(http.MethodGet, document, nil); status != http.StatusOK || len(set["keys"].([]any)) != 1 {
			t.Errorf("%s: %d %v", document, status, set)
		}
	}
}

// TestNothingIsLeft: a server that stopped has ended every goroutine, also with
// connections open, and after a start that failed.
func TestNothingIsLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	func() {
		w := newWorld(t)
		w.gates(w.jwtGate("/chat", "") + w.forwardGate("/ask")).start()
		a := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
		b := w.admit(client{path: "/ask", cookie: "who=bob"})
		if err := w.server.Stop(); err != nil {
			t.Error(err)
		}
		for _, c := range []interface{ Close() error }{a, b} {
			c.Close()
		}
		w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "health: 127.0.0.1:0", "health: 192.0.2.1:1", 1))
		if _, err := app.Start(t.Context(), w.options()); err == nil {
			t.Error("an address of another machine was bound")
		}
		w.backend.CloseClientConnections()
		w.backend.Server.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}()
	goleak.VerifyNone(t, before)
}
