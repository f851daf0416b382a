package demo

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/state"
	"github.com/sallyport/sallyport/wss"
)

// portsTried is how many ports are tried, from the one that was asked for on.
const portsTried = 100

// pair are the listeners of one port on the loopback addresses: a browser may
// take either for localhost, and a stranger's program must not have the other.
type pair struct {
	port      int
	listeners []net.Listener
}

func (p pair) close() {
	for _, l := range p.listeners {
		l.Close()
	}
}

// listenFrom takes the first port, from port on, that is free on every loopback
// address.
func listenFrom(port int) (pair, error) {
	if port < 1 || port > 65535 {
		return pair{}, fmt.Errorf("port %d: must be 1 to 65535", port)
	}
	hosts := []string{"127.0.0.1"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "::1")
	}
	var first error
	for try := port; try < port+portsTried && try <= 65535; try++ {
		p, err := listenOn(hosts, try)
		if err == nil {
			return p, nil
		}
		if first == nil {
			first = err
		}
	}
	return pair{}, fmt.Errorf("no free port from %d on: %w", port, first)
}

func listenOn(hosts []string, port int) (pair, error) {
	p := pair{port: port}
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			p.close()
			return pair{}, err
		}
		p.listeners = append(p.listeners, l)
	}
	return p, nil
}

// beside is where to look for another port.
func beside(port int) int {
	if port == 65535 {
		return port - portsTried
	}
	return port + 1
}

// listenAside takes any free port of 127.0.0.1.
func listenAside() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// serve answers plain HTTP on l.
func (d *demo) serve(l net.Listener, h http.Handler) {
	server := serverOf(h)
	d.run(server, l)
	d.later(func() { server.Close() })
}

// serveTLS answers TLS on both listeners of p, behind the cable, with certificates
// of the development authority.
func (d *demo) serveTLS(p pair, h http.Handler) error {
	certificates, err := d.ca.For("localhost", "*.localhost", "127.0.0.1", "::1")
	if err != nil {
		return err
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: certificates})
	if err != nil {
		return err
	}
	for _, inner := range p.listeners {
		l := wss.Listen(d.cable.over(inner), wss.Options{TLS: profile})
		server := serverOf(h)
		l.Install(server)
		d.run(server, l)
		d.later(func() {
			server.Close()
			l.Close()
		})
	}
	return nil
}

// serveRelay answers TLS on both listeners of p as a stranger would: with a
// certificate of its own, and nothing of the door's strictness.
func (d *demo) serveRelay(p pair) error {
	certificates, err := d.ca.For("localhost", "127.0.0.1", "::1")
	if err != nil {
		return err
	}
	profile, err := wss.TLSConfig(wss.Config{Certificates: certificates})
	if err != nil {
		return err
	}
	for _, inner := range p.listeners {
		server := serverOf(d.relay)
		d.run(server, tls.NewListener(inner, profile))
		d.later(func() { server.Close() })
	}
	return nil
}

// trust is how the relay knows the door.
func (d *demo) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(d.ca.CertPEM())
	return &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13}
}

// run serves until the server is closed. The goroutine ends with that, and stop
// waits for it.
func (d *demo) run(server *http.Server, l net.Listener) {
	d.servers.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			select {
			case d.failed <- fmt.Errorf("demo: serve %s: %w", l.Addr(), err):
			default: // one is enough
			}
		}
	})
}

// authority is what the demo needs of a development authority.
type authority interface {
	For(names ...string) (wss.Certificates, error)
	Path() string
	CertPEM() []byte
}

// openState opens the state and the development authority.
func (d *demo) openState(dir string) (err error) {
	home := dir
	if dir == "" {
		d.state = state.Memory()
		if home, d.home = config.DefaultState(os.Getenv); home == "" { // where "sallyport dev-ca" looks
			return errors.New("demo: no place for the development authority; set $XDG_STATE_HOME")
		}
	} else {
		if home, err = filepath.Abs(dir); err != nil { // so that what is announced holds in any directory
			return fmt.Errorf("demo: %w", err)
		}
		if d.state, err = state.Open(home); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	ca, err := wss.OpenDevCA(home)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.ca = ca
	return nil
}

// quiet drops what net/http has to say of connections that broke: the page
// shows what the door saw.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
