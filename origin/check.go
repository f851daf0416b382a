package origin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/deny"
)

// ticketPrefix begins the subprotocol in which a ticket travels; package auth
// has the same constant for the tickets themselves.
const ticketPrefix = "sallyport.ticket."

// CheckHandshake decides whether a WebSocket handshake comes from a trusted
// place. It returns the origin in canonical form, or [None] for a handshake
// without Origin that [AllowBearer] admits.
//
// Sec-Fetch-Mode, where a browser sends it, must be "websocket": a page's fetch
// does not open sockets. Sec-Fetch-Site is not judged, the list is.
// [Policy.CheckHost] is to be asked as well.
//
// The error is a denial with deny.OriginUntrusted, or deny.HTTPMalformed if
// there are two lines of one of these headers.
func (p *Policy) CheckHandshake(r *http.Request) (origin string, err error) {
	mode, present, err := single(r.Header, "Sec-Fetch-Mode")
	if err != nil {
		return "", err
	}
	if present && mode != "websocket" {
		return "", untrusted("fetch mode is %s, not websocket", quote(mode))
	}
	origin, present, err = single(r.Header, "Origin")
	if err != nil {
		return "", err
	}
	if present {
		return p.judge(origin)
	}
	if p.without != AllowBearer {
		return "", untrusted("no origin")
	}
	if bearerOnly(r.Header) || offersTicket(r.Header) && !cookies(r.Header) {
		return None, nil
	}
	return "", untrusted("no origin, and neither a bearer nor a ticket without cookies")
}

// CheckRequest does the same for an ordinary HTTP request on a gate's path. One
// without Origin passes, as [None], iff the browser says that it comes from a
// page of the very origin it asks (Sec-Fetch-Site: same-origin), or if its only
// credential is an Authorization header as under [AllowBearer]; the rule for
// handshakes, Config.Without, does not matter here. Of the same origin is what
// was reached under the same name, so [Policy.CheckHost] must be asked first.
func (p *Policy) CheckRequest(r *http.Request) (origin string, err error) {
	site, _, err := single(r.Header, "Sec-Fetch-Site")
	if err != nil {
		return "", err
	}
	origin, present, err := single(r.Header, "Origin")
	if err != nil {
		return "", err
	}
	if present {
		return p.judge(origin)
	}
	if site == "same-origin" || bearerOnly(r.Header) {
		return None, nil
	}
	return "", untrusted("no origin, and neither of the same origin nor with a bearer as the only credential")
}

func (p *Policy) judge(origin string) (string, error) {
	if !p.Trusts(origin) {
		return "", untrusted("origin %s is not trusted", quote(origin))
	}
	return origin, nil // Parse accepts canonical forms only
}

func untrusted(format string, args ...any) error {
	return deny.Because(deny.OriginUntrusted, fmt.Errorf(format, args...))
}

// single returns the only line of a header. An empty line is present.
func single(h http.Header, name string) (value string, present bool, err error) {
	switch lines := h.Values(name); len(lines) {
	case 0:
		return "", false, nil
	case 1:
		return lines[0], true, nil
	}
	return "", true, deny.Because(deny.HTTPMalformed, errors.New("more than one line of "+name))
}

// bearerOnly reports whether the one Authorization header is a token that a
// program attached, and no cookie and no ticket is there beside it.
func bearerOnly(h http.Header) bool {
	value, present, err := single(h, "Authorization")
	if err != nil || !present || cookies(h) || offersTicket(h) {
		return false
	}
	scheme, token, _ := strings.Cut(value, " ")
	switch lower(scheme) { // the schemes that no browser speaks by itself
	case "bearer", "dpop":
		return strings.Trim(token, " \t") != ""
	}
	return false
}

func cookies(h http.Header) bool { return len(h.Values("Cookie")) > 0 }

// offersTicket does not count tickets: several credentials are refused by auth.
func offersTicket(h http.Header) bool {
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for token := range strings.SplitSeq(line, ",") {
			if t, ok := strings.CutPrefix(strings.Trim(token, " \t"), ticketPrefix); ok && t != "" {
				return true
			}
		}
	}
	return false
}
