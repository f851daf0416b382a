package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Warnings returns one sentence for every choice of the operator that makes the
// door weaker than its defaults. They are to be logged at start and shown in
// GET /config.
func (f *File) Warnings() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if f.TLS.Dev {
		add("tls.dev: a certificate of the local development authority; not for production")
	}
	if !f.TLS.TerminatedBy.Empty() {
		add("tls.terminated_by: plaintext is accepted from %s; whoever controls these peers reads and changes everything", strings.Join(f.TLS.TerminatedBy.Strings(), ", "))
	}
	if f.TLS.MinVersion == "1.2" {
		add("tls.min_version: TLS 1.2 is accepted")
	}
	if f.InMemory() {
		add("state: memory: a restart un-revokes everything and ends all sessions")
	}
	if f.Health != "off" && !loopback(f.Health) {
		add("health: %s is not loopback; /metrics has no authentication", f.Health)
	}
	if a := f.Admin.Listen; a == "off" {
		add("admin.listen: off: connections cannot be listed or revoked from outside")
	} else if !strings.HasPrefix(a, "unix") && !loopback(a) {
		add("admin.listen: %s is not loopback, and the token travels without TLS", a)
	}
	if f.App != "" && plainRemote(f.App) {
		add("app: %s is reached without TLS", redact(f.App))
	}
	for _, g := range f.Gates {
		for _, w := range g.warnings() {
			add("gate %s: %s", g.Path, w)
		}
	}
	return out
}

func (g *Gate) warnings() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if g.Auth.Anonymous != "" {
		add("auth.anonymous: %s", g.Auth.Anonymous)
	}
	if plainRemote(g.To) {
		add("to: %s is reached without TLS", redact(g.To))
	}
	if f := g.Auth.Forward; f != nil && plainRemote(f.URL) {
		add("auth.forward.url: %s is reached without TLS, with the visitor's cookies", redact(f.URL))
	}
	if g.Stream {
		add("stream: the backend sees the beginnings of messages that turn out to be too big")
	}
	if g.ForwardCredentials {
		add("forward_credentials: the backend gets the visitor's bearer token")
	}
	if g.Seal == "required" && !g.RequireBound {
		add("require_bound: false: whoever ends TLS in between can use the credentials that it sees elsewhere")
	}
	if g.DangerouslyPassMasked != "" {
		add("dangerously_pass_masked: %s", g.DangerouslyPassMasked)
	}
	if g.Backend.DangerouslySkipVerify != "" {
		add("backend.dangerously_skip_verify: %s", g.Backend.DangerouslySkipVerify)
	}
	return out
}

// loopback reports whether host:port, or a host alone, cannot be reached from
// another machine.
func loopback(address string) bool {
	host := address
	if h, _, err := splitHostPort(address); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// plainRemote reports whether a URL goes to another machine without TLS.
func plainRemote(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "ws") && !loopback(u.Hostname())
}

// redact hides the query string of a URL, where credentials like to be.
func redact(s string) string {
	head, _, found := strings.Cut(s, "?")
	if found {
		return head + "?***"
	}
	return head
}
