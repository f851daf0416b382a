// Package cookie reads and writes "__Host-" session cookies.
//
// It stops cookie tossing: a sibling subdomain, or a plaintext page, plants a
// cookie of the same name for the whole domain, and a server that takes the
// first one, or that is lenient about case and white space, runs the visitor's
// requests in the attacker's session. Browsers accept the prefix "__Host-" only
// from the host itself, over TLS, for the path "/" and without Domain (RFC 6265bis,
// section 4.1.3.2). Here the name is compared byte for byte, and a request with
// anything that another parser might take for the same cookie is refused.
//
// Cookies are always Secure, HttpOnly and SameSite, Strict unless Lax is asked
// for. SameSite does not stop pages of sibling subdomains: package origin does.
//
// Name and value are at most 4096 bytes together, the Cookie lines of a request
// 64 KiB.
package cookie

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Prefix begins the name of every cookie of this package.
const Prefix = "__Host-"

const (
	maxPair  = 4096     // name and value, in bytes: browsers drop longer ones (RFC 6265bis)
	maxLines = 64 << 10 // all Cookie lines of a request, in bytes
	maxAge   = 400 * 24 * time.Hour
)

var (
	// ErrNone says that the request has no such cookie.
	ErrNone = errors.New("no such cookie")
	// ErrAmbiguous says that the cookie is there twice, or beside one that
	// somebody could take for it.
	ErrAmbiguous = errors.New("cookie is doubled or shadowed")
	// ErrMalformed says that the value, or the length, is not what Set writes.
	ErrMalformed = errors.New("cookie is malformed")
)

// CheckName refuses names that do not begin with [Prefix], or have nothing or
// other bytes than letters, digits, "-", "_" and "." after it.
func CheckName(name string) error {
	base, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return fmt.Errorf("cookie name %q does not begin with %s", name, Prefix)
	}
	if base == "" || len(name) > 64 || fold(base) != strings.ToLower(base) {
		return fmt.Errorf("cookie name %q needs 1 to %d letters, digits, hyphens, dots or underscores after %s", name, 64-len(Prefix), Prefix)
	}
	return nil
}

// Set adds the cookie to the response, in place of an earlier one of the name.
// maxAge is rounded up to a second and cut at 400 days; without one (≤ 0) the
// cookie ends with the browser's session. sameSite is Strict unless it is Lax.
// Set panics on a name that CheckName refuses and on values that are not plain
// cookie octets or too long: both are ours, not the peer's.
func Set(w http.ResponseWriter, name, value string, maxAge time.Duration, sameSite http.SameSite) {
	age := ""
	if maxAge > 0 {
		age = "; Max-Age=" + strconv.FormatInt(int64(seconds(maxAge)), 10)
	}
	put(w.Header(), name, value, age, sameSite)
}

// Clear makes the browser forget the cookie. It panics like Set.
func Clear(w http.ResponseWriter, name string) {
	put(w.Header(), name, "", "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT", http.SameSiteStrictMode)
}

func seconds(d time.Duration) time.Duration {
	return (min(d, maxAge) + time.Second - 1) / time.Second
}

func put(h http.Header, name, value, age string, sameSite http.SameSite) {
	if err := CheckName(name); err != nil {
		panic("cookie: " + err.Error())
	}
	if !validValue(value) || len(name)+len(value) > maxPair {
		panic("cookie: value of " + name + " has bytes that no cookie may have, or too many")
	}
	line := name + "=" + value + "; Path=/" + age + "; Secure; HttpOnly; SameSite=Strict"
	if sameSite == http.SameSiteLaxMode {
		line = strings.TrimSuffix(line, "Strict") + "Lax"
	}
	var kept []string // a new slice: h may share the old one
	for _, other := range h["Set-Cookie"] {
		if !strings.HasPrefix(other, name+"=") {
			kept = append(kept, other)
		}
	}
	h["Set-Cookie"] = append(kept, line)
}

// validValue knows the cookie octets of RFC 6265, section 4.1.1.
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == ',' || c == ';' || c == '\\' {
			return false
		}
	}
	return true
}
