// Command serve is every Go server of the benchmark, one chosen by -lib, over
// TLS 1.3: ours, and those of other libraries, each set up as its documentation
// says. All have three paths:
//
//	/echo     sends each message back
//	/feed     subscribes
//	/publish  sends each message to all subscribers
package main

import (
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bench/wire"
)

// site is what all servers share.
type site struct {
	lib      string
	listener net.Listener
	cert     string // files
	key      string
	jwks     string // file; empty: nobody signs in
	public   string // file with the public key of the tokens; empty: nobody signs in
	control  string // address; empty: none
	engine   string
}

// servers by the name of -lib. They return when they fail.
var servers = map[string]func(*site) error{
	"sallyport":         (*site).sallyport,
	"sallyport-handler": (*site).sallyport,
	"gorilla":           func(s *site) error { return s.serve(s.gorilla()) },
	"coder":             func(s *site) error { return s.serve(s.coder()) },
	"gws":               func(s *site) error { return s.serve(s.gws()) },
	"gobwas":            (*site).gobwas,
	"centrifuge":        (*site).centrifuge,
	"backend":           (*site).backend,
}

func main() {
	s := &site{}
	names := []string{}
	for name := range servers {
		names = append(names, name)
	}
	slices.Sort(names)
	flag.StringVar(&s.lib, "lib", "", "one of "+strings.Join(names, ", "))
	address := flag.String("listen", "127.0.0.1:0", "address")
	flag.StringVar(&s.cert, "cert", "", "certificate file")
	flag.StringVar(&s.key, "key", "", "key file")
	flag.StringVar(&s.jwks, "jwks", "", "key set file: ask for tokens (sallyport)")
	flag.StringVar(&s.public, "public", "", "public key file: ask for tokens (gorilla)")
	flag.StringVar(&s.control, "control", "", "address of the control, which revokes (sallyport)")
	flag.Parse()
	s.engine = os.Getenv("SALLYPORT_ENGINE")
	start, ok := servers[s.lib]
	if !ok {
		log.Fatalf("serve: no library %q", s.lib)
	}
	var err error
	if s.listener, err = net.Listen("tcp", *address); err == nil {
		err = start(s)
	}
	log.Fatalf("serve: %s: %v", s.lib, err)
}

// tls is what the peers' servers use: the defaults of crypto/tls, TLS 1.3 only.
func (s *site) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}, nil
}

// serve is net/http over TLS, which most libraries live in.
func (s *site) serve(h http.Handler) error {
	config, err := s.tls()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)} // clients of a benchmark reset
	return server.Serve(tls.NewListener(s.listener, config))
}

// fromPage reports whether a request comes from the page that all servers trust.
func fromPage(r *http.Request) bool {
	return r.Header.Get("Origin") == "https://"+wire.Host
}
