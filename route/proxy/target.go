package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// target is a backend's address, fixed when the program starts.
type target struct {
	network, address string // for net.Dial
	tls              bool
	host             string // as it stands in a Host header
	name             string // as it stands in a certificate
	base             string // begins with a slash and does not end in one, or is empty
}

func parseTarget(s, plain, secure string) (target, error) {
	bad := func(why string) (target, error) {
		return target{}, fmt.Errorf("backend %q: %s; write %s://host:port, %s://host:port or unix:/path/to.sock", s, why, plain, secure)
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path, base, _ := strings.Cut(path, ":/")
		switch {
		case !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//"):
			return bad("the socket needs an absolute path")
		case len(path) > 107: // sun_path
			return bad("the path of a socket has at most 107 bytes")
		}
		t := target{network: "unix", address: path, host: "localhost", base: "/" + base}
		return t.withBase(bad)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || !visible(s):
		return bad("not a URL")
	case u.Scheme != plain && u.Scheme != secure:
		return bad("the scheme is not known")
	case u.User != nil:
		return bad("a password does not belong there")
	case u.Hostname() == "" || u.Opaque != "" || !validHost(u.Host):
		return bad("there is no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return bad("a query or fragment does not belong there")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{plain: "80", secure: "443"}[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strings.HasSuffix(u.Host, ":") {
		return bad("the port is not one")
	}
	host := u.Host
	name, zone, _ := strings.Cut(u.Hostname(), "%")
	if zone != "" { // a zone means nothing to anybody else
		host = "[" + name + "]"
		if u.Port() != "" {
			host += ":" + port
		}
	}
	t := target{network: "tcp", address: net.JoinHostPort(u.Hostname(), port), tls: u.Scheme == secure, host: host, name: name, base: u.EscapedPath()}
	return t.withBase(bad)
}

func (t target) withBase(bad func(string) (target, error)) (target, error) {
	t.base = strings.TrimRight(t.base, "/")
	if !visible(t.base) || strings.Contains(t.base, "//") || strings.ContainsAny(t.base, "?#\\") {
		return bad("the path is not one")
	}
	return t, nil
}

var errTarget = errors.New("the request target is not a path")

// path is the raw path and the raw query that a request asks the backend for,
// the client's behind the base.
func (t target) path(r *http.Request) (path, query string, hasQuery bool, err error) {
	uri := r.RequestURI
	if !strings.HasPrefix(uri, "/") { // absolute-form, or made by a program
		uri = r.URL.EscapedPath()
		if r.URL.RawQuery != "" || r.URL.ForceQuery {
			uri += "?" + r.URL.RawQuery
		}
	}
	path, query, hasQuery = strings.Cut(uri, "?")
	if !strings.HasPrefix(path, "/") || !visible(uri) || strings.Contains(uri, "#") {
		return "", "", false, errTarget
	}
	return t.base + path, query, hasQuery, nil
}

// visible reports whether s is visible ASCII: no space, no control character,
// nothing that somebody might decode.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// validHost keeps out what could end a line or be read as another part of a URL.
func validHost(s string) bool {
	return s != "" && visible(s) && !strings.ContainsAny(s, "/\\?#@,\"<>^{|}`")
}
