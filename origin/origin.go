// Package origin decides which web origins may open a connection, and which
// host names a request may address.
//
// It stops cross-site WebSocket hijacking: a page elsewhere using the visitor's
// cookies to open a socket here. Browsers send Origin on every handshake
// (RFC 6455, section 10.2) and no page can forge it. SameSite does not replace
// the check: a page on a sibling subdomain, or on another port, gets all cookies.
// It also stops DNS rebinding, where a page of an attacker whose name suddenly
// resolves to this server is of the "same origin": the name in Host gives it away.
//
// Programs can send any Origin: it is no authentication, which is the business
// of package auth.
//
// An origin is trusted if its serialisation (RFC 6454, section 6.2) is, byte for
// byte, one that was listed, or fits a listed "https://*.example.com", where the
// star stands for exactly one label. Nothing is folded or repaired on the wire:
// browsers send the canonical form. "null" can be neither listed nor trusted.
//
// By default nobody is trusted, no host is served, and a missing Origin is
// refused. An origin is at most 512 bytes long; a list at most 4096 entries.
package origin

import (
	"net/netip"
	"strconv"
	"strings"
)

// MaxLength is the longest serialised origin that is looked at, in bytes.
const MaxLength = 512

// None is what stands for the origin of a request that has none and is
// admitted nevertheless. No page's origin is spelled so.
const None = "none"

// Origin is a web origin: (scheme, host, port). It is comparable. The zero
// Origin is none.
type Origin struct {
	Scheme string // lower case
	Host   string // lower case; an IPv6 address is in brackets
	Port   uint16 // 0 if it is the scheme's default, or the scheme has no ports
}

// String is the serialisation of o, the form that browsers send.
func (o Origin) String() string {
	if o == (Origin{}) {
		return "null"
	}
	s := o.Scheme + "://" + o.Host
	if o.Port != 0 {
		s += ":" + strconv.Itoa(int(o.Port))
	}
	return s
}

// Parse reads the canonical serialisation of a web origin: scheme "://" host
// [":" port], ASCII, lower case, without the scheme's default port, at most
// [MaxLength] bytes. A host is a name of letters, digits and inner hyphens in
// labels of at most 63 bytes, without a final dot; or an IP address in its
// canonical form. Internationalised names are read as they travel, as "xn--"
// labels, and are not converted.
//
// ok is false for everything else, "null" and schemes without a host included.
// Schemes other than http and https (of extensions and embedded web views) have
// no port. For every string that Parse accepts, String gives it back.
func Parse(s string) (o Origin, ok bool) {
	if len(s) > MaxLength {
		return Origin{}, false
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found || !validScheme(scheme) {
		return Origin{}, false
	}
	host, port, ok := splitPort(rest)
	if !ok || !validHost(host) {
		return Origin{}, false
	}
	if port != 0 && (port == defaultPort(scheme) || defaultPort(scheme) == 0) {
		return Origin{}, false
	}
	return Origin{Scheme: scheme, Host: host, Port: port}, true
}

// noOrigin lists schemes whose pages have an opaque origin, or none, or that
// name a protocol and no page. An Origin header with them is a forgery.
var noOrigin = map[string]bool{
	"about": true, "blob": true, "data": true, "file": true, "filesystem": true,
	"ftp": true, "javascript": true, "null": true, "view-source": true,
	"ws": true, "wss": true,
}

// validScheme knows RFC 3986, section 3.1, in lower case.
func validScheme(s string) bool {
	if s == "" || s[0] < 'a' || s[0] > 'z' || noOrigin[s] {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isAlnum(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// defaultPort is 0 for schemes without ports.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case "https":
		return 443
	case "http":
		return 80
	}
	return 0
}

// splitPort cuts "host[:port]"; port is 0 if there is none. It does not judge
// the host.
func splitPort(s string) (host string, port uint16, ok bool) {
	end := 0
	if strings.HasPrefix(s, "[") {
		if end = strings.IndexByte(s, ']'); end < 0 {
			return "", 0, false
		}
	}
	colon := strings.IndexByte(s[end:], ':')
	if colon < 0 {
		return s, 0, true
	}
	host, digits := s[:end+colon], s[end+colon+1:]
	if digits == "" || digits[0] == '0' || digits[0] == '+' {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return host, uint16(n), err == nil
}

// validHost accepts a canonical name or address in lower case.
func validHost(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		// Browsers and netip write addresses of the IPv4-mapped range in two ways.
		return ok && err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" && a.String() == inner
	}
	if s == "" || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
		last = label
	}
	if endsInNumber(last) { // the rule by which browsers take a host for an IPv4 address
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	}
	return true
}

// validLabel refuses hyphens at the ends; "xn--" labels that stand for plain
// ASCII end in one, so that no two spellings of a name are accepted.
func validLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func endsInNumber(label string) bool {
	digits := true
	for i := range len(label) {
		digits = digits && label[i] >= '0' && label[i] <= '9'
	}
	if digits {
		return true
	}
	hex, ok := strings.CutPrefix(label, "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

func isAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// loopback reports whether a canonical host always means the machine itself
// (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3).
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return address(host).IsLoopback()
}

// address is not valid if the canonical host is a name.
func address(host string) netip.Addr {
	a, _ := netip.ParseAddr(strings.Trim(host, "[]"))
	return a
}

// lower folds ASCII and nothing else: no other letter has a second case in a
// host name, and Unicode folding makes look-alikes equal ("ſ" and "s").
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for j := range b {
				if 'A' <= b[j] && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
