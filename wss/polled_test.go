//go:build linux

package wss

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/engine/poll"
)

// polled is a handler that gives every upgraded connection to an engine that polls.
type polled struct {
	t      *testing.T
	engine poll.Engine
}

func (p *polled) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	wc, _ := From(c)
	raw, early, err := wc.Detach()
	if err != nil {
		p.t.Error(err)
		return
	}
	io.WriteString(raw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	m := &echoMachine{}
	h, err := p.engine.Take(raw, m)
	if err != nil {
		p.t.Error(err)
		raw.Close()
		return
	}
	m.prompt, m.socket = h.(engine.Prompt), h.Socket()
	h.Start(early)
}

// echoMachine writes what it reads.
type echoMachine struct {
	prompt engine.Prompt
	socket net.Conn
}

func (m *echoMachine) Readable(b []byte) (int, bool) { m.prompt.Write(b); return len(b), true }
func (m *echoMachine) Gone(error)                    { m.socket.Close() }
func (m *echoMachine) Flush()                        {}
func (m *echoMachine) Late()                         {}

// A reload cuts no connection that is polled, and ends none of its keys.
func TestReloadCutsNobodyThatIsPolled(t *testing.T) {
	file := fileIn(t.TempDir(), "a")
	old := now(t, "localhost")
	store(t, file, old)
	f, err := OpenFiles([]File{file})
	if err != nil {
		t.Fatal(err)
	}
	p := &polled{t: t}
	s := newSite(t, overTLS, p, func(o *Options) { o.TLS = profile(t, Config{Certificates: f}) })
	trust := func(c *tls.Certificate) {
		s.roots = x509.NewCertPool()
		s.roots.AddCert(c.Leaf)
	}
	trust(old)
	open := func() *client {
		c := s.client(overTLS)
		c.send(head("GET", "/", upgradeLines))
		if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 101 {
			t.Fatal(r, err)
		}
		c.wantEcho("hello")
		return c
	}
	var clients []*client
	for range 5 {
		for range 4 {
			clients = append(clients, open())
		}
		fresh := now(t, "localhost")
		store(t, file, fresh)
		if err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		trust(fresh)
		for _, c := range clients {
			c.wantEcho("still here")
		}
	}
	for _, c := range clients {
		c.Close()
	}
	p.engine.Wait()
}
