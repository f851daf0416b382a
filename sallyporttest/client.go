package sallyporttest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
)

// Options of a handshake. The zero value asks for "/" on app.example.com, from
// its own page.
type Options struct {
	Path      string // with query; default "/"
	Host      string // default "app.example.com"
	Origin    string // default "https://app.example.com"; "-" sends none
	Header    http.Header
	Protocols []string
}

// Client is the far end of a connection: a strict, simple WebSocket client that
// answers pings but does nothing else by itself.
type Client struct {
	Protocol string         // as selected
	Response *http.Response // to the handshake

	t      testing.TB
	socket net.Conn
	reader *bufio.Reader
	parser ws.Parser
	unread []byte
	mute   bool
}

// Message is what a Client receives: a message, or a close frame.
type Message struct {
	Op     ws.Opcode // ws.Text, ws.Binary or ws.Close
	Data   []byte    // of a close frame: the reason
	Code   uint16    // of a close frame; 1005 if it had none
	Frames int       // how many chunks it came in
}

// Connect opens a connection and fails the test if the answer is no 101.
func (s *Server) Connect(t testing.TB, o Options) *Client {
	t.Helper()
	c := s.Try(t, o)
	if c.Response.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(c.Response.Body)
		t.Fatalf("handshake: got %s, want 101: %s", c.Response.Status, body)
	}
	return c
}

// Try sends a handshake; the answer is in Client.Response.
func (s *Server) Try(t testing.TB, o Options) *Client {
	t.Helper()
	socket, err := s.Dial(context.Background())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return Handshake(t, socket, o)
}

// Handshake sends a handshake on a connection of the test's own.
func Handshake(t testing.TB, socket net.Conn, o Options) *Client {
	t.Helper()
	if o.Path == "" {
		o.Path = "/"
	}
	if o.Host == "" {
		o.Host = "app.example.com"
	}
	h := o.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	switch o.Origin {
	case "-":
	case "":
		h.Set("Origin", "https://app.example.com")
	default:
		h.Set("Origin", o.Origin)
	}
	key := ws.NewKey()
	req, err := ws.AppendRequest(nil, http.MethodGet, o.Path, o.Host, key, o.Protocols, h)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	t.Cleanup(func() { socket.Close() })
	if _, err := socket.Write(req); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	c := &Client{t: t, socket: socket, reader: bufio.NewReader(socket)}
	c.parser = ws.Parser{Role: ws.Client, MaxMessage: 1 << 30, MaxFragments: -1}
	if c.Response, err = http.ReadResponse(c.reader, nil); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if c.Response.StatusCode == http.StatusSwitchingProtocols {
		if c.Protocol, err = ws.CheckResponse(c.Response, key, o.Protocols); err != nil {
			t.Fatalf("handshake: %v", err)
		}
	}
	return c
}

// Socket is the connection below.
func (c *Client) Socket() net.Conn { return c.socket }

// Mute makes the client leave pings unanswered.
func (c *Client) Mute() { c.mute = true }

// Send sends a message in one frame.
func (c *Client) Send(op ws.Opcode, data []byte) {
	c.t.Helper()
	c.Raw(ws.AppendFrame(nil, ws.Client, true, op, data))
}

// Text sends a text message.
func (c *Client) Text(s string) {
	c.t.Helper()
	c.Send(ws.Text, []byte(s))
}

// Raw sends bytes as they are.
func (c *Client) Raw(b []byte) {
	c.t.Helper()
	if _, err := c.socket.Write(b); err != nil {
		c.t.Errorf("send: %v", err)
	}
}

// Close sends a close frame.
func (c *Client) Close(code uint16, reason string) {
	c.t.Helper()
	c.Raw(ws.AppendClose(nil, ws.Client, code, reason))
}

// Receive waits for the next message or close frame. It returns io.EOF after
// the server has closed the connection.
func (c *Client) Receive() (Message, error) {
	var m Message
	var data bytes.Buffer
	for {
		for len(c.unread) > 0 {
			ev, n, err := c.parser.Next(c.unread)
			c.unread = c.unread[n:]
			switch {
			case err != nil:
				return m, err
			case ev.Kind == ws.CloseEvent:
				return Message{Op: ws.Close, Code: ev.Code, Data: bytes.Clone(ev.Data)}, nil
			case ev.Kind == ws.PingEvent && !c.mute:
				c.socket.Write(ws.AppendFrame(nil, ws.Client, true, ws.Pong, ev.Data))
			case ev.Kind == ws.Data:
				data.Write(ev.Data)
				m.Frames++
				if ev.Last {
					m.Op, m.Data = ev.Op, data.Bytes()
					return m, nil
				}
			}
		}
		buf := make([]byte, 32<<10)
		n, err := c.reader.Read(buf)
		if n == 0 && err != nil {
			return m, err
		}
		c.unread = buf[:n]
	}
}

// WantText fails the test unless the next message is this text.
func (c *Client) WantText(want string) {
	c.t.Helper()
	m, err := c.Receive()
	if err != nil || m.Op != ws.Text || string(m.Data) != want {
		c.t.Fatalf("received %v, %v; want text %q", m, err, want)
	}
}

// WantClose fails the test unless the server closes next, with this code and
// reason, and then ends the connection within a second.
func (c *Client) WantClose(code uint16, reason string) {
	c.t.Helper()
	for {
		m, err := c.Receive()
		if err != nil {
			c.t.Fatalf("got %v, want close %d %q", err, code, reason)
		}
		if m.Op != ws.Close {
			continue // was on its way
		}
		if m.Code != code || string(m.Data) != reason {
			c.t.Fatalf("got close %d %q, want %d %q", m.Code, m.Data, code, reason)
		}
		break
	}
	c.WantEnd()
}

// WantEnd fails the test unless the server ends the connection within a second.
func (c *Client) WantEnd() {
	c.t.Helper()
	c.socket.SetReadDeadline(time.Now().Add(time.Second))
	defer c.socket.SetReadDeadline(time.Time{})
	if n, err := io.Copy(io.Discard, c.reader); err != nil {
		if e, ok := err.(net.Error); ok && e.Timeout() {
			c.t.Fatalf("the connection is still open after a second")
		}
	} else if n > 0 {
		c.t.Fatalf("%d bytes after the end", n)
	}
}

func (m Message) String() string {
	if m.Op == ws.Close {
		return fmt.Sprintf("close %d %q", m.Code, m.Data)
	}
	return fmt.Sprintf("opcode %d, %d bytes", m.Op, len(m.Data))
}
