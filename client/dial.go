package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// Dial opens one connection to a wss URL and, if sallyport.v1 is spoken, waits
// for the server's hello. ctx is for that alone. o may be nil.
//
// The error wraps a [*RefusedError] if the server said no, by an HTTP status or
// by closing at once; [ErrUnauthenticated] if there is no credential; else the
// error of the network, of TLS, or of a handshake that was no WebSocket's.
func Dial(ctx context.Context, url string, o *Options) (*Conn, error) {
	if o == nil {
		o = &Options{}
	}
	p, err := newPlan(url, *o)
	if err != nil {
		return nil, err
	}
	return p.connect(ctx, Connecting, newInbox(p.Buffer), nil)
}

// connect makes a connection that is ready.
func (p *plan) connect(ctx context.Context, why Why, in *inbox, changed func()) (*Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.ConnectTimeout, fmt.Errorf("no connection within %s: %w", p.ConnectTimeout, context.DeadlineExceeded))
	defer cancel()
	c, err := p.open(ctx, why, in, changed)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("client: connect to %s: %w", p.shown, err)
	}
	return c, nil
}

func (p *plan) open(ctx context.Context, why Why, in *inbox, changed func()) (*Conn, error) {
	cred, err := p.credential(ctx, why)
	if err != nil {
		return nil, err
	}
	below, err := p.NetDial(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { link.Abort(below) })
	socket, token, early, err := p.upgrade(ctx, below, cred)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		link.Abort(below)
		return nil, err
	}
	atOnce := closesAtOnce(early)
	c := newConn(p, socket, token, early, in, changed)
	greeted := c.greeted
	if atOnce {
		greeted = c.ctx.Done() // which is about to come
	}
	select {
	case <-greeted:
		err = c.welcome()
	case <-ctx.Done():
		err = context.Cause(ctx)
		c.giveUp(CodeTimeout, "local.timeout")
	}
	if err != nil {
		c.deaf.Store(true)
		c.resume()
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.leave(wait, 1000, "") // it has ended: this waits for the socket
		return nil, err
	}
	return c, nil
}

// welcome reports a connection that was refused or broken before it began. One
// that ended after its hello is a connection: there may be messages.
func (c *Conn) welcome() error {
	e := c.ended.Load()
	c.mu.Lock()
	began := c.hello != nil
	c.mu.Unlock()
	switch {
	case e == nil, c.speaks && began, !c.speaks && e.Door == "":
		return nil
	case e.Door != "":
		return &RefusedError{Status: http.StatusSwitchingProtocols, Reason: e.Reason, Code: e.Door, RetryAfter: e.RetryAfter, Close: e}
	}
	return e
}

// closesAtOnce reports whether the first frame is a close frame: a refusal leaves
// in one piece with the 101.
func closesAtOnce(early []byte) bool {
	p := ws.Parser{Role: ws.Client}
	ev, _, err := p.Next(append([]byte(nil), early...))
	return err == nil && ev.Kind == ws.CloseEvent
}

// upgrade performs TLS and the handshake. The socket that it returns is never nil.
func (p *plan) upgrade(ctx context.Context, socket net.Conn, cred credential) (_ net.Conn, token string, early []byte, err error) {
	offered := p.offer
	if cred.ticket != "" {
		offered = append([]string{cred.ticket}, offered...)
	}
	header := p.Header
	if cred.token != "" {
		if header = p.Header.Clone(); header == nil {
			header = http.Header{}
		}
		header.Set("Authorization", "Bearer "+cred.token)
	}
	key := ws.NewKey()
	request, err := ws.AppendRequest(nil, http.MethodGet, p.target, p.host, key, offered, header)
	if err != nil {
		return socket, "", nil, err
	}
	if p.TLS != nil {
		secure := tls.Client(socket, p.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return socket, "", nil, fmt.Errorf("tls: %w", err)
		}
		socket = secure
	}
	if _, err := socket.Write(request); err != nil {
		return socket, "", nil, fmt.Errorf("write the handshake: %w", err)
	}
	answer, early, err := readAnswer(socket)
	if err != nil {
		return socket, "", nil, err
	}
	if token, err = ws.CheckResponse(answer, key, offered); err != nil {
		return socket, "", nil, err
	}
	if token != "" && token == cred.ticket {
		return socket, "", nil, errors.New("the server selected the ticket as subprotocol")
	}
	return socket, token, early, nil
}
