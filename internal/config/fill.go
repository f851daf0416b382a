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

// stateDir finds the directory that the service manager or the desktop assigns.
func (l *loader) stateDir() {
	dir, from := "", ""
	if v := l.env["STATE_DIRECTORY"]; v != "" {
		dir, _, _ = strings.Cut(v, ":")
		from = "env STATE_DIRECTORY"
	} else if v := l.env["XDG_STATE_HOME"]; filepath.IsAbs(v) {
		dir, from = filepath.Join(v, "sallyport"), "env XDG_STATE_HOME"
	} else if v := l.env["HOME"]; filepath.IsAbs(v) {
		dir, from = filepath.Join(v, ".local", "state", "sallyport"), "env HOME"
	}
	if dir == "" {
		return // validate says so
	}
	l.out.State = filepath.Clean(dir)
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
