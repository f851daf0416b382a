package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// maxSocketPath is the longest name of a unix socket that all systems take, in bytes.
const maxSocketPath = 103

func (l *loader) validateListeners() {
	f := l.out
	if l.fine("listen") {
		if path, ok := strings.CutPrefix(f.Listen, "unix:"); ok {
			if why := badSocket(path); why != "" {
				l.fail("listen", "%s", why)
			} else if l.fine("tls.terminated_by") && !f.TLS.TerminatedBy.Unix {
				l.fail("listen", "a unix socket takes plaintext, so tls.terminated_by must name unix")
			}
		} else if why := badAddress(f.Listen, true); why != "" {
			l.fail("listen", "%s", why)
		}
	}
	if l.fine("health") && f.Health != "off" {
		if why := badAddress(f.Health, false); why != "" {
			l.fail("health", "%s, or off", why)
		}
	}
	l.validateAdmin()
	l.distinct("health", f.Health, "listen", f.Listen)
	l.distinct("admin.listen", f.Admin.Listen, "listen", f.Listen)
	l.distinct("admin.listen", f.Admin.Listen, "health", f.Health)
}

func (l *loader) validateAdmin() {
	a := &l.out.Admin
	if !l.fine("admin.listen") || !l.fine("admin.token") {
		return
	}
	path, socket := strings.CutPrefix(a.Listen, "unix:")
	switch {
	case a.Listen == "unix" || a.Listen == "off" || socket:
		if socket && badSocket(path) != "" {
			l.fail("admin.listen", "%s", badSocket(path))
		}
		if !a.Token.IsZero() {
			l.fail("admin.token", "a token is for TCP only; who may open the socket is decided by its mode: remove the key")
		}
		return
	case badAddress(a.Listen, false) != "":
		l.fail("admin.listen", "%s, or unix, unix:/path, off", badAddress(a.Listen, false))
		return
	case a.Token.IsZero():
		l.fail("admin.token", "the administrator's API over TCP needs a token: admin: {listen: %q, token: file:/path}, or admin: unix", a.Listen)
		return
	}
	token, err := a.Token.Read()
	if err == nil {
		err = strongToken(string(token))
	}
	if err != nil {
		l.fail("admin.token", "%v", err)
	}
}

// strongToken refuses a token that cannot hold 256 bits, or not travel in an
// Authorization header (RFC 6750, section 2.1).
func strongToken(s string) error {
	const hex, base64 = "0123456789abcdefABCDEF", "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ-_+/.~"
	body := strings.TrimRight(s, "=")
	switch {
	case strings.Trim(body, hex+base64) != "":
		return fmt.Errorf("the token has characters that no Authorization header carries: use base64url or hexadecimal digits")
	case strings.Trim(body, hex) == "" && len(body) < 64, len(body) < 43:
		return fmt.Errorf("the token has less than 256 bits: 64 hexadecimal digits or 43 characters of base64url are needed, made by \"openssl rand -hex 32\"")
	case strings.Count(body, body[:1]) == len(body):
		return fmt.Errorf("the token is one character repeated")
	}
	return nil
}

// distinct refuses two listeners on one address.
func (l *loader) distinct(key, address, otherKey, other string) {
	host, port, err := splitHostPort(address)
	otherHost, otherPort, otherErr := splitHostPort(other)
	if err != nil || otherErr != nil || port == 0 || port != otherPort || !l.fine(key) || !l.fine(otherKey) {
		return
	}
	if host == otherHost || wildcard(host) || wildcard(otherHost) || loopback(host) && loopback(otherHost) {
		l.fail(key, "the port is that of %s (%s)", otherKey, other)
	}
}

func wildcard(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// badAddress says what is wrong with host:port. Only the public listener may
// leave out the host.
func badAddress(s string, public bool) string {
	host, _, err := splitHostPort(s)
	switch {
	case err != nil && strings.Trim(s, "0123456789") == "" && s != "":
		return fmt.Sprintf("%q is a port alone: write \":%s\" or \"127.0.0.1:%s\"", s, s, s)
	case err != nil:
		return fmt.Sprintf("%q is not host:port (examples: 127.0.0.1:9090, [::1]:9090)", s)
	case host == "" && !public:
		return fmt.Sprintf("%q listens on every address: name one, such as 127.0.0.1%s", s, s)
	}
	return ""
}

// badSocket says what is wrong with the path of a unix socket.
func badSocket(path string) string {
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path:
		return "a socket is unix: and an absolute path, as unix:/run/app.sock"
	case len(path) > maxSocketPath:
		return fmt.Sprintf("the path of a socket has at most %d bytes", maxSocketPath)
	}
	return ""
}
