package sallyport_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
)

// FuzzEndpoint_SR20_AT06: whatever is posted, a ticket goes only to a page of the gate or
// to a program, for one JSON object that names the gate; another site can read
// no answer; and every refusal is one of the table.
func FuzzEndpoint_SR20_AT06(f *testing.F) {
	const asText = "application/json"
	for _, body := range []string{
		`{"gate":"/ws"}`, `{"gate":"/ws"}{}`, `{"gate":"/ws","x":1}`, `{"gate":"/ws","purpose":"admission"}`, `[]`, `null`, `{"GATE":"/ws"}`,
		`{"gate":"/ws","gate":"/nope"}`, `{"gate":1e999}`, strings.Repeat("[", 4000), `{"gate":"\ud800"}`, "\xff", "",
	} {
		f.Add(body, asText, own)
	}
	f.Add(`{"gate":"/ws"}`, "text/plain", own)
	f.Add(`{"gate":"/ws"}`, "application/json; charset=utf-8; a=\"", "https://evil.example")
	f.Add(`{"gate":"/ws"}`, asText, "")
	tickets, err := ticket.New(ticket.Config{})
	if err != nil {
		f.Fatal(err)
	}
	door, err := sallyport.New(config(func(c *sallyport.Config) {
		c.Auth, c.Tickets = auth.First(tickets, named{}), tickets
	}))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body, kind, from string) {
		r := httptest.NewRequest(http.MethodPost, "/sallyport/ticket", strings.NewReader(body))
		r.Host = "app.example.com"
		r.Header = http.Header{"Content-Type": {kind}, "Authorization": {"Bearer ada;1m"}}
		if from != "" {
			r.Header["Origin"] = []string{from}
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		h := w.Header()
		if allowed := h.Values("Access-Control-Allow-Origin"); len(allowed) > 1 || len(allowed) == 1 && (allowed[0] != from || from != own) {
			t.Fatalf("origin %q may read: %q", from, allowed)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Fatalf("headers %v", h)
		}
		var out struct{ Error, Ticket string }
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("answered %q: %v", w.Body, err)
		}
		if w.Code != http.StatusOK {
			if reason, ok := deny.Parse("x;" + out.Error); out.Ticket != "" || w.Code < 400 || w.Code == 500 || ok && reason.Status() != w.Code {
				t.Fatalf("got %d %q", w.Code, w.Body)
			}
			return
		}
		var in struct{ Gate string }
		if err := json.Unmarshal([]byte(body), &in); err != nil || in.Gate != "/ws" || len(body) > 4<<10 || from != "" && from != own {
			t.Fatalf("a ticket for %q of type %q from %q: %v", body, kind, from, err)
		}
		place := from
		if from == "" {
			place = "none"
		}
		id, err := tickets.Redeem(t.Context(), strings.TrimPrefix(out.Ticket, auth.TicketPrefix), "/ws", place)
		if admission := deny.Of(err) == deny.AuthInvalid; !admission && (err != nil || id.Subject != "ada") {
			t.Fatalf("the ticket is for %+v: %v", id, err)
		}
	})
}

// FuzzPath_SR87_AT89: a path that reaches the application cannot, decoded, cleaned, cut
// or lower-cased in whatever order, be a gate's or an endpoint's. Nothing
// reaches a gate's route but through its path, byte by byte.
func FuzzPath_SR87_AT89(f *testing.F) {
	for _, s := range []string{
		"/", "/ws", "/WS", "/%77s", "/ws/", "//ws", "/./ws", "/x/../ws", "/ws;a=b", "/w;a=b/../ws", "/%2577s", "/%2e%2e/ws", `/\ws`, "/ws%00", "/private/x",
		"/private%2fx", "/PRIVATE/x", "/x;/private/y", "/sallyport", "/sallyport/../x", "/%", "/a%2", "/x/%2e%2e;/private/",
	} {
		f.Add(s)
	}
	reached := ""
	app := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.RequestURI })
	door, err := sallyport.New(config(func(c *sallyport.Config) {
		c.Gates = append(c.Gates, sallyport.Gate{Path: "/private/", Route: echo})
		c.App = app
	}))
	if err != nil {
		f.Fatal(err)
	}
	taken := func(p string) bool {
		return p == "/ws" || strings.HasPrefix(p, "/private/") || p == "/sallyport" || strings.HasPrefix(p, "/sallyport/")
	}
	// What servers behind do to a path.
	habits := []func(string) string{
		func(s string) string { u, _ := url.PathUnescape(s); return u },
		strings.ToLower,
		path.Clean,
		func(s string) string { s, _, _ = strings.Cut(s, ";"); return s },
		func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
		func(s string) string { return strings.ReplaceAll(s, "//", "/") },
	}
	var lands func(s string, depth int) bool
	lands = func(s string, depth int) bool {
		if taken(s) {
			return true
		}
		for _, h := range habits {
			if next := h(s); depth > 0 && next != s && next != "" && lands(next, depth-1) {
				return true
			}
		}
		return false
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.ContainsAny(target, "?#") {
			return
		}
		r := &http.Request{Method: http.MethodGet, URL: u, RequestURI: target, Host: "app.example.com", Header: http.Header{}, RemoteAddr: "192.0.2.1:1", Body: http.NoBody}
		reached = ""
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if reached != "" && lands(target, 3) {
			t.Fatalf("%q reaches the application", target)
		}
		if reached == "" && w.Code < 400 {
			t.Fatalf("%q: %d", target, w.Code)
		}
	})
}
