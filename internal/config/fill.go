package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// fill sets the defaults that depend on other settings.
func (l *loader) fill() {
	f := l.out
	if f.TLS.Dev {
		if l.isDefault("listen") {
			f.Listen = "127.0.0.1:8443"
			l.derive("listen", "default with tls.dev")
		}
		if l.nodes["hosts"] == nil {
			f.Hosts = []string{"localhost", "*.localhost", "127.0.0.1", "[::1]"}
			l.derive("hosts", "default with tls.dev")
		}
	}
	if l.nodes["trusted_proxies"] == nil && !f.TLS.TerminatedBy.Empty() {
		f.TrustedProxies = f.TLS.TerminatedBy
		l.derive("trusted_proxies", "default from tls.terminated_by")
	}
	if l.nodes["state"] == nil {
		l.stateDir()
	}
	if l.nodes["sealing.dir"] == nil && f.State != "" && !f.InMemory() {
		f.Sealing.Dir = filepath.Join(f.State, "seal")
		l.derive("sealing.dir", "default in state")
	}
	for i := range f.Gates {
		l.fillGate(&f.Gates[i], fmt.Sprintf("gates[%d]", i))
	}
	l.fillGate(&f.Defaults, "defaults")
}

func (l *loader) fillGate(g *Gate, key string) {
	if j := g.Auth.JWT; j != nil && l.nodes[key+".auth.jwt.algs"] == nil {
		j.Algs = []string{"ES256", "EdDSA", "PS256", "RS256"}
		if !j.Secret.IsZero() {
			j.Algs = []string{"HS256"}
		}
		l.derive(key+".auth.jwt.algs", "default")
	}
}

// DefaultState is the directory that the service manager or the desktop assigns,
// as getenv tells, and what said so. Both are empty if nothing does.
func DefaultState(getenv func(string) string) (dir, from string) {
	if v := getenv("STATE_DIRECTORY"); v != "" {
		dir, _, _ = strings.Cut(v, ":")
		return filepath.Clean(dir), "env STATE_DIRECTORY"
	}
	if v := getenv("XDG_STATE_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "sallyport"), "env XDG_STATE_HOME"
	}
	if v := getenv("HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, ".local", "state", "sallyport"), "env HOME"
	}
	return "", ""
}

// stateDir finds the directory if the configuration does not name one.
func (l *loader) stateDir() {
	dir, from := DefaultState(func(name string) string { return l.env[name] })
	if dir == "" {
		return // validate says so
	}
	l.out.State = dir
	l.derive("state", from)
}

func (l *loader) isDefault(key string) bool {
	n := l.nodes[key]
	return n != nil && n.at.Source == "default"
}

func (l *loader) derive(key, source string) {
	at := Position{Source: source}
	l.nodes[key] = &node{kind: scalar, at: at, key: at}
}
