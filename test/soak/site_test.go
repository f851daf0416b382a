package soak

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/route/proxy"
	"github.com/sallyport/sallyport/test/soak/wire"
	"github.com/sallyport/sallyport/wss"
)

const (
	page = "https://app.test"
	host = "localhost"
)

// named admits whoever says a name in a bearer token, and for how long:
// "ada;5s". A name is also the credential.
type named struct{}

func (named) Authenticate(_ context.Context, r *http.Request) (auth.Identity, error) {
	token, ok := auth.BearerFrom(r)
	if !ok {
		return auth.Identity{}, auth.ErrNoCredentials
	}
	name, life, _ := strings.Cut(token, ";")
	d, err := time.ParseDuration(life)
	if err != nil {
		return auth.Identity{}, deny.Because(deny.AuthInvalid, err)
	}
	return identity(name, d), nil
}

func identity(name string, life time.Duration) auth.Identity {
	now := time.Now()
	return auth.Identity{Issuer: "soak", Subject: name, Credential: name, Method: "soak", IssuedAt: now, Expires: now.Add(life)}
}

func (named) Judge(id auth.Identity) error {
	if id.Method != "soak" {
		return auth.ErrNoCredentials
	}
	return nil
}

// site is a whole door on loopback.
type site struct {
	door    *sallyport.Door
	tickets *ticket.Tickets
	addr    string
	roots   *x509.CertPool
	n       atomic.Int64 // connections so far: names and addresses of clients
	ends    sync.Map     // subject → chan sallyport.Event, until it has ended
}

// newSite serves until the test ends, and wants nothing to be left then.
func newSite(t *testing.T, engine sallyport.Engine) *site {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	before := measure()
	s := &site{roots: x509.NewCertPool()}
	var serving sync.WaitGroup

	good, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	serving.Go(func() { accept(good, &serving, wire.Backend) })
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	serving.Go(func() { accept(mute, &serving, func(c *net.TCPConn) { io.Copy(io.Discard, c) }) })
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	must(gone.Close())

	to := func(l net.Listener) sallyport.Route {
		p, err := proxy.New(proxy.Config{To: "ws://" + l.Addr().String(), HandshakeTimeout: 2 * time.Second})
		must(err)
		return p
	}
	s.tickets, err = ticket.New(ticket.Config{})
	must(err)
	plenty := guard.Config{Messages: 1_000_000, Bytes: 1 << 40}
	quick, slow := plenty, plenty
	quick.Ping, quick.PongWait = time.Second, time.Second
	slow.WriteWait = time.Second
	s.door, err = sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{page}, Hosts: []string{host}},
		Auth:   auth.First(s.tickets, named{}), Guard: plenty, Tickets: s.tickets, Engine: engine,
		Limits: guard.Limits{PerAddress: 1 << 20, Refusals: 1 << 16},
		Gates: []sallyport.Gate{
			{Path: "/ws", Route: to(good)},
			{Path: "/http", Route: to(good), Refuse: sallyport.RefuseHTTP},
			{Path: "/quick", Route: to(good), Guard: &quick},
			{Path: "/slow", Route: to(good), Guard: &slow},
			{Path: "/mute", Route: to(mute)},
			{Path: "/gone", Route: to(gone)},
		},
		Observe: func(e sallyport.Event) {
			if e.Kind == sallyport.Ended {
				if ch, ok := s.ends.LoadAndDelete(e.Identity.Subject); ok {
					ch.(chan sallyport.Event) <- e
				}
			}
		},
	})
	must(err)

	ca, err := wss.OpenDevCA(t.TempDir())
	must(err)
	s.roots.AppendCertsFromPEM(ca.CertPEM())
	certs, err := ca.For(host)
	must(err)
	profile, err := wss.TLSConfig(wss.Config{Certificates: certs})
	must(err)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s.addr = inner.Addr().String()
	l := wss.Listen(inner, wss.Options{TLS: profile, Handshakes: 4096, Unauthenticated: 4096})
	server := &http.Server{Handler: s.door, ErrorLog: log.New(io.Discard, "", 0)}
	l.Install(server)
	serving.Go(func() { server.Serve(l) })

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		must(s.door.Drain(ctx))
		server.Close()
		l.Close()
		good.Close()
		mute.Close()
		serving.Wait()
		if after := settle(before); after.goroutines > before.goroutines || after.files > before.files {
			t.Errorf("after everything was closed: %v; before it began: %v", after, before)
		}
	})
	return s
}

func accept(l net.Listener, serving *sync.WaitGroup, serve func(*net.TCPConn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer c.Close()
			serve(c.(*net.TCPConn))
		})
	}
}

// engines are what the door is fed by, one after the other.
var engines = map[string]sallyport.Engine{"auto": sallyport.EngineAuto, "portable": sallyport.EnginePortable}

func needLinux(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("needs /proc/self/fd and all of 127.0.0.0/8")
	}
}

// tlsConfig is a client's; sessions are not resumed, so that every handshake is whole.
func (s *site) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: host, NextProtos: []string{"http/1.1"}}
}
