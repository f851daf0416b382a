package config

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/origin"
)

// validate checks what types cannot say. It looks only at keys that have not
// been complained about, so that one mistake is reported once.
func (l *loader) validate() {
	f := l.out
	l.validateTLS()
	l.validateListeners()
	if l.fine("state") && f.State == "" {
		l.fail("state", "there is no directory for state: set state, or $STATE_DIRECTORY; \"memory\" keeps nothing over a restart")
	}
	if l.fine("app") && f.App != "" {
		if u, err := l.parseURL("app", f.App, "http", "https"); err != nil {
			l.fail("app", "%v", err)
		} else if (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
			l.fail("app", "an app is reached at its root: remove the path from the URL")
		}
	}
	l.validateAPI()
	l.validateIdentity()
	l.validateSealing()
	if !l.fine("gates") {
		return
	}
	if len(f.Gates) == 0 {
		l.fail("gates", "there is no gate, so nobody can be admitted. Write\n  gates:\n    - path: /ws\n      to: ws://127.0.0.1:3000\n      origins: [\"https://app.example.com\"]\n      auth: {…}")
	}
	seen := map[string]string{}
	for i := range f.Gates {
		key := fmt.Sprintf("gates[%d]", i)
		if l.fine(key) {
			l.validateGate(&f.Gates[i], key, seen)
		}
	}
}

func (l *loader) validateAPI() {
	p := l.out.API.Prefix
	if !l.fine("api.prefix") {
		return
	}
	switch why := badPath(p); {
	case why != "":
		l.fail("api.prefix", "a path %s", why)
	case p == "/" || strings.HasSuffix(p, "/"):
		l.fail("api.prefix", "the prefix is a path of its own without a slash at its end, as /sallyport")
	case under(p, "/.well-known"):
		l.fail("api.prefix", "/.well-known belongs to the door's keys")
	}
	l.checkOrigins("api.origins", l.out.API.Origins)
}

// checkOrigins asks package origin about each entry, so that each mistake has
// the position of its entry.
func (l *loader) checkOrigins(key string, list []string) {
	l.members(key, func(s string) error {
		_, err := origin.New(origin.Config{Trusted: []string{s}, Dev: l.out.TLS.Dev})
		return pattern(err, s)
	})
}

func (l *loader) checkHosts() {
	l.members("hosts", func(s string) error {
		_, err := origin.New(origin.Config{Hosts: []string{s}, Dev: l.out.TLS.Dev})
		return pattern(err, s)
	})
}

// members applies check to the members of a list that are well-formed.
func (l *loader) members(key string, check func(string) error) {
	n := l.nodes[key]
	if n == nil || !l.fine(key) && n.kind != list {
		return
	}
	for i, item := range n.items {
		member := fmt.Sprintf("%s[%d]", key, i)
		if l.broken[member] || item.kind != scalar {
			continue
		}
		err := check(item.text)
		if err != nil && strings.Contains(item.text, "@") {
			l.text.hide(item.at)
			err = errors.New("there is a user name or password in it, which has no place here")
		}
		if err != nil {
			l.report(item.at, key, "%v", err)
		}
	}
}

// pattern words an error of package origin for a file.
func pattern(err error, s string) error {
	var p *origin.PatternError
	if !errors.As(err, &p) {
		return err
	}
	return fmt.Errorf("%q %s", s, strings.ReplaceAll(p.Why, "with Dev", "with tls.dev"))
}

// claims are what identity.headers can carry.
var claims = []string{"sub", "iss", "session", "scopes", "method"}

// ownHeaders cannot be set from an identity: they frame the request, route it,
// or carry credentials.
var ownHeaders = []string{"Host", "Connection", "Upgrade", "Te", "Trailer", "Transfer-Encoding", "Content-Length", "Keep-Alive",
	"Proxy-Authorization", "Proxy-Connection", "Proxy-Authenticate", "Authorization", "Cookie", "Origin", "Forwarded",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip"}

func (l *loader) validateIdentity() {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(l.out.Identity.Headers)) {
		claim := l.out.Identity.Headers[name]
		key := "identity.headers." + name
		canonical := http.CanonicalHeaderKey(name)
		at := l.keyAt(key)
		switch {
		case !token(name):
			l.report(at, "identity.headers", "not the name of a header")
		case oneOf(canonical, ownHeaders) || strings.HasPrefix(canonical, "Sec-") || strings.HasPrefix(canonical, "Sallyport-"):
			l.report(at, "identity.headers", "%q is not free: it frames the request or carries something else", name)
		case seen[canonical] != "":
			l.report(at, "identity.headers", "%q is the same header as %q", name, seen[canonical])
		case l.fine(key) && !oneOf(claim, claims):
			l.fail(key, "%q is none of %s", claim, strings.Join(claims, ", "))
		}
		seen[canonical] = name
	}
}

func oneOf(s string, list []string) bool {
	for _, v := range list {
		if s == v {
			return true
		}
	}
	return false
}

// token reports whether s is a token of RFC 9110, section 5.6.2.
func token(s string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(marks, c) >= 0) {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// fine reports whether nobody complained about key or what it lies in.
func (l *loader) fine(key string) bool {
	for key != "" {
		if l.broken[key] {
			return false
		}
		key = parent(key)
	}
	return true
}

// parent returns the key that key lies in; "" at the top.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// fail reports a mistake about the value of key or, if it is missing, at the
// key it should stand below.
func (l *loader) fail(key, format string, args ...any) {
	if n := l.nodes[key]; n != nil && n.kind != null {
		l.report(n.at, key, format, args...)
		return
	}
	l.report(l.keyAt(key), key, format, args...)
}

// keyAt returns where key, or the nearest thing around it, is written.
func (l *loader) keyAt(key string) Position {
	for k := key; k != ""; k = parent(k) {
		if n := l.nodes[k+".path"]; n != nil && n.at.Source != "default" {
			return n.at
		}
		if n := l.nodes[k]; n != nil && n.key.Source != "" {
			return n.key
		}
	}
	if len(l.src.Files) > 0 {
		name := l.src.Files[0]
		if name == "-" {
			name = "stdin"
		}
		return Position{Source: name}
	}
	return Position{}
}
