package config

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

func (l *loader) validateGate(g *Gate, key string, seen map[string]string) {
	l.validatePath(g, key, seen)
	l.validateTo(g, key)
	if l.fine(key + ".origins") {
		if len(g.Origins) == 0 && g.Without != "bearer" {
			l.fail(key+".origins", "a gate needs the origins of the pages that may open it: origins: [\"https://app.example.com\"]; for programs alone, without: bearer")
		}
		l.checkOrigins(key+".origins", g.Origins)
	}
	l.validateAuth(g, key)
	l.validateGuard(g, key)
	l.validateSeal(g, key)
	if g.ForwardCredentials && g.Auth.JWT == nil && l.fine(key+".auth") {
		l.fail(key+".forward_credentials", "without auth.jwt there is no verified credential to forward; the application's own cookies and Authorization pass anyway with auth.forward")
	}
	l.reason(key+".dangerously_pass_masked", g.DangerouslyPassMasked)
}

// validatePath checks the path and that no other gate or endpoint has it.
func (l *loader) validatePath(g *Gate, key string, seen map[string]string) {
	p := g.Path
	if !l.fine(key + ".path") {
		return
	}
	prefix := l.out.API.Prefix
	switch why := badPath(p); {
	case l.nodes[key+".path"] == nil:
		l.fail(key+".path", "a gate needs a path: path: /ws, or with a slash at its end for everything below")
		return
	case why != "":
		l.fail(key+".path", "a path %s", why)
		return
	case under(p, "/.well-known"):
		l.fail(key+".path", "/.well-known belongs to the door's keys")
	case l.fine("api.prefix") && badPath(prefix) == "" && under(p, prefix):
		l.fail(key+".path", "the path lies under api.prefix (%s), where the door's own endpoints are", prefix)
	}
	if p == "/" && l.out.App != "" {
		l.fail(key+".path", "the gate covers every path, so that app (%s) would get nothing: give the gate a path of its own", redact(l.out.App))
	}
	lower := strings.ToLower(p)
	switch old, ok := seen[lower]; {
	case ok && old == p:
		l.fail(key+".path", "two gates have the path %q", p)
	case ok:
		l.fail(key+".path", "%q and %q differ by upper and lower case only", old, p)
	default:
		seen[lower] = p
	}
}

// badPath continues the sentence "a path …" if p is not canonical.
func badPath(p string) string {
	switch {
	case !strings.HasPrefix(p, "/"):
		return "begins with a slash"
	case len(p) > 512:
		return "has at most 512 bytes"
	case strings.Contains(p, "%"):
		return "is written decoded and has no percent sign"
	case strings.ContainsAny(p, "?#"):
		return "has no query and no fragment"
	case strings.ContainsAny(p, ";\\*{}"):
		return "has none of ; \\ * { }"
	case strings.Contains(p, "//"):
		return "has no empty segment (//)"
	}
	for i := range len(p) {
		if p[i] <= ' ' || p[i] > '~' {
			return "has visible ASCII characters only"
		}
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return "has no segment . or .."
		}
	}
	return ""
}

// under reports whether p is base or lies below it, in any case.
func under(p, base string) bool {
	p, base = strings.ToLower(p), strings.ToLower(base)
	return p == base || strings.HasPrefix(p, base+"/")
}

func (l *loader) validateTo(g *Gate, key string) {
	to := key + ".to"
	if !l.fine(to) {
		return
	}
	if g.To == "" {
		if l.line {
			l.report(Position{Source: "flag --to"}, to, "the backend is missing: --to ws://127.0.0.1:3000")
		} else {
			l.fail(to, "a gate needs a backend: to: ws://127.0.0.1:3000")
		}
		return
	}
	secure := false
	if rest, ok := strings.CutPrefix(g.To, "unix:"); ok {
		socket, path, more := strings.Cut(rest, ":")
		if why := badSocket(socket); why != "" {
			l.fail(to, "%s, or unix:/run/app.sock:/path", why)
		} else if more && badPath(path) != "" {
			l.fail(to, "a path %s", badPath(path))
		}
	} else {
		u, err := l.parseURL(to, g.To, "ws", "wss")
		if err != nil {
			l.fail(to, "%v", err)
			return
		}
		if u.RawQuery != "" {
			l.fail(to, "a backend has no query string; the visitor's own passes")
		}
		secure = u.Scheme == "wss"
	}
	l.validateBackend(&g.Backend, key+".backend", secure)
}

func (l *loader) validateBackend(b *Backend, key string, secure bool) {
	skip := key + ".dangerously_skip_verify"
	l.reason(skip, b.DangerouslySkipVerify)
	for _, k := range []string{key + ".ca", key + ".server_name", skip} {
		if l.nodes[k] != nil && !secure && l.fine(k) {
			l.fail(k, "the setting is for wss:// backends only: remove it, or reach the backend by wss://")
		}
	}
	if l.nodes[key+".ca"] != nil && b.DangerouslySkipVerify != "" {
		l.fail(skip, "an authority and no verification exclude each other: remove one")
	}
	if b.ServerName != "" && (!hostName(b.ServerName)) {
		l.fail(key+".server_name", "%q is not a host name", b.ServerName)
	}
	if l.fine(key+".ca") && l.nodes[key+".ca"] != nil {
		pem, err := readReferenced(b.CA, false)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s has no PEM certificate", b.CA)
		}
		if err != nil {
			l.fail(key+".ca", "%v", err)
		}
	}
}

func (l *loader) validateGuard(g *Gate, key string) {
	key += ".guard"
	c := &g.Guard
	if l.fine(key+".idle") && l.fine(key+".ping") && c.Ping >= c.Idle {
		l.failPair(key, "ping", "idle", "ping (%s) must be shorter than idle (%s)", l.given(key+".ping", formatDuration(c.Ping)), l.given(key+".idle", formatDuration(c.Idle)))
	}
	if l.fine(key+".idle") && l.fine(key+".pong_wait") && c.PongWait >= c.Idle {
		l.failPair(key, "pong_wait", "idle", "pong_wait (%s) must be shorter than idle (%s)", l.given(key+".pong_wait", formatDuration(c.PongWait)), l.given(key+".idle", formatDuration(c.Idle)))
	}
	if buffered := l.out.Limits.Buffered; l.fine("limits.buffered") && l.fine(key+".max_message") && c.MaxMessage > buffered {
		l.failPair("", key+".max_message", "limits.buffered", "max_message (%s) must not exceed limits.buffered (%s)", l.given(key+".max_message", c.MaxMessage.String()), l.given("limits.buffered", buffered.String()))
	}
}

// given is the value of key for a message: a person looks in vain for one that
// nobody wrote.
func (l *loader) given(key, value string) string {
	if l.isDefault(key) {
		return value + ", the default"
	}
	return value
}

// failPair reports at whichever of two keys was written.
func (l *loader) failPair(prefix, a, b, format string, args ...any) {
	if a = join(prefix, a); l.isDefault(a) {
		a = join(prefix, b)
	}
	l.fail(a, format, args...)
}

// reason wants a sentence from whoever opts out of something.
func (l *loader) reason(key, text string) {
	if l.nodes[key] == nil || !l.fine(key) {
		return
	}
	if len(text) < 10 || len(text) > 300 || !strings.Contains(strings.TrimSpace(text), " ") {
		name := key[strings.LastIndexByte(key, '.')+1:]
		l.fail(key, "%s takes the reason as its value, a sentence of 10 to 300 bytes that reviewers will read: %s: \"…\"", name, name)
	}
}

// parseURL accepts an absolute URL of one of the schemes without what does not
// belong there. Its errors never repeat s, which may hold a password.
func (l *loader) parseURL(key, s string, schemes ...string) (*url.URL, error) {
	examples := strings.Join(schemes, ":// or ") + "://"
	scheme, rest, ok := strings.Cut(s, "://")
	authority, _, _ := strings.Cut(rest, "/")
	if strings.Contains(authority, "@") {
		if n := l.nodes[key]; n != nil {
			l.text.hide(n.at)
		}
		return nil, fmt.Errorf("the URL has a user name or password in it: credentials do not belong into URLs")
	}
	if !ok || !oneOf(scheme, schemes) {
		if ok && token(scheme) {
			twin := map[string]string{"http": "ws", "https": "wss", "ws": "http", "wss": "https"}[strings.ToLower(scheme)]
			if oneOf(twin, schemes) {
				return nil, fmt.Errorf("%s:// is not accepted here, did you mean %s://?", scheme, twin)
			}
		}
		return nil, fmt.Errorf("not a URL that begins with %s", examples)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '\\' {
			return nil, fmt.Errorf("the URL has a space, backslash or non-ASCII character")
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil {
		return nil, fmt.Errorf("not a well-formed URL")
	}
	if strings.Contains(s, "#") {
		return nil, fmt.Errorf("the URL has a fragment (#…), which no server sees")
	}
	if !hostName(u.Hostname()) {
		return nil, fmt.Errorf("the URL has no valid host")
	}
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" && !validPort(u.Port()) {
		return nil, fmt.Errorf("the URL has no valid port")
	}
	if linkLocal(u.Hostname()) {
		return nil, fmt.Errorf("the URL names a link-local or metadata address, where machines keep their own credentials")
	}
	if l.itself(u) {
		return nil, fmt.Errorf("the URL is that of the door itself (listen: %s)", l.out.Listen)
	}
	return u, nil
}

func validPort(s string) bool {
	n, err := parseDigits(s)
	return err == nil && n > 0 && n < 65536
}

// hostName accepts names of letters, digits, hyphens, underscores and dots, and addresses.
func hostName(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func linkLocal(host string) bool {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(strings.TrimSuffix(host, "."), "metadata.google.internal")
	}
	a = a.Unmap()
	return a.IsLinkLocalUnicast() || a.IsMulticast() || a == netip.MustParseAddr("fd00:ec2::254")
}

// itself reports whether u leads back to the public listener.
func (l *loader) itself(u *url.URL) bool {
	host, port, err := splitHostPort(l.out.Listen)
	if err != nil || !l.fine("listen") {
		return false
	}
	want := u.Port()
	if want == "" {
		want = map[string]string{"ws": "80", "http": "80", "wss": "443", "https": "443"}[u.Scheme]
	}
	return want == fmt.Sprint(port) && (strings.EqualFold(host, u.Hostname()) || loopback(u.Hostname()) && (wildcard(host) || loopback(host)))
}
