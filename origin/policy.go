package origin

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Config lists who is trusted. The zero Config trusts nobody.
type Config struct {
	// Trusted are the web origins that may open connections, at most 4096:
	// "https://app.example.com", "https://app.example.com:8443", or
	// "https://*.example.com", where the star is exactly one whole label and
	// what follows is no public suffix. "https://app.example.com:443" and
	// upper-case letters are normalised. The origins of extensions and embedded
	// web views ("chrome-extension://<id>") are listed in full.
	Trusted []string

	// Hosts are the names that requests may address in Host, at most 4096:
	// "app.example.com", "app.example.com:8443", "127.0.0.1", "[::1]",
	// "*.example.com" (exactly one label, by the rules of Trusted) and, with
	// Dev, "*.localhost". A name without a port stands for the port 443 and for
	// the port of the listener that took the request, where net/http tells it
	// (http.LocalAddrContextKey); behind a mapped port, list the outer one.
	Hosts []string

	// Without says what becomes of a handshake without Origin. Default Refuse.
	Without Without

	// Dev allows http:// and https:// origins of loopback hosts (localhost,
	// *.localhost, 127.0.0.0/8, [::1]) to be listed: whatever runs on the
	// machine is then trusted as much as the site.
	Dev bool
}

// Without is the rule for handshakes without Origin.
type Without uint8

const (
	// Refuse refuses them all.
	Refuse Without = iota

	// AllowBearer admits a request that no browser page can make: without
	// Cookie, and either with one "Authorization: Bearer" or "DPoP" header, or
	// with a ticket among the subprotocols. Other schemes do not count, since
	// browsers add Basic, Digest, NTLM and Negotiate on their own. Whether the
	// ticket was minted for such a use is judged where it is redeemed.
	AllowBearer
)

func (w Without) String() string {
	switch w {
	case Refuse:
		return "refuse"
	case AllowBearer:
		return "bearer"
	}
	return fmt.Sprintf("Without(%d)", uint8(w))
}

// MarshalText gives "refuse" or "bearer".
func (w Without) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText reads "refuse" or "bearer".
func (w *Without) UnmarshalText(text []byte) error {
	switch string(text) {
	case "refuse":
		*w = Refuse
	case "bearer":
		*w = AllowBearer
	default:
		return fmt.Errorf("%q is neither refuse nor bearer", text)
	}
	return nil
}

// PatternError is a mistake in an entry of a [Config].
type PatternError struct {
	Pattern string // as written
	Why     string // continues the sentence that the pattern begins
}

func (e *PatternError) Error() string { return fmt.Sprintf("origin: %q %s", e.Pattern, e.Why) }

// Policy is a checked Config. It does not change and may be used from any
// goroutine. The zero Policy trusts nobody.
type Policy struct {
	exact   map[Origin]bool
	under   map[Origin]bool // Host is what follows the "*."
	hosts   map[hostPort]bool
	below   map[hostPort]bool // the same for hosts
	without Without
}

// maxEntries bounds each list of a Config.
const maxEntries = 4096

// New checks c. The error joins all mistakes; those of entries are of type
// [*PatternError].
func New(c Config) (*Policy, error) {
	p := &Policy{
		exact: map[Origin]bool{}, under: map[Origin]bool{},
		hosts: map[hostPort]bool{}, below: map[hostPort]bool{},
		without: c.Without,
	}
	var errs []error
	if c.Without > AllowBearer {
		errs = append(errs, fmt.Errorf("origin: %v is no rule for a missing Origin", c.Without))
	}
	if len(c.Trusted) > maxEntries || len(c.Hosts) > maxEntries {
		errs = append(errs, fmt.Errorf("origin: more than %d entries in Trusted or Hosts", maxEntries))
		return nil, errors.Join(errs...)
	}
	for _, s := range c.Trusted {
		if why := p.trust(s, c.Dev); why != "" {
			errs = append(errs, &PatternError{Pattern: s, Why: why})
		}
	}
	for _, s := range c.Hosts {
		if why := p.serve(s, c.Dev); why != "" {
			errs = append(errs, &PatternError{Pattern: s, Why: why})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// Trusts is the verdict on one serialised origin, as in an Origin header. A
// host that is itself a public suffix fits no wildcard; it must be listed.
func (p *Policy) Trusts(origin string) bool {
	o, ok := Parse(origin)
	if !ok {
		return false
	}
	if p.exact[o] {
		return true
	}
	host := o.Host
	_, o.Host, ok = strings.Cut(host, ".")
	return ok && p.under[o] && !isSuffix(host)
}

// Origins returns what is trusted in canonical form, sorted, patterns included.
func (p *Policy) Origins() []string {
	list := make([]string, 0, len(p.exact)+len(p.under))
	for o := range maps.Keys(p.exact) {
		list = append(list, o.String())
	}
	for o := range maps.Keys(p.under) {
		o.Host = "*." + o.Host
		list = append(list, o.String())
	}
	slices.Sort(list)
	return list
}

// trust adds an entry of Trusted, or says what is wrong with it.
func (p *Policy) trust(s string, dev bool) (why string) {
	if why := plain(s); why != "" {
		return why
	}
	s = lower(s)
	scheme, rest, found := strings.Cut(s, "://")
	switch {
	case s == "*":
		return "trusts every page of the world; list the origins"
	case s == "null":
		return "cannot be listed: every sandboxed page of the world has this origin"
	case !found:
		return "is no origin; write scheme://host[:port]"
	case scheme == "ws" || scheme == "wss":
		return "names a socket; list the origin of the page, https://…"
	case !validScheme(scheme):
		return "has a scheme whose pages have no origin"
	case strings.ContainsAny(rest, "/?#"):
		return "has a path; an origin ends after the host or port"
	case strings.Contains(rest, "@"):
		return "has user information; an origin has none"
	case scheme == "http" && !dev:
		return "is plaintext, which is allowed for loopback hosts and with Dev only"
	}
	if def := defaultPort(scheme); def != 0 {
		rest = strings.TrimSuffix(rest, fmt.Sprintf(":%d", def))
	}
	pattern, wild := strings.CutPrefix(rest, "*.")
	if strings.Contains(pattern, "*") {
		return "has a wildcard that is not the whole first label before a domain"
	}
	o, ok := Parse(scheme + "://" + pattern)
	if !ok {
		return "is no canonical origin; write scheme://host[:port], international names as xn-- labels"
	}
	web := scheme == "https" || scheme == "http"
	switch local := loopback(o.Host); {
	case wild && !web:
		return "has a wildcard, which only https origins may have"
	case web && local && !dev:
		return "is a loopback origin, which is allowed with Dev only"
	case scheme == "http" && !local:
		return "is plaintext and no loopback host"
	case wild && address(o.Host).IsValid():
		return "has a wildcard before an address"
	case wild && !local && overSuffix(o.Host):
		return "covers a public suffix"
	}
	if wild {
		p.under[o] = true
	} else {
		p.exact[o] = true
	}
	return ""
}

// plain says what is wrong with the bytes of an entry.
func plain(s string) (why string) {
	if s == "" {
		return "is empty"
	}
	if len(s) > MaxLength {
		return fmt.Sprintf("is longer than %d bytes", MaxLength)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "has a byte that is not printable ASCII; write international names as xn-- labels"
		}
	}
	return ""
}

// isSuffix reports whether host is on the public suffix list: strangers may
// register names right below it.
func isSuffix(host string) bool {
	suffix, _ := publicsuffix.PublicSuffix(host)
	return suffix == host
}

// overSuffix reports whether "*."+host would cover names of strangers: host is
// a public suffix, or all names right below it are ("*.kawasaki.jp").
func overSuffix(host string) bool { return isSuffix(host) || isSuffix("sallyport-probe."+host) }

// AllowsNone reports whether a handshake without Origin can be admitted.
func (p *Policy) AllowsNone() bool { return p.without == AllowBearer }
