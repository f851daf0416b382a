package sallyport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/sallyporttest"
)

// site is a door with everything that its endpoints need.
type site struct {
	t        *testing.T
	door     *sallyport.Door
	server   *sallyporttest.Server
	sessions *session.Sessions
	signer   *jwt.Signer
	cookie   string
}

const own = "https://app.example.com"

func newSite(t *testing.T, change func(*sallyport.Config)) *site {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	signer, err := jwt.NewSigner()
	must(err)
	sessions, err := session.New(session.Config{Store: session.NewMemory(100), Issuer: own})
	must(err)
	tokens, err := jwt.New(jwt.Config{Issuer: own, Audience: own + "/ws", Keys: jwt.PublicSet(signer)})
	must(err)
	tickets, err := ticket.New(ticket.Config{})
	must(err)
	c := config(func(c *sallyport.Config) {
		c.Auth = auth.First(tickets, tokens, sessions)
		c.Tickets = tickets
		c.API = sallyport.API{Origin: own, Sessions: sessions, Signer: signer, GetToken: true}
	})
	c.Gates = append(c.Gates, sallyport.Gate{Path: "/partner", Route: echo, Origin: &origin.Config{
		Trusted: []string{"https://partner.example"}, Hosts: []string{"app.example.com"},
	}})
	if change != nil {
		change(&c)
	}
	door, err := sallyport.New(c)
	must(err)
	s := &site{t: t, door: door, server: sallyporttest.Serve(t, door), sessions: sessions, signer: signer}
	s.cookie = s.login("ada")
	return s
}

func (s *site) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.door.Drain(ctx)
	s.server.Close()
}

func (s *site) login(who string) (cookie string) {
	w := httptest.NewRecorder()
	if _, _, err := s.sessions.Login(s.t.Context(), w, httptest.NewRequest("POST", "/", nil), who, []string{"chat"}); err != nil {
		s.t.Fatal(err)
	}
	return strings.Split(w.Header().Get("Set-Cookie"), ";")[0]
}

// call makes a request to an endpoint; headers are "Name: value".
func (s *site) call(method, path, body string, headers ...string) (int, map[string]any, http.Header) {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "app.example.com"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	out := map[string]any{}
	data, _ := io.ReadAll(w.Body)
	json.Unmarshal(data, &out)
	return w.Code, out, w.Header()
}

const asJSON = "Content-Type: application/json"

// page makes the headers of a page's request.
func (s *site) page() []string { return []string{asJSON, "Origin: " + own, "Cookie: " + s.cookie} }

func (s *site) ticket(headers ...string) string {
	s.t.Helper()
	status, out, _ := s.call("POST", "/sallyport/ticket", `{"gate":"/ws"}`, headers...)
	if status != 200 {
		s.t.Fatalf("ticket: got %d %v", status, out)
	}
	return out["ticket"].(string)
}

func (s *site) connect(ticket string) *sallyporttest.Client {
	s.t.Helper()
	return s.server.Connect(s.t, sallyporttest.Options{Path: "/ws", Protocols: []string{ticket, "sallyport"}})
}

func TestThePagesWay_SR39(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()

		status, out, h := s.call("GET", "/sallyport/getToken?gate=/ws", "", "Sec-Fetch-Site: same-origin", "Cookie: "+s.cookie)
		if status != 200 || h.Get("Cache-Control") != "no-store" {
			t.Fatalf("SR-28 getToken: got %d %v, Cache-Control %q", status, out, h.Get("Cache-Control"))
		}
		bearer := "Authorization: Bearer " + out["token"].(string)
		ticket := s.ticket(asJSON, "Origin: "+own, bearer)
		c := s.connect(ticket)
		if c.Protocol != "sallyport" {
			t.Errorf("selected %q: the ticket must not be echoed", c.Protocol)
		}
		for conn := range s.door.Conns() {
			if id := conn.Identity(); id.Subject != "ada" || id.Method != "jwt" || id.Session == "" {
				t.Errorf("identity %+v", id)
			}
		}
		c.Text("hello")
		c.WantText("hello")

		again := s.connect(ticket)
		wantReason(t, again, deny.AuthTicketUsed) // SR-40

		status, out, h = s.call("POST", "/sallyport/logout", `{}`, s.page()...)
		if status != 200 || out["ended"] != float64(1) || !strings.Contains(h.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("logout: got %d %v %q", status, out, h.Get("Set-Cookie"))
		}
		wantReason(t, c, deny.AuthSignedOut) // SR-43: also the socket that a token opened
		status, _, _ = s.call("POST", "/sallyport/ticket", `{"gate":"/ws"}`, asJSON, "Origin: "+own, bearer)
		if status != 401 {
			t.Errorf("a token of the ended session: got %d, want 401", status)
		}
	})
}

func TestTicketOfAnEndedSessionIsWorthless_SR43_AT76(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		ticket := s.ticket(s.page()...)
		s.call("POST", "/sallyport/logout", `{}`, s.page()...)
		wantReason(t, s.connect(ticket), deny.AuthRevoked)
	})
}

func TestWhoMayCallTheEndpoints_SR20_SR29_AT06_AT07(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		cookie := "Cookie: " + s.cookie
		token, _ := s.signer.Sign("at+jwt", map[string]any{"iss": own, "aud": own + "/ws", "sub": "ada", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix()})
		bearer := "Authorization: Bearer " + token
		tests := []struct {
			name, method, path, body string
			headers                  []string
			want                     int
			code                     string
		}{
			{"our own page", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, "Origin: " + own, cookie}, 200, ""},
			{"SR-20 AT-06 a form of another site", "POST", "ticket", `gate=/ws`, []string{"Content-Type: application/x-www-form-urlencoded", "Origin: https://evil.example", cookie}, 415, "http.media-type"},
			{"SR-20 AT-06 text/plain that is JSON", "POST", "ticket", `{"gate":"/ws"}`, []string{"Content-Type: text/plain", "Origin: " + own, cookie}, 415, "http.media-type"},
			{"AT-06 JSON of another site", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, "Origin: https://evil.example", cookie}, 403, "http.cross-site"},
			{"AT-06 our origin, but the browser says another site", "POST", "token", `{"gate":"/ws"}`, []string{asJSON, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site", cookie}, 403, "http.cross-site"},
			{"no origin, with a cookie", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, cookie}, 403, "http.cross-site"},
			{"a program", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, bearer}, 200, ""},
			{"a program with a cookie", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, bearer, cookie}, 403, "http.cross-site"},
			{"AT-06 GET", "GET", "ticket", "", []string{cookie}, 405, "http.method"},
			{"a partner's page for its gate", "POST", "ticket", `{"gate":"/partner"}`, []string{asJSON, "Origin: https://partner.example", cookie}, 200, ""},
			{"AT-07 a partner's page for another gate", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, "Origin: https://partner.example", cookie}, 403, "http.cross-site"},
			{"a partner's page for another endpoint", "POST", "token", `{"gate":"/ws"}`, []string{asJSON, "Origin: https://partner.example", cookie}, 403, "http.cross-site"},
			{"nobody", "POST", "ticket", `{"gate":"/ws"}`, []string{asJSON, "Origin: " + own}, 401, "auth.missing"},
			{"no such gate", "POST", "ticket", `{"gate":"/nope"}`, []string{asJSON, "Origin: " + own, cookie}, 404, "http.not-found"},
			{"two JSON values", "POST", "ticket", `{"gate":"/ws"}{}`, []string{asJSON, "Origin: " + own, cookie}, 400, "http.malformed"},
			{"an unknown member", "POST", "ticket", `{"gate":"/ws","x":1}`, []string{asJSON, "Origin: " + own, cookie}, 400, "http.malformed"},
			{"a large body", "POST", "ticket", `{"gate":"` + strings.Repeat("x", 5000) + `"}`, []string{asJSON, "Origin: " + own, cookie}, 413, "http.too-large"},
			{"SR-38 a token in the URL", "POST", "ticket?access_token=x", `{"gate":"/ws"}`, []string{asJSON, "Origin: " + own, cookie}, 400, "auth.in-url"},
			{"getToken of another site", "GET", "getToken?gate=/ws", "", []string{"Sec-Fetch-Site: cross-site", cookie}, 403, "http.cross-site"},
			{"getToken without the browser's word", "GET", "getToken?gate=/ws", "", []string{cookie}, 403, "http.cross-site"},
			{"a token for a token", "POST", "token", `{"gate":"/ws"}`, []string{asJSON, bearer}, 401, "auth.missing"},
			{"logout of nobody", "POST", "logout", `{}`, []string{asJSON, "Origin: " + own}, 401, "auth.missing"},
			{"AT-06 logout by another site", "POST", "logout", `{}`, []string{asJSON, "Origin: https://evil.example", cookie}, 403, "http.cross-site"},
			{"session", "GET", "session", "", []string{cookie}, 200, ""},
		}
		for _, tt := range tests {
			status, out, h := s.call(tt.method, "/sallyport/"+tt.path, tt.body, tt.headers...)
			code, _ := out["error"].(string)
			if status != tt.want || code != tt.code {
				t.Errorf("%s: got %d %q, want %d %q", tt.name, status, code, tt.want, tt.code)
			}
			if allowed := h.Get("Access-Control-Allow-Origin"); allowed != "" && (allowed == "*" || strings.Contains(allowed, "evil")) {
				t.Errorf("SR-29 AT-07 %s: Access-Control-Allow-Origin %q", tt.name, allowed)
			}
			if h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "DENY" {
				t.Errorf("SR-28 SR-27 %s: Cache-Control %q", tt.name, h.Get("Cache-Control"))
			}
		}
	})
}

func TestPreflight_SR29(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		for from, want := range map[string]int{"https://partner.example": 204, "https://evil.example": 403, "null": 403} {
			status, _, h := s.call("OPTIONS", "/sallyport/ticket", "", "Origin: "+from, "Access-Control-Request-Method: POST")
			if status != want || (status == 204) != (h.Get("Access-Control-Allow-Origin") == from) {
				t.Errorf("SR-29 %s: got %d %v, want %d", from, status, h, want)
			}
		}
	})
}

func TestRenewEndpoint_SR42(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		_, out, _ := s.call("POST", "/sallyport/token", `{"gate":"/ws"}`, s.page()...)
		c := s.connect(s.ticket(asJSON, "Origin: "+own, "Authorization: Bearer "+out["token"].(string)))
		for range 10 {
			time.Sleep(25 * time.Second)
			c.Text("x")
			c.WantText("x")
		}
		_, out, _ = s.call("POST", "/sallyport/token", `{"gate":"/ws"}`, s.page()...)
		status, out, _ := s.call("POST", "/sallyport/renew", `{"gate":"/ws"}`, asJSON, "Origin: "+own, "Authorization: Bearer "+out["token"].(string))
		if status != 200 || out["renewed"] != float64(1) {
			t.Fatalf("renew: got %d %v", status, out)
		}
		began := time.Now()
		go func() {
			for time.Since(began) < 310*time.Second {
				c.Socket().Write([]byte{0x81, 0x80, 0, 0, 0, 0})
				time.Sleep(30 * time.Second)
			}
		}()
		for {
			m, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if m.Code != 0 {
				if got := time.Since(began).Round(time.Second); string(m.Data) != deny.AuthExpired.CloseReason() || got != 5*time.Minute {
					t.Errorf("got %v after %s, want auth.expired after 5m", m, got)
				}
				break
			}
		}
		bob := "Cookie: " + s.login("bob")
		if status, out, _ := s.call("POST", "/sallyport/renew", `{"gate":"/ws"}`, asJSON, "Origin: "+own, bob); status != 409 {
			t.Errorf("renew of nothing: got %d %v, want 409", status, out)
		}
		time.Sleep(time.Minute)
	})
}

func TestKeySetsHoldPublicKeysOnly_SR31(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		defer s.close()
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/.well-known/jwks.json", nil)
		r.Host = "app.example.com"
		s.door.ServeHTTP(w, r)
		if w.Code != 200 || !bytes.Contains(w.Body.Bytes(), []byte(`"kty"`)) || bytes.Contains(w.Body.Bytes(), []byte(`"d"`)) {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
	})
}
