package origin

import (
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/deny"
)

// hostPort is a listed host; port 0 stands for the default port and the
// listener's.
type hostPort struct {
	name string
	port uint16
}

// tlsPort is the port of wss and https. A request names no other by leaving it
// out, since pages reach this server by TLS only.
const tlsPort = 443

// CheckHost refuses a request that addresses a host which is not listed. It
// stops DNS rebinding: the page of a name that was made to resolve here is of
// the same origin as what it asks, but it cannot write another name into Host.
//
// The name must be a listed one after ASCII lower-casing and without a final
// ":443"; nothing else is repaired. The error is a denial with deny.HTTPHost, or
// deny.HTTPMalformed if Host is missing or doubled (RFC 9112, section 3.2).
func (p *Policy) CheckHost(r *http.Request) error {
	lines := r.Header.Values("Host") // net/http moves the only one to r.Host
	if r.Host == "" || len(lines) > 1 || len(lines) == 1 && lines[0] != r.Host {
		return deny.Because(deny.HTTPMalformed, fmt.Errorf("%d Host lines besides %s", len(lines), quote(r.Host)))
	}
	return p.CheckHostText(r.Host, ListenerPort(r))
}

// CheckHostText is CheckHost for whoever has kept of a request no more than the
// text of its Host, which was there once, and its [ListenerPort]: a connection
// that is judged again after a reload. The error is a denial with deny.HTTPHost.
func (p *Policy) CheckHostText(host string, listener uint16) error {
	if len(host) > MaxLength {
		return deny.Because(deny.HTTPHost, fmt.Errorf("a Host of %d bytes", len(host)))
	}
	name, port, ok := splitPort(lower(host))
	if !ok || !validHost(name) {
		return deny.Because(deny.HTTPHost, fmt.Errorf("host %s is no canonical host name", quote(host)))
	}
	if port == 0 {
		port = tlsPort
	}
	if p.serves(name, port) || (port == tlsPort || port == listener) && p.serves(name, 0) {
		return nil
	}
	return deny.Because(deny.HTTPHost, fmt.Errorf("host %s is not listed", quote(host)))
}

func (p *Policy) serves(name string, port uint16) bool {
	if p.hosts[hostPort{name, port}] {
		return true
	}
	_, rest, ok := strings.Cut(name, ".")
	return ok && p.below[hostPort{rest, port}] && !isSuffix(name)
}

// ListenerPort is the port that r came to; 0 if its server does not tell.
func ListenerPort(r *http.Request) uint16 {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && a != nil {
		return uint16(a.Port)
	}
	return 0
}

// serve adds an entry of Hosts, or says what is wrong with it.
func (p *Policy) serve(s string, dev bool) (why string) {
	if why := plain(s); why != "" {
		return why
	}
	s = lower(s)
	rest, wild := strings.CutPrefix(s, "*.")
	switch {
	case s == "*":
		return "serves every name that resolves here, which is DNS rebinding; list the hosts"
	case strings.Contains(rest, "*"):
		return "has a wildcard that is not the whole first label before a domain"
	case strings.ContainsAny(rest, "/?#@"):
		return "is no host; write name[:port]"
	}
	name, port, ok := splitPort(rest)
	if !ok || !validHost(name) {
		return "is no canonical host; write name[:port], IPv6 addresses in brackets, international names as xn-- labels"
	}
	switch local := loopback(name); {
	case wild && address(name).IsValid():
		return "has a wildcard before an address"
	case wild && local && !dev:
		return "has a wildcard before a loopback name, which is allowed with Dev only"
	case wild && !local && overSuffix(name):
		return "covers a public suffix"
	}
	if wild {
		p.below[hostPort{name, port}] = true
	} else {
		p.hosts[hostPort{name, port}] = true
	}
	return ""
}

// quote makes what a peer sent safe and short enough for a log.
func quote(s string) string {
	const most = 128
	if len(s) > most {
		return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}
