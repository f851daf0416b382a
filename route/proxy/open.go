package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// Open connects to the backend and has it accept the handshake, before the
// client's is answered. The subprotocol is the backend's choice.
func (p *Proxy) Open(ctx context.Context, h *sallyport.Handshake) (sallyport.Sink, error) {
	key := ws.NewKey()
	request, err := p.handshake(h, key)
	if err != nil {
		return nil, err
	}
	dialled, err := p.dial(ctx)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { link.Abort(dialled) })
	socket, protocol, early, err := p.upgrade(ctx, dialled, request, key, h.Protocols)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		link.Abort(dialled)
		if ctx.Err() != nil {
			err = deny.Because(deny.BackendTimeout, fmt.Errorf("open the backend: %w", context.Cause(ctx)))
		}
		return nil, err
	}
	h.Protocol = protocol
	return newRelay(p, h.Conn, socket, early), nil
}

// handshake is the whole request to the backend: ours, with what may pass of
// the client's headers.
func (p *Proxy) handshake(h *sallyport.Handshake, key string) ([]byte, error) {
	path, query, hasQuery, err := p.target.path(h.Request)
	if err != nil {
		return nil, deny.Because(deny.HTTPMalformed, err)
	}
	if hasQuery {
		path += "?" + query
	}
	header := h.Request.Header.Clone()
	if err := p.outgoing(header, h.Request.Host, h.Address, &h.Identity, h.ID); err != nil {
		return nil, deny.Because(deny.AuthInvalid, err)
	}
	request, err := ws.AppendRequest(nil, "GET", path, p.host(h.Request.Host), key, h.Protocols, header)
	if err != nil {
		return nil, deny.Because(deny.HTTPMalformed, err)
	}
	return request, nil
}

// host is what the backend reads in Host.
func (p *Proxy) host(clients string) string {
	switch {
	case p.config.Host != "":
		return p.config.Host
	case p.target.tls, clients == "":
		return p.target.host
	}
	return clients
}

// dial connects to the backend, whatever a request says.
func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	return p.connect(ctx, p.target.network, p.target.address)
}

// upgrade performs TLS, if any, and the handshake. The socket that it returns is
// never nil.
func (p *Proxy) upgrade(ctx context.Context, socket net.Conn, request []byte, key string, offered []string) (_ net.Conn, protocol string, early []byte, err error) {
	socket.SetDeadline(time.Now().Add(p.config.HandshakeTimeout))
	if p.tls != nil {
		secure := tls.Client(socket, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return socket, "", nil, unreachable(ctx, fmt.Errorf("tls: %w", err))
		}
		socket = secure
	}
	if _, err := socket.Write(request); err != nil {
		return socket, "", nil, silent(fmt.Errorf("write the handshake: %w", err))
	}
	response, early, err := readAnswer(socket)
	if err != nil {
		return socket, "", nil, err
	}
	if protocol, err = ws.CheckResponse(response, key, offered); err != nil {
		reason := deny.BackendProtocol
		if fault, ok := errors.AsType[*ws.Fault](err); ok && fault.Code == "status" {
			reason = deny.BackendRefused
			err = fmt.Errorf("%w but answered %d", err, response.StatusCode)
		}
		return socket, "", nil, deny.Because(reason, err)
	}
	socket.SetDeadline(time.Time{})
	return socket, protocol, early, nil
}

// unreachable says why there is no connection.
func unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil || timedOut(err) {
		return deny.Because(deny.BackendTimeout, fmt.Errorf("connect to the backend: %w", err))
	}
	return deny.Because(deny.BackendUnreachable, fmt.Errorf("connect to the backend: %w", err))
}

// silent says why there is a connection and no answer.
func silent(err error) error {
	if timedOut(err) {
		return deny.Because(deny.BackendTimeout, err)
	}
	return deny.Because(deny.BackendRefused, err)
}

func timedOut(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}
