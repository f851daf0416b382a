package wss

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Peers are the addresses of proxies that are believed: by [Options.TerminatedBy]
// that they ended TLS, by [ClientAddress] whom they spoke for. The zero Peers
// believe nobody.
type Peers struct {
	// Unix is set if peers on a unix socket are believed.
	Unix bool
	// Prefixes are address ranges, masked; IPv4 is never written as IPv6.
	Prefixes []netip.Prefix
}

// ParsePeers reads "unix", addresses ("10.0.0.1") and ranges ("10.0.0.0/8"). It
// returns every mistake, joined. A range of everybody is one.
func ParsePeers(list []string) (Peers, error) {
	var p Peers
	var errs []error
	for _, s := range list {
		if s == "unix" {
			p.Unix = true
			continue
		}
		prefix, err := parsePrefix(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.Prefixes = append(p.Prefixes, prefix)
	}
	return p, errors.Join(errs...)
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("wss: %q is neither unix, an address nor a range like 10.0.0.0/8", s)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("wss: write %q as an IPv4 range", s)
	case p.Bits() == 0:
		return p, fmt.Errorf("wss: %q believes everybody", s)
	case p != p.Masked():
		return p, fmt.Errorf("wss: %q has bits beyond its length; is %s meant?", s, p.Masked())
	}
	return p, nil
}

// None reports whether nobody is believed.
func (p Peers) None() bool { return !p.Unix && len(p.Prefixes) == 0 }

// Contains reports whether addr is believed. The zero Addr is a peer on a unix socket.
func (p Peers) Contains(addr netip.Addr) bool {
	if !addr.IsValid() {
		return p.Unix
	}
	addr = addr.Unmap().WithZone("")
	for _, prefix := range p.Prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// PeerAddress returns the address at the other end of c: without zone, IPv4
// never as IPv6. It is the zero Addr for everything that is not TCP over IP.
func PeerAddress(c net.Conn) netip.Addr {
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		a, _ := netip.AddrFromSlice(t.IP)
		return a.Unmap()
	}
	return netip.Addr{}
}

// ClientAddress returns who made the request: peer itself unless trusted
// contains it, else the right-most hop of X-Forwarded-For that trusted does not
// contain. Lines count in their order. What stands left of that hop was written
// by the client and is not looked at. Is every hop trusted, it is the left-most.
// A hop that is no address ends the walk at the hop that reported it, in the
// worst case at peer. The result has no zone, and is IPv4 rather than mapped.
//
// A request on a unix socket has the zero Addr as its peer.
func ClientAddress(r *http.Request, peer netip.Addr, trusted Peers) netip.Addr {
	addr := peer.Unmap().WithZone("")
	lines := r.Header.Values("X-Forwarded-For")
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			if !trusted.Contains(addr) {
				return addr
			}
			var hop string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, hop = rest[:comma], rest[comma+1:]
			} else {
				hop, more = rest, false
			}
			next, ok := parseHop(strings.Trim(hop, " \t"))
			if !ok {
				return addr
			}
			addr = next
		}
	}
	return addr
}

// parseHop reads the forms that proxies write: an address, IPv4 with a port,
// IPv6 in brackets with or without a port. Obfuscated names are no addresses.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			a, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
			if err == nil && !a.Is6() {
				return a, false
			}
		} else {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(s)
			a = ap.Addr()
		}
	}
	return a.Unmap().WithZone(""), err == nil
}
