// Package headers sets the response headers that make browsers guard the site.
//
// They stop, each where a browser honours it: plaintext on the way back
// (Strict-Transport-Security, RFC 6797), injected scripts and foreign frames
// (Content-Security-Policy, level 3; X-Frame-Options, RFC 7034), guessed media
// types, leaking referrers, windows and embeddings across origins, and device
// features that nobody asked for. They do not replace the check of the origin:
// a WebSocket handshake ignores them all.
//
// The zero Config is the strict set. HSTS lasts a year, covers subdomains and
// allows preloading, which cannot be taken back quickly: every subdomain must
// speak TLS. An own Content-Security-Policy is at most 4096 bytes long.
package headers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Config changes the strict set.
type Config struct {
	// Dev leaves HSTS out, also where the application sets it: a browser that
	// once saw it on localhost would refuse plaintext to every other project there.
	Dev bool

	// CSP replaces the Content-Security-Policy. It must have a default-src of
	// 'self' or 'none' alone; its other directives are not judged. Default (""):
	// default-src 'self', no plug-ins, no <base>, no framing, forms and
	// connections to the own origin only.
	CSP string

	// ConnectSrc are further hosts to which pages may open WebSockets:
	// "wss://rt.example.com" or "rt.example.com:8443". With an own CSP it must be
	// empty. Default: the own origin only; older browsers take that for https
	// alone, so a page that must work there lists its own host too.
	ConnectSrc []string
}

// Names of the headers that are looked up besides being set.
const (
	hsts  = "Strict-Transport-Security"
	csp   = "Content-Security-Policy"
	frame = "X-Frame-Options"
)

// constant are the headers whose value does not depend on the Config.
var constant = []field{
	{frame, "DENY"},
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "accelerometer=(), camera=(), display-capture=(), geolocation=(), " +
		"gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"},
}

const (
	year   = "max-age=31536000; includeSubDomains; preload"
	strict = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; connect-src 'self'"
)

type field struct{ name, value string }

// Policy is a checked Config. It does not change and may be used from any
// goroutine. It is made by [New].
type Policy struct {
	fields   []field // in the order of the wire
	wire     []byte
	dev      bool
	unframed string // the CSP for pages whose framing the application rules by X-Frame-Options
}

// FieldError is a mistake in a [Config].
type FieldError struct {
	Field string // "CSP" or "ConnectSrc"
	Value string // as written
	Why   string // continues the sentence that the value begins
}

func (e *FieldError) Error() string { return fmt.Sprintf("headers: %s %q %s", e.Field, e.Value, e.Why) }

// New checks c. The error joins all mistakes, of type [*FieldError].
func New(c Config) (*Policy, error) {
	var errs []error
	full := c.CSP
	p := &Policy{dev: c.Dev}
	if c.CSP != "" {
		if why := checkCSP(c.CSP); why != "" {
			errs = append(errs, &FieldError{"CSP", c.CSP, why})
		}
		if len(c.ConnectSrc) > 0 {
			errs = append(errs, &FieldError{"ConnectSrc", strings.Join(c.ConnectSrc, " "), "must be empty beside an own CSP; write it there"})
		}
	} else {
		sources, err := connect(c.ConnectSrc)
		errs = append(errs, err)
		full = strict + sources
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p.unframed = withoutFraming(full)
	if !c.Dev {
		p.fields = append(p.fields, field{hsts, year})
	}
	p.fields = append(append(p.fields, field{csp, full}), constant...)
	for _, f := range p.fields {
		p.wire = append(p.wire, f.name+": "+f.value+"\r\n"...)
	}
	return p, nil
}

// Apply sets every header, whatever was there. It is for the door's own
// responses, refusals included.
func (p *Policy) Apply(h http.Header) {
	if p.dev {
		h.Del(hsts)
	}
	for _, f := range p.fields {
		h[f.name] = []string{f.value}
	}
}

// Fill adds the headers that are missing from an application's response and
// replaces its HSTS. What the application says about its own page stays. An
// empty value counts as missing.
//
// Where the application rules framing by X-Frame-Options and sends no policy of
// its own, the policy that is added says nothing of framing: browsers would
// otherwise not look at X-Frame-Options (CSP level 3, frame-ancestors).
func (p *Policy) Fill(h http.Header) {
	h.Del(hsts)
	framed := present(h, frame)
	for _, f := range p.fields {
		switch {
		case present(h, f.name):
		case f.name == csp && framed:
			h[csp] = []string{p.unframed}
		default:
			h[f.name] = []string{f.value}
		}
	}
}

// Append adds the headers of Apply to dst in wire form, each with its CRLF, for
// a response that is written without net/http. The order is always the same.
func (p *Policy) Append(dst []byte) []byte { return append(dst, p.wire...) }

// NoStore forbids every cache to keep the response. It is for answers with
// tickets, tokens and sessions.
func NoStore(h http.Header) { h["Cache-Control"] = []string{"no-store"} }

func present(h http.Header, name string) bool {
	return slices.ContainsFunc(h[name], func(v string) bool { return strings.Trim(v, " \t") != "" })
}
