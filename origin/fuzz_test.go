package origin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/origin"
)

// FuzzCheckHost_SR13_AT05: a Host that passes is a listed name to a parser of another
// author too, with the port of TLS or the listed one.
func FuzzCheckHost_SR13_AT05(f *testing.F) {
	for _, s := range []string{
		"app.example.com", "APP.example.com:443", "app.example.com:8443", "app.example.com.", "x.example.com", "x.y.example.com", "[::1]:8443",
		"[::1]", "[0:0::1]", "app.example.com@evil.com", "evil.com#app.example.com", "app.example.com:", "app.example.com:0443", "127.0.0.1.nip.example", "",
	} {
		f.Add(s, "")
	}
	f.Add("app.example.com", "evil.com")
	p := policy(f, origin.Config{Dev: true, Hosts: []string{"app.example.com", "*.example.com:8443", "[::1]"}})
	f.Fuzz(func(t *testing.T, host, other string) {
		r := &http.Request{Host: host, Header: http.Header{}}
		err := p.CheckHost(r)
		if other != host {
			r.Header["Host"] = []string{other}
			if p.CheckHost(r) == nil {
				t.Fatalf("%q passes beside %q", other, host)
			}
		}
		if err != nil {
			return
		}
		u, err := url.Parse("https://" + host + "/")
		if err != nil || u.Host != host || u.Path != "/" || u.User != nil {
			t.Fatalf("%q passes, and is %#v elsewhere (%v)", host, u, err)
		}
		name, port := strings.ToLower(u.Hostname()), u.Port()
		label, below := strings.CutSuffix(name, ".example.com")
		switch tls := port == "" || port == "443"; {
		case tls && (name == "app.example.com" || name == "::1"):
		case port == "8443" && below && label != "" && !strings.Contains(label, "."):
		default:
			t.Fatalf("%q passes: name %q, port %q", host, name, port)
		}
	})
}

// FuzzCheckHandshake_SR14_SR17_AT01: what passes names a trusted origin, or names none and
// carries a credential that no page can attach, and no cookie.
func FuzzCheckHandshake_SR14_SR17_AT01(f *testing.F) {
	f.Add(app, "", "", "", "websocket", true)
	f.Add("", "", "Bearer x", "", "", false)
	f.Add("", "a=b", "Bearer x", "chat, sallyport.ticket.x", "", false)
	f.Add("null", "", "dPoP x", "", "cors", true)
	strict := policy(f, origin.Config{Trusted: []string{app}})
	lax := policy(f, origin.Config{Trusted: []string{app}, Without: origin.AllowBearer})
	f.Fuzz(func(t *testing.T, from, cookie, authorization, protocols, mode string, sent bool) {
		h := http.Header{}
		if sent {
			h.Set("Origin", from)
		}
		for name, value := range map[string]string{"Cookie": cookie, "Authorization": authorization, "Sec-WebSocket-Protocol": protocols, "Sec-Fetch-Mode": mode} {
			if value != "" {
				h.Set(name, value)
			}
		}
		r := &http.Request{Header: h}
		for _, p := range []*origin.Policy{strict, lax} {
			got, err := p.CheckHandshake(r)
			if err != nil {
				continue
			}
			page := sent && from == app && got == app
			scheme, token, _ := strings.Cut(authorization, " ")
			bearer := (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "dpop")) && token != ""
			program := !sent && got == origin.None && p == lax && cookie == "" && (bearer || strings.Contains(protocols, "sallyport.ticket."))
			if mode != "" && mode != "websocket" || !page && !program {
				t.Fatalf("passes as %q: %v", got, h)
			}
		}
		if _, err := strict.CheckHandshake(r); err == nil {
			h.Add("Origin", app)
			if _, err := strict.CheckHandshake(r); err == nil {
				t.Fatalf("two lines of Origin pass: %v", h)
			}
		}
	})
}
