package demo

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// Bounds of the relay.
const (
	maxRelayed  = 64
	relayDial   = 5 * time.Second
	relayAnswer = handshakeWait + time.Second
	relayWrite  = 10 * time.Second // for a side to take a message
	relayLast   = time.Second      // for the other direction, when one has ended
	maxAnswer   = 16 << 10         // of a refusal, in bytes
)

// relay is somebody in the middle: a reverse proxy that ends TLS with a
// certificate of its own and speaks TLS to the door, as a company's proxy or a
// CDN does. It reads the chat's messages in both directions, remembers what it
// saw, and can change one.
type relay struct {
	to    string      // the door's address
	trust *tls.Config // for the door
	heard *overheard

	carrying sync.WaitGroup

	mu     sync.Mutex // guards what follows
	open   map[string]*relayed
	n      int // connections so far
	closed bool
}

// newRelay is one before the door that listens at to.
func newRelay(to string, trust *tls.Config) *relay {
	return &relay{to: to, trust: trust, heard: newOverheard(), open: map[string]*relayed{}}
}

func (p *relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == chatGate && ws.IsUpgrade(r) {
		p.carry(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.RequestURI != "/" {
		w.WriteHeader(http.StatusNotFound)
	}
	io.WriteString(w, "This is the proxy of the demo, the somebody in the middle. It carries the chat alone.\n"+
		"Your browser accepts its certificate now: go back to the demo, and go through it.\n")
}

// carry takes a handshake to the door, and then messages both ways until either
// side ends.
func (p *relay) carry(w http.ResponseWriter, r *http.Request) {
	offer, err := ws.CheckUpgrade(r)
	if err != nil {
		http.Error(w, "this is no WebSocket handshake", http.StatusBadRequest)
		return
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: relayDial}, Config: p.trust}
	door, err := dialer.DialContext(r.Context(), "tcp", p.to)
	if err != nil {
		http.Error(w, "the door does not answer", http.StatusBadGateway)
		return
	}
	defer door.Close()
	c := &relayed{relay: p, name: door.LocalAddr().String(), door: door}
	if !p.add(c) {
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	defer p.remove(c)

	door.SetDeadline(time.Now().Add(relayAnswer))
	fromDoor := bufio.NewReader(door)
	answer, err := ask(door, fromDoor, r)
	if err != nil {
		http.Error(w, "the door does not answer", http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	protocol := answer.Header.Get("Sec-WebSocket-Protocol")
	c.sealed = strings.HasPrefix(protocol, "sallyport.v1+seal")
	c.note(heard{What: "opened", Text: handshake(offer, r), Status: answer.StatusCode, Cookie: r.Header.Get("Cookie") != ""})
	if answer.StatusCode != http.StatusSwitchingProtocols {
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, io.LimitReader(answer.Body, maxAnswer))
		return
	}
	browser, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer browser.Close()
	if !p.join(c, browser) {
		return
	}
	browser.SetDeadline(time.Time{})
	door.SetDeadline(time.Time{})
	if err := send(browser, ws.AppendResponse(nil, offer, protocol, answer.Header)); err != nil {
		return
	}
	p.carrying.Go(func() { c.pump(down, fromDoor, ws.Client, browser) }) // ends with either side; waited for by close
	c.pump(up, rw.Reader, ws.Server, door)
}

// ask makes the request that came to the relay at the door.
func ask(door net.Conn, fromDoor *bufio.Reader, r *http.Request) (*http.Response, error) {
	if err := r.Clone(context.Background()).Write(door); err != nil { // with the Host that the browser named
		return nil, err
	}
	return http.ReadResponse(fromDoor, r)
}

// handshake is what a handshake gives away, but for most of its credential.
func handshake(offer ws.Offer, r *http.Request) string {
	protocols := make([]string, len(offer.Protocols))
	for i, p := range offer.Protocols {
		if secret, ok := strings.CutPrefix(p, "sallyport.ticket."); ok {
			p = "sallyport.ticket." + secret[:min(4, len(secret))] + "…"
		}
		protocols[i] = p
	}
	return "GET " + r.RequestURI + " from " + r.Header.Get("Origin") + ", offering " + strings.Join(protocols, ", ")
}

// arm has the next message of a session's connections changed, of those that go
// one way, or none.
func (p *relay) arm(session string, w way) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := false
	for _, c := range p.open {
		if c.session == session && session != "" {
			c.flip, found = w, true
		}
	}
	if !found && w != "" {
		return deny.Because(deny.HTTPNotFound, errors.New("no connection goes through the proxy"))
	}
	return nil
}

// armed is the way of which a session's next message is changed.
func (p *relay) armed(session string) way {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		if c.session == session && c.flip != "" {
			return c.flip
		}
	}
	return ""
}

// belongs is told by the door whose connection it is that comes from an address.
func (p *relay) belongs(address, session string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.open[address]; c != nil {
		c.session = session
	}
}

func (p *relay) add(c *relayed) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.open) == maxRelayed {
		return false
	}
	p.n++
	c.number = p.n
	p.open[c.name] = c
	p.carrying.Add(1)
	return true
}

// join gives c its other end, unless the relay has closed.
func (p *relay) join(c *relayed, browser net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.browser = browser
	return !p.closed
}

func (p *relay) remove(c *relayed) {
	p.mu.Lock()
	delete(p.open, c.name)
	p.mu.Unlock()
	p.carrying.Done()
}

// close cuts what is left, and waits for it.
func (p *relay) close() {
	p.mu.Lock()
	p.closed = true
	for _, c := range p.open {
		c.door.Close()
		if c.browser != nil {
			c.browser.Close()
		}
	}
	p.mu.Unlock()
	p.carrying.Wait()
}
