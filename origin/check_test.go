package origin_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/origin"
)

// head makes a request of header lines, as a parser leaves it.
func head(t *testing.T, lines ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
		"GET /ws HTTP/1.1\r\n" + strings.Join(append(lines, "Host: app.example.com"), "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantVerdict(t *testing.T, origin string, err error, wantOrigin string, want deny.Reason) {
	t.Helper()
	if got := deny.Of(err); got != want {
		t.Fatalf("denied with %v (%v), want %v", got, err, want)
	}
	if origin != wantOrigin {
		t.Errorf("origin %q, want %q", origin, wantOrigin)
	}
}

const (
	bearer = "Authorization: Bearer abc"
	ticket = "Sec-WebSocket-Protocol: chat, sallyport.ticket.abc"
	cookie = "Cookie: theme=dark"
)

func TestCheckHandshake(t *testing.T) {
	const no, bad = deny.OriginUntrusted, deny.HTTPMalformed
	refuse := policy(t, origin.Config{Trusted: []string{app}})
	allow := policy(t, origin.Config{Trusted: []string{app}, Without: origin.AllowBearer})
	for _, tt := range []struct {
		name  string
		p     *origin.Policy
		lines []string
		from  string
		want  deny.Reason
	}{
		{"SR-11 the listed origin", refuse, []string{"Origin: " + app, cookie}, app, 0},
		{"SR-11 AT-01 another site", refuse, []string{"Origin: https://evil.com", cookie}, "", no},
		{"SR-11 AT-02 a sibling subdomain with all cookies", refuse, []string{"Origin: https://evil.example.com", cookie}, "", no},
		{"SR-11 another port of the same host", refuse, []string{"Origin: " + app + ":8443", cookie}, "", no},
		{"SR-12 AT-05 the origin equals Host, and is not listed", refuse, []string{"Origin: https://evil.example"}, "", no},
		{"SR-15 AT-04 a sandboxed frame", refuse, []string{"Origin: null", cookie}, "", no},
		{"SR-15 AT-04 a sandboxed frame with a bearer", allow, []string{"Origin: null", bearer}, "", no},
		{"SR-16 two Origin lines, the good one first", refuse, []string{"Origin: " + app, "Origin: https://evil.com"}, "", bad},
		{"SR-16 two Origin lines, both good", refuse, []string{"Origin: " + app, "origin: " + app}, "", bad},
		{"SR-16 two Sec-Fetch-Mode lines", refuse, []string{"Origin: " + app, "Sec-Fetch-Mode: websocket", "Sec-Fetch-Mode: websocket"}, "", bad},
		{"SR-11 an empty Origin is not a missing one", allow, []string{"Origin:", bearer}, "", no},
		{"SR-11 the word for a missing one", allow, []string{"Origin: none", bearer}, "", no},
		{"SR-17 the fetch mode of a socket", refuse, []string{"Origin: " + app, "Sec-Fetch-Mode: websocket"}, app, 0},
		{"SR-17 the fetch mode of fetch", refuse, []string{"Origin: " + app, "Sec-Fetch-Mode: cors"}, "", no},
		{"SR-17 the fetch mode of a navigation", allow, []string{bearer, "Sec-Fetch-Mode: navigate"}, "", no},
		{"SR-17 an empty fetch mode", refuse, []string{"Origin: " + app, "Sec-Fetch-Mode:"}, "", no},
		{"SR-17 the fetch site is not judged, the list is", refuse, []string{"Origin: " + app, "Sec-Fetch-Site: cross-site"}, app, 0},
		{"SR-17 the fetch site does not replace the list", refuse, []string{"Origin: https://evil.com", "Sec-Fetch-Site: same-origin"}, "", no},
		{"SR-14 no origin, by default", refuse, nil, "", no},
		{"SR-14 no origin, a bearer, by default", refuse, []string{bearer}, "", no},
		{"SR-14 no origin, a ticket, by default", refuse, []string{ticket}, "", no},
		{"SR-14 no origin, nothing", allow, nil, "", no},
		{"SR-14 no origin, a bearer", allow, []string{bearer}, origin.None, 0},
		{"SR-14 no origin, a bearer by another case", allow, []string{"authorization: BEARER abc"}, origin.None, 0},
		{"SR-14 no origin, a DPoP token", allow, []string{"Authorization: DPoP abc"}, origin.None, 0},
		{"SR-14 no origin, a ticket", allow, []string{ticket}, origin.None, 0},
		{"SR-14 no origin, a cookie", allow, []string{cookie}, "", no},
		{"SR-14 no origin, a bearer and a cookie", allow, []string{bearer, cookie}, "", no},
		{"SR-14 no origin, a bearer and an empty Cookie line", allow, []string{bearer, "Cookie:"}, "", no},
		{"SR-14 no origin, a ticket and a cookie", allow, []string{ticket, cookie}, "", no},
		{"SR-14 no origin, an empty ticket", allow, []string{"Sec-WebSocket-Protocol: sallyport.ticket."}, "", no},
		{"SR-14 no origin, an app's own protocol", allow, []string{"Sec-WebSocket-Protocol: x-sallyport.ticket.abc"}, "", no},
		{"SR-14 no origin, an empty bearer", allow, []string{"Authorization: Bearer"}, "", no},
		{"SR-14 no origin, two Authorization lines", allow, []string{bearer, bearer}, "", no},
		{"SR-14 no origin, credentials that browsers add themselves", allow, []string{"Authorization: Basic YTpi"}, "", no},
		{"SR-14 no origin, a Kerberos ticket", allow, []string{"Authorization: Negotiate abc"}, "", no},
		{"SR-14 the zero policy trusts nobody", new(origin.Policy), []string{"Origin: " + app}, "", no},
		{"SR-14 the zero policy admits no program", new(origin.Policy), []string{bearer}, "", no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, err := tt.p.CheckHandshake(head(t, tt.lines...))
			wantVerdict(t, from, err, tt.from, tt.want)
		})
	}
	for _, tt := range untrusted { // as they are, without a parser that may trim them
		t.Run("SR-11 in a header: "+tt.why, func(t *testing.T) {
			r := head(t, bearer)
			r.Header["Origin"] = []string{tt.origin}
			from, err := allow.CheckHandshake(r)
			wantVerdict(t, from, err, "", no)
		})
	}
}

func TestCheckRequest(t *testing.T) {
	const no, bad = deny.OriginUntrusted, deny.HTTPMalformed
	p := policy(t, origin.Config{Trusted: []string{app}})
	for _, tt := range []struct {
		name  string
		lines []string
		from  string
		want  deny.Reason
	}{
		{"SR-11 the listed origin", []string{"Origin: " + app, cookie, "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: cross-site"}, app, 0},
		{"SR-11 AT-01 another site", []string{"Origin: https://evil.com", bearer}, "", no},
		{"SR-11 another site that claims to be the same", []string{"Origin: https://evil.com", "Sec-Fetch-Site: same-origin"}, "", no},
		{"SR-15 AT-04 null", []string{"Origin: null", "Sec-Fetch-Site: same-origin"}, "", no},
		{"SR-16 two Origin lines", []string{"Origin: " + app, "Origin: " + app}, "", bad},
		{"SR-16 two Sec-Fetch-Site lines", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, "", bad},
		{"SR-17 no origin, of the same origin", []string{cookie, "Sec-Fetch-Site: same-origin"}, origin.None, 0},
		{"SR-17 no origin, of the same site", []string{cookie, "Sec-Fetch-Site: same-site"}, "", no},
		{"SR-17 no origin, of another site", []string{cookie, "Sec-Fetch-Site: cross-site"}, "", no},
		{"SR-17 no origin, typed by hand", []string{cookie, "Sec-Fetch-Site: none"}, "", no},
		{"SR-17 no origin, in capitals", []string{cookie, "Sec-Fetch-Site: SAME-ORIGIN"}, "", no},
		{"SR-14 no origin, nothing", nil, "", no},
		{"SR-14 no origin, a bearer", []string{bearer}, origin.None, 0},
		{"SR-14 no origin, a bearer and a cookie", []string{bearer, cookie}, "", no},
		{"SR-14 no origin, a bearer and a ticket", []string{bearer, ticket}, "", no},
		{"SR-14 no origin, a ticket", []string{ticket}, "", no},
		{"SR-14 an image of another site with credentials that the browser adds", []string{"Authorization: Basic YTpi", "Sec-Fetch-Site: cross-site"}, "", no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, err := p.CheckRequest(head(t, tt.lines...))
			wantVerdict(t, from, err, tt.from, tt.want)
		})
	}
}

func TestCheckHost(t *testing.T) {
	const no, bad = deny.HTTPHost, deny.HTTPMalformed
	p := policy(t, origin.Config{Dev: true, Hosts: []string{
		"App.Example.com", "alt.example.com:9443", "std.example.com:443", "*.example.org", "localhost", "*.localhost", "127.0.0.1", "[::1]",
	}})
	for _, tt := range []struct {
		name, host string
		want       deny.Reason
	}{
		{"SR-13 the listed name", "app.example.com", 0},
		{"SR-13 in other case", "APP.example.COM", 0},
		{"SR-13 with the default port", "app.example.com:443", 0},
		{"SR-13 with the listener's port", "app.example.com:8443", 0},
		{"SR-13 with another port", "app.example.com:8444", no},
		{"SR-13 a listed port", "alt.example.com:9443", 0},
		{"SR-13 without the listed port", "alt.example.com", no},
		{"SR-13 with the listener's instead of the listed port", "alt.example.com:8443", no},
		{"SR-13 the default port was listed and is left out", "std.example.com", 0},
		{"SR-13 the default port was listed, the listener's is named", "std.example.com:8443", no},
		{"SR-13 one label below a wildcard", "a.example.org:8443", 0},
		{"SR-13 two labels below a wildcard", "a.b.example.org", no},
		{"SR-13 the domain of a wildcard", "example.org", no},
		{"SR-13 localhost", "localhost:8443", 0},
		{"SR-13 below localhost", "app.localhost:8443", 0},
		{"SR-13 the loopback address", "127.0.0.1:8443", 0},
		{"SR-13 the IPv6 loopback address", "[::1]:8443", 0},
		{"SR-13 AT-05 a name that resolves to the loopback address", "127.0.0.1.nip.example", no},
		{"SR-12 AT-05 the attacker's name", "evil.example", no},
		{"AT-05 a name that begins alike", "app.example.com.evil.example", no},
		{"AT-05 a name that ends alike", "evilapp.example.com", no},
		{"AT-05 another address", "127.0.0.2", no},
		{"AT-05 the loopback address as a decimal", "2130706433", no},
		{"SR-13 a trailing dot", "app.example.com.", no},
		{"SR-13 an empty port", "app.example.com:", no},
		{"SR-13 a port with a leading zero", "app.example.com:0443", no},
		{"SR-13 user information", "app.example.com@evil.example", no},
		{"SR-13 two names", "app.example.com,evil.example", no},
		{"SR-13 a space", "app.example.com ", no},
		{"SR-13 a long s", "ſtd.example.com", no},
		{"SR-13 10 KiB", strings.Repeat("a", 10<<10), no},
		{"SR-13 no host", "", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := head(t)
			r.Host = tt.host
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{Port: 8443})))
			wantVerdict(t, "", p.CheckHost(r), "", tt.want)
			want := tt.want
			if want == bad { // the text alone is no Host at all
				want = no
			}
			wantVerdict(t, "", p.CheckHostText(tt.host, 8443), "", want)
		})
	}
	t.Run("SR-13 a listener that is not known has no port", func(t *testing.T) {
		r := head(t)
		r.Host = "app.example.com:8443"
		wantVerdict(t, "", p.CheckHost(r), "", no)
	})
	t.Run("SR-16 two Host lines", func(t *testing.T) {
		r := head(t)
		r.Header["Host"] = []string{"app.example.com", "evil.example"}
		wantVerdict(t, "", p.CheckHost(r), "", bad)
	})
	t.Run("SR-16 a Host line beside another target", func(t *testing.T) {
		r := head(t)
		r.Header["Host"] = []string{"evil.example"}
		wantVerdict(t, "", p.CheckHost(r), "", bad)
	})
	t.Run("SR-13 no hosts are listed", func(t *testing.T) {
		wantVerdict(t, "", policy(t, origin.Config{Trusted: []string{app}}).CheckHost(head(t)), "", no)
		wantVerdict(t, "", new(origin.Policy).CheckHost(head(t)), "", no)
	})
}

func TestHostConfig_SR13(t *testing.T) {
	for _, tt := range []struct{ why, host, want string }{
		{"every host", "*", "DNS rebinding"},
		{"a public suffix", "*.co.uk", "public suffix"},
		{"a top-level domain", "*.com", "public suffix"},
		{"names below localhost without Dev", "*.localhost", "Dev only"},
		{"a wildcard before an address", "*.127.0.0.1", "address"},
		{"a wildcard in the middle", "a.*.example.com", "whole first label"},
		{"a wildcard for the port", "app.example.com:*", "whole first label"},
		{"a URL", "https://app.example.com", "name[:port]"},
		{"a path", "app.example.com/", "name[:port]"},
		{"an IPv6 address without brackets", "::1", "brackets"},
		{"a trailing dot", "app.example.com.", "canonical"},
		{"port zero", "app.example.com:0", "canonical"},
		{"letters beyond ASCII", "bücher.example", "xn--"},
		{"nothing", "", "empty"},
	} {
		t.Run("SR-13 refused in the configuration: "+tt.why, func(t *testing.T) {
			wantPatternError(t, origin.Config{Hosts: []string{tt.host}}, tt.host, tt.want)
		})
	}
}

func TestCauseIsShortAndQuoted(t *testing.T) {
	r := head(t)
	r.Header["Origin"] = []string{"https://evil.com\n" + strings.Repeat("\x1b[2J", 4<<10)}
	_, err := policy(t, origin.Config{}).CheckHandshake(r)
	d, ok := errors.AsType[*deny.Denial](err)
	if !ok || len(d.Cause.Error()) > 1024 || strings.ContainsAny(d.Cause.Error(), "\n\x1b") {
		t.Errorf("the cause is not fit for a log: %.100q", err)
	}
}

// After DNS rebinding, Host and Origin name the same stranger.
func TestOriginOfTheHostIsNotTrusted_SR12_AT05(t *testing.T) {
	other := policy(t, origin.Config{Trusted: []string{"https://other.example.com"}})
	r := head(t, "Origin: "+app, cookie)
	if app != "https://"+r.Host {
		t.Fatalf("Host is %q", r.Host)
	}
	from, err := other.CheckHandshake(r)
	wantVerdict(t, from, err, "", deny.OriginUntrusted)
	from, err = other.CheckRequest(r)
	wantVerdict(t, from, err, "", deny.OriginUntrusted)
}
