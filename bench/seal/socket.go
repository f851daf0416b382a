package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

const (
	plainToken = "sallyport.v1"
	sealToken  = "sallyport.v1+seal"
)

// socket is a client of either gate, with no more to it than the measurement
// needs.
type socket struct {
	conn    net.Conn
	session *seal.Session // nil: not sealed
	parser  ws.Parser
	chunk   []byte
	unread  []byte
	message []byte // that is arriving below the seal …
	inner   []byte // … and above it
	frame   []byte
	record  []byte
	written int
}

// dial returns when the door has said hello: from then on an application sends.
func (s *site) dial(sealed bool) (*socket, error) {
	target, token := "/plain", plainToken
	if sealed {
		target, token = "/sealed", sealToken
	}
	conn, err := tls.Dial("tcp", s.authority, &tls.Config{RootCAs: s.roots, ServerName: "localhost", MinVersion: tls.VersionTLS13})
	if err != nil {
		return nil, err
	}
	c := &socket{conn: conn, parser: ws.Parser{Role: ws.Client, MaxMessage: 4 * maxSize, MaxFragments: -1}, chunk: make([]byte, 64<<10)}
	conn.SetDeadline(time.Now().Add(time.Minute))
	origin := "https://" + s.authority
	key := ws.NewKey()
	head, err := ws.AppendRequest(nil, http.MethodGet, target, s.authority, key, []string{token}, http.Header{"Origin": {origin}})
	if err != nil {
		return c, err
	}
	if _, err := conn.Write(head); err != nil {
		return c, err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return c, err
	}
	if selected, err := ws.CheckResponse(response, key, []string{token}); err != nil || selected != token {
		return c, fmt.Errorf("selected %q: %w", selected, err)
	}
	c.unread, _ = reader.Peek(reader.Buffered())
	if sealed {
		if err := c.agree(s.entry, seal.Context{Token: token, Authority: s.authority, Target: target, Origin: origin}); err != nil {
			return c, err
		}
	}
	hello, err := c.receive()
	if err == nil && !bytes.HasPrefix(hello, []byte("\x01{")) {
		err = fmt.Errorf("said %q, not hello", hello)
	}
	return c, err
}

func (c *socket) agree(key seal.Entry, at seal.Context) error {
	client, hello, err := seal.NewClient(key, at, seal.Options{})
	if err != nil {
		return err
	}
	if err := c.write(hello); err != nil {
		return err
	}
	answer, err := c.below()
	if err != nil {
		return err
	}
	var record []byte
	if c.session, record, err = client.Finish(answer, seal.Credential{}, nil); err != nil {
		return err
	}
	return c.write(record)
}

// write sends one binary message of the WebSocket.
func (c *socket) write(message []byte) error {
	c.frame = ws.AppendFrame(c.frame[:0], ws.Client, true, ws.Binary, message)
	c.written += len(c.frame)
	_, err := c.conn.Write(c.frame)
	return err
}

// send sends one message of the application, mark included.
func (c *socket) send(message []byte) error {
	if c.session == nil {
		return c.write(message)
	}
	for rest := message; ; {
		part := rest[:min(len(rest), seal.MaxData)]
		rest = rest[len(part):]
		var err error
		if c.record, err = c.session.Seal(c.record[:0], seal.Binary, len(rest) > 0, part); err != nil {
			return err
		}
		if err := c.write(c.record); err != nil || len(rest) == 0 {
			return err
		}
	}
}

// receive returns the next message, which is good until the next call.
func (c *socket) receive() ([]byte, error) {
	if c.session == nil {
		return c.below()
	}
	c.inner = c.inner[:0]
	for {
		record, err := c.below()
		if err != nil {
			return nil, err
		}
		r, err := c.session.Open(record)
		if err != nil {
			return nil, err
		}
		if r.Kind != seal.Text && r.Kind != seal.Binary {
			continue
		}
		if c.inner = append(c.inner, r.Data...); !r.More {
			return c.inner, nil
		}
	}
}

// below returns the next message of the WebSocket.
func (c *socket) below() ([]byte, error) {
	c.message = c.message[:0]
	for {
		for len(c.unread) > 0 {
			ev, used, err := c.parser.Next(c.unread)
			c.unread = c.unread[used:]
			switch {
			case err != nil:
				return nil, err
			case ev.Kind == ws.CloseEvent:
				return nil, fmt.Errorf("closed: %d %s", ev.Code, ev.Data)
			case ev.Kind == ws.Data:
				if c.message = append(c.message, ev.Data...); ev.Last {
					return c.message, nil
				}
			}
		}
		n, err := c.conn.Read(c.chunk)
		if c.unread = c.chunk[:n]; n == 0 {
			return nil, errors.Join(errors.New("read"), err)
		}
	}
}

// open measures connections from the dial to the door's hello.
func (s *site) open(o order) (f figures, err error) {
	var took time.Duration
	for range o.N {
		began := time.Now()
		c, err := s.dial(o.Sealed)
		if err != nil {
			return f, err
		}
		took += time.Since(began)
		c.conn.Close()
	}
	f.Each = perEach(took, o.N, time.Millisecond)
	return f, nil
}

// echo measures messages to the door and back, some of which are under way at once.
func (s *site) echo(o order) (f figures, err error) {
	c, err := s.dial(o.Sealed)
	if err != nil {
		return f, err
	}
	defer c.conn.Close()
	message := bytes.Repeat([]byte{'x'}, 1+o.Size)
	message[0] = 0 // the application's
	run := func(n int) error {
		// Window messages are less than the door queues, so that nobody waits for room.
		sent := 0
		for ; sent < min(n, max(o.Window, 1)); sent++ {
			if err := c.send(message); err != nil {
				return err
			}
		}
		for received := 0; received < n; {
			m, err := c.receive()
			switch {
			case err != nil:
				return err
			case len(m) == 0 || m[0] != 0: // the door's own
				continue
			case len(m) != len(message):
				return fmt.Errorf("%d bytes came back of %d", len(m), len(message))
			}
			if received++; sent < n {
				sent++
				if err := c.send(message); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := run(o.N/10 + 1); err != nil { // warm
		return f, err
	}
	c.written = 0
	began := time.Now()
	err = run(o.N)
	f.Each = perEach(time.Since(began), o.N, time.Microsecond)
	f.Bytes = float64(c.written) / float64(o.N)
	return f, err
}
