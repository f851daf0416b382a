package soak

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/test/soak/wire"
)

// scenario is what one client does. An error says that the door did not do what
// it should have.
type scenario struct {
	name string
	do   func(c *client) error
}

// admitted are the ways in which an open connection ends.
var admitted = []scenario{
	{"the client closes", func(c *client) error {
		if err := c.enter(ask{}); err != nil {
			return err
		}
		if _, err := c.Out.Write(ws.AppendClose(nil, ws.Client, 1000, "bye")); err != nil {
			return err
		}
		return errors.Join(c.wantClose(1000, ""), c.wantEnd(deny.PeerClosed))
	}},
	{"the client resets", func(c *client) error {
		if err := c.enter(ask{}); err != nil {
			return err
		}
		c.tcp.SetLinger(0)
		c.tcp.Close()
		return c.wantEnd(deny.PeerLost)
	}},
	{"the client leaves in the middle of a message", func(c *client) error {
		if err := c.enter(ask{}); err != nil {
			return err
		}
		frame := ws.AppendFrame(nil, ws.Client, true, ws.Binary, make([]byte, 32<<10))
		if _, err := c.Out.Write(frame[:20<<10]); err != nil {
			return err
		}
		c.tls.Close()
		return c.wantEnd(deny.PeerLost)
	}},
	{"the client is there no longer, and its socket is", func(c *client) error {
		if err := c.enter(ask{path: "/quick"}); err != nil {
			return err
		}
		return c.wantEnd(deny.PeerLost)
	}},
	{"the credential expires", func(c *client) error {
		err := c.enter(ask{bearer: c.name + ";3s"})
		if early, ok := errors.AsType[*wire.Closed](err); ok && early.Reason == deny.AuthExpired.CloseReason() {
			return nil // on a busy machine, before the echo
		}
		if err != nil {
			return err
		}
		return errors.Join(c.wantDenied(deny.AuthExpired), c.wantEnd(deny.AuthExpired))
	}},
	{"the credential is revoked", func(c *client) error {
		if err := c.enter(ask{}); err != nil {
			return err
		}
		if n, err := c.site.door.Revoke(ctx, guard.Match{Credential: c.name}); n != 1 || err != nil {
			return fmt.Errorf("revoked %d, %w", n, err)
		}
		return errors.Join(c.wantDenied(deny.AuthRevoked), c.wantEnd(deny.AuthRevoked))
	}},
	{"the message is too big", func(c *client) error {
		if err := c.enter(ask{}); err != nil {
			return err
		}
		header := []byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4} // 64 KiB and a byte
		if _, err := c.Out.Write(header); err != nil {
			return err
		}
		return errors.Join(c.wantDenied(deny.GuardTooBig), c.wantEnd(deny.GuardTooBig))
	}},
	{"the client does not read", func(c *client) error {
		c.tcp.SetReadBuffer(4 << 10)
		if err := c.enter(ask{path: "/slow"}); err != nil {
			return err
		}
		if err := c.say(wire.AskFlood); err != nil {
			return err
		}
		return c.wantEnd(deny.GuardSlow)
	}},
	{"the backend dies", func(c *client) error {
		if err := c.enter(ask{}); err != nil {
			return err
		}
		if err := c.say(wire.AskDie); err != nil {
			return err
		}
		return errors.Join(c.wantDenied(deny.BackendLost), c.wantEnd(deny.BackendLost))
	}},
	{"the backend closes", func(c *client) error {
		t, err := c.buyTicket() // and it came in by a ticket
		if err == nil {
			err = c.enter(ask{bearer: "-", protocols: []string{t, "sallyport"}})
		}
		if err != nil {
			return err
		}
		if err := c.say(wire.AskLeave); err != nil {
			return err
		}
		return errors.Join(c.wantClose(1000, "bye"), c.wantEnd(deny.BackendClosed))
	}},
}

// refused are the ways of not getting in.
var refused = []scenario{
	{"another origin, told by a close code", denied(deny.OriginUntrusted, ask{origin: "https://evil.test"})},
	{"another origin, told by HTTP", status(http.StatusForbidden, ask{path: "/http", origin: "https://evil.test"})},
	{"no credential", denied(deny.AuthMissing, ask{bearer: "-"})},
	{"a credential that has expired", denied(deny.AuthExpired, ask{bearer: "late;-1s"})},
	{"a ticket that nobody issued", denied(deny.AuthTicketUsed, ask{bearer: "-", protocols: []string{auth.TicketPrefix + "x", "sallyport"}})},
	{"a ticket for the second time", func(c *client) error {
		t, err := c.buyTicket()
		if err != nil {
			return err
		}
		if _, err := c.site.tickets.Redeem(ctx, t[len(auth.TicketPrefix):], "/ws", page); err != nil {
			return err
		}
		return denied(deny.AuthTicketUsed, ask{bearer: "-", protocols: []string{t, "sallyport"}})(c)
	}},
	{"a token in the URL", denied(deny.AuthInURL, ask{path: "/ws?token=x"})},
	{"another host", status(http.StatusMisdirectedRequest, ask{host: "evil.test"})},
	{"a path that is no gate", status(http.StatusNotFound, ask{path: "/nowhere"})},
	{"no backend", status(http.StatusBadGateway, ask{path: "/gone"})},
	{"a backend that does not answer", func(c *client) error {
		request, _, err := c.request(ask{path: "/mute"})
		if err != nil {
			return err
		}
		if _, err = c.Out.Write(request); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
		return c.tls.Close() // tired of waiting
	}},
	{"no handshake", raw("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 426 ")},
	{"a head that breaks off", raw("GET /ws HTTP/1.1\r\nHost: loc", "")},
	{"a head that is none", raw("GET /ws\nHost: localhost\n\n", "HTTP/1.1 400 ")},
	{"frames behind the handshake", func(c *client) error {
		request, _, err := c.request(ask{})
		if err != nil {
			return err
		}
		request = append(request, ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("early"))...)
		return raw(string(request), "HTTP/1.1 400 ")(c)
	}},
	{"clear text", func(c *client) error {
		if _, err := io.WriteString(c.tcp, "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return err
		}
		return wantBytes(c.tcp, "HTTP/1.1 426 ")
	}},
	{"a hello that breaks off", func(c *client) error {
		if _, err := c.tcp.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3}); err != nil {
			return err
		}
		c.tcp.SetLinger(0)
		return c.tcp.Close()
	}},
	{"another protocol", func(c *client) error {
		config := c.site.tlsConfig()
		config.NextProtos = []string{"ftp"}
		if tls.Client(c.tcp, config).Handshake() == nil {
			return errors.New("ftp is spoken")
		}
		return nil
	}},
}

// buyTicket returns a ticket as a subprotocol.
func (c *client) buyTicket() (string, error) {
	t, _, err := c.site.tickets.Issue(ctx, ticket.Grant{Identity: identity(c.name, time.Hour), Gate: "/ws", Origin: page})
	return auth.TicketPrefix + t, err
}

// denied wants a refusal by close code.
func denied(r deny.Reason, a ask) func(*client) error {
	return func(c *client) error {
		response, err := c.shake(a)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("got %s, want a close frame with %v", response.Status, r)
		}
		return c.wantDenied(r)
	}
}

// status wants a refusal by HTTP.
func status(want int, a ask) func(*client) error {
	return func(c *client) error {
		response, err := c.shake(a)
		if err != nil {
			return err
		}
		if response.StatusCode != want {
			return fmt.Errorf("got %s, want %d", response.Status, want)
		}
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
}

// raw sends bytes over TLS and wants the answer to begin so; if it is empty,
// the client leaves.
func raw(send, want string) func(*client) error {
	return func(c *client) error {
		if _, err := io.WriteString(c.Out, send); err != nil {
			return err
		}
		if want == "" {
			return c.tls.Close()
		}
		return wantBytes(c.In, want)
	}
}

func wantBytes(r io.Reader, want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		return fmt.Errorf("got %q, %w; want %q", got, err, want)
	}
	return nil
}
