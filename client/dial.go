package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// Dial opens one connection to a wss URL and, if sallyport.v1 is spoken, waits
// for the server's hello. ctx is for that alone. o may be nil.
//
// The error wraps a [*RefusedError] if the server said no, by an HTTP status or
// by closing at once, or if somebody in between did (see its Outside); a [*seal.Error] if there is no seal with a server that is
// pinned; [ErrUnauthenticated] if there is no credential; else the error of the
// network, of TLS, or of a handshake that was no WebSocket's.
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
		return nil, fmt.Errorf("client: connect to %s: %w", p.place, err)
	}
	return c, nil
}

func (p *plan) open(ctx context.Context, why Why, in *inbox, changed func()) (*Conn, error) {
	key, err := p.sealingKey(ctx, false) // first: tickets live for seconds
	if err != nil {
		return nil, err
	}
	cred, err := p.credential(ctx, why)
	if err != nil {
		return nil, err
	}
	w, err := p.win(ctx, key, cred)
	if keysChanged(err) { // the credential has not left yet
		if key, err = p.sealingKey(ctx, true); err == nil {
			w, err = p.win(ctx, key, cred)
		}
	}
	if err != nil {
		return nil, err
	}
	atOnce := w.sealed == nil && closesAtOnce(w.early)
	c := newConn(p, w, in, changed)
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

// won is a socket after all handshakes, of TLS, of the WebSocket and of the seal.
type won struct {
	socket net.Conn // never nil
	token  string   // the subprotocol that was selected
	sealed *sealed  // nil without a Seal
	early  []byte   // what came behind the handshakes
}

// win makes a socket, sealed for key if there is a Seal.
func (p *plan) win(ctx context.Context, key seal.Entry, cred credential) (*won, error) {
	a, err := p.prepare(key)
	if err != nil {
		return nil, err
	}
	return p.reach(ctx, a, cred)
}

// reach goes through all handshakes. What a has of keys is erased in any case.
func (p *plan) reach(ctx context.Context, a *approach, cred credential) (*won, error) {
	if a != nil {
		defer a.client.Erase()
	}
	below, err := p.NetDial(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { link.Abort(below) })
	w := &won{socket: below}
	err = w.upgrade(ctx, p, cred)
	if a != nil {
		if err == nil {
			err = a.agree(w, cred)
		}
		err = outside(err)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		w.giveBack(err)
		return nil, err
	}
	return w, nil
}

// giveBack ends a socket on which no connection began. A door with which there is
// no seal is told so.
func (w *won) giveBack(err error) {
	if w.sealed != nil {
		w.sealed.session.Erase()
	}
	if fault, ok := errors.AsType[*seal.Error](err); ok {
		link.Farewell(w.socket, ws.AppendClose(nil, ws.Client, CodeSeal, string(fault.Fault)))
		return
	}
	link.Abort(w.socket)
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
	}
	return e.refusal()
}

// refusal is the end of a connection before it began.
func (e *CloseError) refusal() error {
	if e.Door == "" {
		return e
	}
	return &RefusedError{Status: http.StatusSwitchingProtocols, Reason: e.Reason, Code: e.Door, RetryAfter: e.RetryAfter, Close: e}
}

// closesAtOnce reports whether the first frame is a close frame: a refusal leaves
// in one piece with the 101.
func closesAtOnce(early []byte) bool {
	p := ws.Parser{Role: ws.Client}
	ev, _, err := p.Next(append([]byte(nil), early...))
	return err == nil && ev.Kind == ws.CloseEvent
}

// upgrade performs TLS and the handshake of the WebSocket.
func (w *won) upgrade(ctx context.Context, p *plan, cred credential) error {
	offered, header := p.shown(cred)
	key := ws.NewKey()
	request, err := ws.AppendRequest(nil, http.MethodGet, p.target, p.host, key, offered, header)
	if err != nil {
		return err
	}
	if p.TLS != nil {
		secure := tls.Client(w.socket, p.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		w.socket = secure
	}
	if _, err := w.socket.Write(request); err != nil {
		return fmt.Errorf("write the handshake: %w", err)
	}
	answer, early, err := readAnswer(w.socket)
	if err != nil {
		return err
	}
	if p.seal != nil {
		if err := seal.CheckSelected(offered, strings.Join(answer.Header["Sec-Websocket-Protocol"], ", ")); err != nil {
			return err
		}
	}
	if w.token, err = ws.CheckResponse(answer, key, offered); err != nil {
		return err
	}
	if w.token != "" && w.token == cred.ticket {
		return errors.New("the server selected the ticket as subprotocol")
	}
	w.early = early
	return nil
}

// shown is what the handshake of the WebSocket shows: the subprotocols and the
// header, with the credential unless there is a seal for it.
func (p *plan) shown(cred credential) (offered []string, header http.Header) {
	switch {
	case p.seal != nil:
		return p.offer, p.seal.header
	case cred.ticket != "":
		return append([]string{cred.ticket}, p.offer...), p.Header
	case cred.token != "":
		header = p.Header.Clone()
		header.Set("Authorization", "Bearer "+cred.token)
		return p.offer, header
	}
	return p.offer, p.Header
}
