package main

import (
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/sallyport/sallyport/bench/wire"
)

// Configurations of the relays, ours among them.
//
//go:embed conf
var conf embed.FS

var confs = template.Must(template.ParseFS(conf, "conf/*"))

// setting is what configurations differ in.
type setting struct {
	Address, Port     string // where it listens
	Backend           string
	Cert, Key, Both   string // files
	Folder            string // for whatever it writes
	Host              string
	JWKS              string // empty: nobody signs in
	Issuer, Audience  string
	PassMasked        string
	Workers           int
	MaxConns, MaxFile int
}

// configure starts a backend and writes a configuration from a template.
func (l *lab) configure(s *server, r *row, name, passMasked string) (path, folder string, err error) {
	backend, err := l.backend(s)
	if err != nil {
		return "", "", err
	}
	if folder, err = os.MkdirTemp(l.scratch, s.name); err != nil {
		return "", "", err
	}
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return "", "", err
	}
	v := setting{
		Address: s.address, Port: port, Backend: backend, Cert: l.cert, Key: l.key, Both: l.both, Folder: folder, Host: wire.Host,
		Issuer: wire.Issuer, Audience: wire.Audience, PassMasked: passMasked, MaxConns: 9000, MaxFile: 20_000,
	}
	if r.tokens {
		v.JWKS = l.tokens.jwks
	}
	var text strings.Builder
	if err := confs.ExecuteTemplate(&text, name, v); err != nil {
		return "", "", err
	}
	path = filepath.Join(folder, name)
	return path, folder, os.WriteFile(path, []byte(text.String()), 0o600)
}

// relay is ours: the program itself, with a configuration.
func relay(passMasked string) func(l *lab, s *server, r *row) (*exec.Cmd, error) {
	return func(l *lab, s *server, r *row) (*exec.Cmd, error) {
		s.version = l.commit()
		if err := l.buildRelay(); err != nil {
			return nil, err
		}
		path, _, err := l.configure(s, r, "sallyport.yaml", passMasked)
		if err != nil {
			return nil, err
		}
		return exec.Command(l.program("sallyport"), "serve", "--config", path), nil
	}
}

func (l *lab) nginx(s *server, r *row) (*exec.Cmd, error) {
	s.version, s.classical = l.peers.nginx, true
	if s.version == "" {
		return nil, fmt.Errorf("no nginx: apt-get install nginx-light")
	}
	path, folder, err := l.configure(s, r, "nginx.conf", "")
	if err != nil {
		return nil, err
	}
	return exec.Command("nginx", "-p", folder, "-c", path, "-e", filepath.Join(folder, "error.log")), nil
}

func (l *lab) haproxy(s *server, r *row) (*exec.Cmd, error) {
	s.version, s.classical = l.peers.haproxyVersion, true
	if l.peers.haproxy == "" {
		return nil, fmt.Errorf("no HAProxy, and Debian's package cannot be had")
	}
	path, _, err := l.configure(s, r, "haproxy.cfg", "")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(l.peers.haproxy, "-db", "-f", path)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+l.peers.haproxyLibraries)
	return cmd, nil
}

func (l *lab) caddy(s *server, r *row) (*exec.Cmd, error) {
	s.version = caddyVersion
	path, folder, err := l.configure(s, r, "Caddyfile", "")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(l.program("caddy"), "run", "--config", path, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+folder, "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	return cmd, nil
}
