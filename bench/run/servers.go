package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sallyport/sallyport/bench/order"
	"github.com/sallyport/sallyport/bench/proc"
)

// server is one that runs and is measured.
type server struct {
	name    string
	address string // TLS
	control string // of ours
	version string
	dialect string // of messages
	ca      string

	classical bool // it has no X25519MLKEM768

	pid       int // 0: none runs
	client    int // the processor of the load client
	processes []*process
}

// stop ends the server and its backend.
func (s *server) stop() {
	for _, p := range s.processes {
		p.stop()
	}
}

// tree is the server's processes, without the backend.
func (s *server) tree() proc.Tree { return proc.Of(s.pid) }

// target is an order that begins with where to go.
func (s *server) target(path string) *order.Order {
	return &order.Order{Address: s.address, Path: path, CA: s.ca, Dialect: s.dialect}
}

// kinds says how each server is started. Ours by several names differ in their
// engine, or in what they do.
var kinds = map[string]func(l *lab, s *server, r *row) (*exec.Cmd, error){
	"sallyport":              library("sallyport", ""),
	"sallyport-portable":     library("sallyport", "portable"),
	"sallyport-handler":      library("sallyport-handler", ""),
	"gorilla":                library("gorilla", ""),
	"coder":                  library("coder", ""),
	"gws":                    library("gws", ""),
	"gobwas":                 library("gobwas", ""),
	"centrifuge":             library("centrifuge", ""),
	"node":                   (*lab).node,
	"sallyport-relay":        relay(""),
	"sallyport-relay-masked": relay("a benchmark that measures what the checks cost"),
	"nginx":                  (*lab).nginx,
	"haproxy":                (*lab).haproxy,
	"caddy":                  (*lab).caddy,
}

// start starts a server, and a backend if it is a relay.
func (l *lab) start(name string, r *row) (s *server, err error) {
	s = &server{name: name, ca: l.cert, client: anywhere}
	own := anywhere
	if r.pinned && runtime.NumCPU() > 1 {
		own, s.client = 0, 1
	}
	if name == "verify" { // no server at all
		s.version = l.peers.module["github.com/golang-jwt/jwt/v5"]
		return s, nil
	}
	kind := kinds[name]
	if kind == nil {
		return nil, fmt.Errorf("no server %q", name)
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.address, err = l.address(); err != nil {
		return nil, err
	}
	if s.control, err = l.address(); err != nil {
		return nil, err
	}
	cmd, err := kind(l, s, r)
	if err != nil {
		return nil, err
	}
	p, err := spawn(cmd, own)
	if err != nil {
		return nil, err
	}
	s.processes, s.pid = append(s.processes, p), cmd.Process.Pid
	return s, p.await(s.address)
}

// library starts a server of bench/serve.
func library(lib, engine string) func(l *lab, s *server, r *row) (*exec.Cmd, error) {
	return func(l *lab, s *server, r *row) (*exec.Cmd, error) {
		args := []string{"-lib", lib, "-listen", s.address, "-cert", l.cert, "-key", l.key}
		ours := strings.HasPrefix(lib, "sallyport")
		switch {
		case ours:
			s.version = l.commit()
			args = append(args, "-control", s.control)
			if r.tokens {
				args = append(args, "-jwks", l.tokens.jwks)
			}
		default:
			s.version = l.peers.module[modules[lib]]
			if r.verify {
				args = append(args, "-public", l.tokens.public)
			}
		}
		if lib == "centrifuge" {
			s.dialect = "centrifuge"
		}
		cmd := exec.Command(l.program("serve"), args...)
		cmd.Env = os.Environ()
		if engine != "" {
			cmd.Env = append(cmd.Env, "SALLYPORT_ENGINE="+engine)
		}
		return cmd, nil
	}
}

// modules of the libraries, for their versions.
var modules = map[string]string{
	"gorilla":    "github.com/gorilla/websocket",
	"coder":      "github.com/coder/websocket",
	"gws":        "github.com/lxzan/gws",
	"gobwas":     "github.com/gobwas/ws",
	"centrifuge": "github.com/centrifugal/centrifuge",
}

func (l *lab) node(s *server, _ *row) (*exec.Cmd, error) {
	s.version, s.classical = l.peers.node, true
	if l.peers.node == "" {
		return nil, fmt.Errorf("no node")
	}
	script := filepath.Join(l.root, "bench", "peers", "ws.mjs")
	return exec.Command("node", script, "--listen", s.address, "--cert", l.cert, "--key", l.key), nil
}

// backend starts what stands behind a relay, beside the load client.
func (l *lab) backend(s *server) (address string, err error) {
	if address, err = l.address(); err != nil {
		return "", err
	}
	p, err := spawn(exec.Command(l.program("serve"), "-lib", "backend", "-listen", address), s.client)
	if err != nil {
		return "", err
	}
	s.processes = append(s.processes, p)
	return address, p.await(address)
}
