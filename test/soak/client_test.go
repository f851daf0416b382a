package soak

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/test/soak/wire"
)

// patience bounds every wait of a client: a machine may be loaded.
const patience = 30 * time.Second

// client is one connection on its way through a scenario.
type client struct {
	site *site
	name string // unique: the subject
	tcp  *net.TCPConn
	tls  *tls.Conn
	wire.Conn
	ended chan sallyport.Event // its end, as the door sees it
}

// dial connects from an address that no other client uses.
func (s *site) dial() (*client, error) {
	n := s.n.Add(1)
	c := &client{site: s, name: fmt.Sprintf("client-%d", n)}
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))}
	dialer := net.Dialer{LocalAddr: from, Timeout: patience}
	socket, err := dialer.Dial("tcp4", s.addr)
	if err != nil {
		return nil, err
	}
	c.tcp = socket.(*net.TCPConn)
	c.tcp.SetDeadline(time.Now().Add(patience))
	c.tls = tls.Client(c.tcp, s.tlsConfig())
	c.In, c.Out = bufio.NewReader(c.tls), c.tls
	return c, nil
}

// ask is a handshake; the zero value is a good one.
type ask struct {
	path      string
	origin    string
	host      string
	bearer    string // default: the client's name, for an hour; "-": none
	protocols []string
}

// request writes a handshake.
func (c *client) request(a ask) ([]byte, string, error) {
	h := http.Header{"Origin": {or(a.origin, page)}}
	if a.bearer != "-" {
		h.Set("Authorization", "Bearer "+or(a.bearer, c.name+";1h"))
	}
	key := ws.NewKey()
	b, err := ws.AppendRequest(nil, http.MethodGet, or(a.path, "/ws"), or(a.host, host), key, a.protocols, h)
	return b, key, err
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// shake sends a handshake and reads the head of the answer.
func (c *client) shake(a ask) (*http.Response, error) {
	request, key, err := c.request(a)
	if err != nil {
		return nil, err
	}
	return c.Shake(request, key, a.protocols)
}

// enter opens a connection, exchanges a message, and waits from then on for the
// end that the door sees.
func (c *client) enter(a ask) error {
	c.ended = make(chan sallyport.Event, 1)
	c.site.ends.Store(c.name, c.ended)
	response, err := c.shake(a)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("not admitted: %s %s", response.Status, body)
	}
	if err := c.say("hello"); err != nil {
		return err
	}
	if _, data, err := c.Message(); err != nil || string(data) != "hello" {
		return fmt.Errorf("wanted an echo, got %q, %w", data, err)
	}
	return nil
}

func (c *client) say(s string) error {
	_, err := c.Out.Write(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte(s)))
	return err
}

// wantEnd waits until the door has ended the connection for a reason.
func (c *client) wantEnd(want deny.Reason) error {
	select {
	case e := <-c.ended:
		if e.Reason != want {
			return fmt.Errorf("ended with %v (%v), want %v", e.Reason, e.Cause, want)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("not ended after %s, want %v", patience, want)
	}
}

// wantClose reads up to a close frame of a reason, then to the end of the socket.
func (c *client) wantClose(code uint16, reason string) error {
	for {
		_, _, err := c.Message()
		if err == nil {
			continue
		}
		got, ok := err.(*wire.Closed)
		if !ok || got.Code != code || got.Reason != reason {
			return fmt.Errorf("got %w, want close %d %q", err, code, reason)
		}
		c.Out.Write(ws.AppendClose(nil, ws.Client, code, ""))
		_, err = io.Copy(io.Discard, c.In)
		return err
	}
}

// wantDenied is wantClose for an ending of the door's own.
func (c *client) wantDenied(r deny.Reason) error { return c.wantClose(r.Close(), r.CloseReason()) }
