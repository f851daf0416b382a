package sallyport

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
)

// Refuse is how a gate refuses by policy: an untrusted origin, a bad credential.
type Refuse uint8

const (
	// RefuseClose completes the upgrade and closes at once with the code of the
	// reason: a page sees nothing but 1006 of a handshake that failed with an
	// HTTP status. It reads nothing and contacts no route.
	RefuseClose Refuse = iota

	// RefuseHTTP answers the handshake with an HTTP status (RFC 6455, section 4.2.2).
	RefuseHTTP
)

// Gate is the policy and the route of one path.
type Gate struct {
	// Path is matched as it was sent, never decoded: exactly, or, if it ends in
	// a slash, everything below it. The longest match counts.
	Path string

	Origin *origin.Config     // nil: that of the door
	Auth   auth.Authenticator // nil: that of the door
	Guard  *guard.Config      // nil: that of the door
	Refuse Refuse

	// Seal says whether connections are sealed above TLS (measure 5). Default
	// SealOff.
	Seal Seal

	// AllowUnbound admits, on a gate with SealRequired, credentials that are
	// bound to no key: whoever ends TLS and got hold of one can use it too.
	AllowUnbound bool

	// HTTP answers requests on this path that are no upgrade, after they passed
	// the same checks. nil: they get 426.
	HTTP http.Handler

	Route Route
}

// gate is a Gate with everything filled in.
type gate struct {
	Gate
	origin *origin.Policy
	guard  guard.Config
}

// policy is one immutable snapshot of all that Reload replaces.
type policy struct {
	config   Config
	headers  headersPolicy
	origin   *origin.Policy   // for paths that are no gate
	gates    map[string]*gate // exact paths
	prefixes []*gate          // paths ending in a slash, longest first
	api      *api
}

// find returns the gate of a raw path, or nil.
func (p *policy) find(rawPath string) *gate {
	if g := p.gates[rawPath]; g != nil {
		return g
	}
	for _, g := range p.prefixes {
		if strings.HasPrefix(rawPath, g.Path) {
			return g
		}
	}
	return nil
}

// ambiguous reports whether a path would be somebody else's for a server behind
// that decodes, cleans, cuts or lower-cases it: own is the gate that it matched
// as it was sent, nil for a path of the application.
func (p *policy) ambiguous(rawPath string, own *gate) bool {
	if _, err := url.PathUnescape(rawPath); err != nil {
		return true
	}
	seen := map[string]bool{}
	for readings := []string{rawPath}; len(readings) > 0; {
		c := readings[0]
		readings = readings[1:]
		if seen[c] {
			continue
		}
		if seen[c] = true; len(seen) > maxReadings || p.strays(c, own) {
			return true
		}
		cut, _, _ := strings.Cut(c, ";")
		for _, next := range [...]string{cut, withoutParameters(c), strings.ReplaceAll(c, `\`, "/"), unescape(c)} {
			if next != "" {
				readings = append(readings, next)
			}
		}
	}
	return false
}

// maxReadings bounds in how many ways a path may be read: nobody means more.
const maxReadings = 64

// unescape decodes once what can be decoded: what is left of "100%25" is no
// escape, and stays.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.WriteByte(c[0])
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// strays reports whether a path, cleaned and lower-cased in any combination, is
// an endpoint's or that of another gate than own, or has left own.
func (p *policy) strays(s string, own *gate) bool {
	cleaned := path.Clean("/" + s)
	slash := cleaned
	if cleaned != "/" && strings.HasSuffix(s, "/") {
		slash = cleaned + "/"
	}
	for _, c := range [...]string{s, cleaned, slash} {
		if p.api.owns(c) || p.api.owns(strings.ToLower(c)) {
			return true
		}
		switch g := p.findFold(c); {
		case g == own || g != nil && own != nil && strings.EqualFold(g.Path, own.Path):
		case g == nil && c != slash: // without its final slash; slash is asked as well
		case own != nil && c+"/" == own.Path: // the gate's own root
		default:
			return true
		}
	}
	return false
}

// findFold is find for a server that does not mind case.
func (p *policy) findFold(c string) *gate {
	for exact, g := range p.gates {
		if strings.EqualFold(exact, c) {
			return g
		}
	}
	for _, g := range p.prefixes {
		if len(c) >= len(g.Path) && strings.EqualFold(c[:len(g.Path)], g.Path) {
			return g
		}
	}
	return nil
}

// withoutParameters cuts the parameters of each segment: /a;x=1/b is /a/b.
func withoutParameters(s string) string {
	segments := strings.Split(s, "/")
	for i, seg := range segments {
		segments[i], _, _ = strings.Cut(seg, ";")
	}
	return strings.Join(segments, "/")
}

// checkPath refuses gate paths that could never match or would match twice.
func checkPath(s string) error {
	switch {
	case !strings.HasPrefix(s, "/"):
		return errors.New("must begin with a slash")
	case strings.ContainsAny(s, "%;?#\\ \t"):
		return errors.New("must not contain %, ;, ?, #, a backslash or a space")
	case strings.Contains(s, "//"), path.Clean(s) != s && path.Clean(s)+"/" != s:
		return errors.New("must not contain empty or dot segments")
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("must be printable ASCII")
		}
	}
	return nil
}

// rawPath is the path of r as it was sent.
func rawPath(r *http.Request) string {
	if target, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(target, "/") {
		return target
	}
	return r.URL.EscapedPath()
}
