package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/internal/cookie"
)

// unwanted are the headers that a client must not tell a backend, folded: who
// it is and how it came, which path or host was meant, and what belongs to one
// hop.
var unwanted = func() map[string]bool {
	m := map[string]bool{}
	for _, name := range strings.Fields(`
		forwarded forwarded-for forwarded-host forwarded-proto x-forwarded x-real-ip x-client-ip true-client-ip cf-connecting-ip cf-connecting-ipv6
		x-cluster-client-ip fastly-client-ip x-original-forwarded-for x-originating-ip x-remote-ip x-remote-addr client-ip
		remote-addr remote-ip real-ip fly-client-ip do-connecting-ip x-appengine-user-ip x-azure-clientip x-azure-socketip
		x-nf-client-connection-ip x-vercel-forwarded-for wl-proxy-client-ip cf-pseudo-ipv4 http-client-ip
		x-original-url x-rewrite-url x-original-host x-host x-original-uri x-original-proto x-host-override x-http-host-override via
		x-scheme x-url-scheme front-end-https
		connection keep-alive te trailer trailers transfer-encoding upgrade http2-settings
		content-length expect host proxy x-sallyport`) {
		m[name] = true
	}
	return m
}()

var unwantedPrefixes = []string{"x-forwarded-", "http-x-forwarded-", "x-envoy-", "sallyport-", "sec-websocket-", "proxy-"}

// Clean removes from h what a client must not tell a backend: forwarding
// headers (Forwarded, X-Forwarded-*, X-Real-IP and their kin), everything that
// begins with Sallyport-, the identity headers named, Sec-WebSocket-*, Proxy-*,
// and what belongs to one hop, named in Connection or not. Names are compared as
// the most lenient backend reads them: in any case, with "_" or any other sign
// for "-", once or doubled. Whoever sets such headers does so afterwards.
func Clean(h http.Header, identity ...string) {
	drop := map[string]bool{}
	for _, name := range identity {
		drop[fold(name)] = true
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			drop[fold(strings.Trim(name, " \t"))] = true
		}
	}
	for name := range h {
		if f := fold(name); drop[f] || isUnwanted(f) {
			delete(h, name)
		}
	}
}

func isUnwanted(folded string) bool {
	if unwanted[folded] {
		return true
	}
	for _, prefix := range unwantedPrefixes {
		if strings.HasPrefix(folded, prefix) {
			return true
		}
	}
	return false
}

// fold is a header's name as CGI and its heirs compare it: without case, every
// sign like every other.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, name)
}

// forwarded says how a request came to the door, which always is by TLS.
func forwarded(h http.Header, host string, address netip.Addr) {
	if address.IsValid() {
		h.Set("X-Forwarded-For", address.WithZone("").String())
	}
	h.Set("X-Forwarded-Proto", "https")
	if validHost(host) {
		h.Set("X-Forwarded-Host", host)
	}
}

// outgoing makes h, a copy of the client's headers, what the backend may read.
// id is nil where nobody was asked who it is.
func (p *Proxy) outgoing(h http.Header, host string, address netip.Addr, id *auth.Identity, conn string) error {
	Clean(h, p.names...)
	cookie.Remove(h, p.config.StripCookies...)
	forwarded(h, host, address)
	if id == nil {
		return nil
	}
	if !p.config.ForwardCredentials && consumes(id.Method) {
		h.Del("Authorization")
	}
	return p.identify(h, *id, conn)
}

// consumes reports whether a method may have made its identity of the
// Authorization header, which is then a credential for the door and for nobody
// else.
func consumes(method string) bool {
	switch method {
	case "forward", "session", "anonymous":
		return false
	}
	return true
}

// identify sets the identity headers.
func (p *Proxy) identify(h http.Header, id auth.Identity, conn string) error {
	for name, claim := range p.config.IdentityHeaders {
		value := claims[claim](id)
		if value == "" {
			continue
		}
		if !validValue(value) {
			return fmt.Errorf("the claim %s of the identity can't stand in a header", claim)
		}
		h.Set(name, value)
	}
	if p.config.Identity == nil {
		return nil
	}
	token, err := p.config.Identity.Token(id, conn)
	if err != nil {
		return err
	}
	h.Set(IdentityHeader, token)
	return nil
}

// claims are what a plain identity header can hold.
var claims = map[string]func(auth.Identity) string{
	"sub":    func(id auth.Identity) string { return id.Subject },
	"iss":    func(id auth.Identity) string { return id.Issuer },
	"sid":    func(id auth.Identity) string { return id.Session },
	"scope":  func(id auth.Identity) string { return strings.Join(id.Scopes, " ") },
	"method": func(id auth.Identity) string { return id.Method },
}

// validValue keeps out what ends a line (RFC 9110, section 5.5) and what a
// reader would trim.
func validValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return strings.Trim(s, " ") == s
}

func checkIdentityHeader(name, claim string) error {
	if claims[claim] == nil {
		return fmt.Errorf("identity header %q: the claim %q is none of sub, iss, sid, scope", name, claim)
	}
	for i := range len(name) {
		if c := name[i] | 0x20; (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-' {
			return fmt.Errorf("identity header %q: write it with letters, digits and hyphens", name)
		}
	}
	switch f := fold(name); {
	case f == "":
		return fmt.Errorf("an identity header without a name")
	case f == "cookie", f == "authorization", f == "origin", f == "x-forwarded-for", f == "x-forwarded-proto", f == "x-forwarded-host",
		isUnwanted(f) && !strings.HasPrefix(f, "x-forwarded-"):
		return fmt.Errorf("identity header %q: this name has another meaning", name)
	}
	return nil
}
