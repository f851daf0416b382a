package client

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/seal"
)

// keysChanged reports whether an attempt failed because the door does not use the
// key that the client chose: a list from a cache may be behind.
func keysChanged(err error) bool {
	refused, ok := errors.AsType[*RefusedError](err)
	return ok && refused.Outside && refused.Reason == deny.SealKeys
}

// approach is a seal before it is agreed on.
type approach struct {
	plan   *plan
	client *seal.Client
	hello  []byte
}

// prepare makes the client's first message, for a key of the server. Without a
// Seal it is nil.
func (p *plan) prepare(key seal.Entry) (*approach, error) {
	if p.Seal == nil {
		return nil, nil
	}
	client, hello, err := seal.NewClient(key, p.seal.at, seal.Options{Padding: p.Seal.Padding})
	if err != nil {
		return nil, err
	}
	return &approach{p, client, hello}, nil
}

// agree goes through the seal's handshake on an upgraded socket and presents the
// credential inside.
func (a *approach) agree(w *won, cred credential) error {
	_, wrote := w.socket.Write(ws.AppendFrame(nil, ws.Client, true, ws.Binary, a.hello))
	answer, rest, err := receiveAnswer(w.socket, w.early)
	if err != nil {
		return errors.Join(err, wrote) // a refusal may have come before the hello went
	}
	inside := seal.Credential{}
	switch {
	case cred.ticket != "":
		inside = seal.Credential{Kind: seal.Ticket, Value: cred.ticket}
	case cred.token != "":
		inside = seal.Credential{Kind: seal.Token, Value: cred.token}
	}
	session, record, err := a.client.Finish(answer, inside, a.plan.Seal.Device)
	if err != nil {
		return err
	}
	w.sealed, w.early = newSealed(session), rest
	if _, err := w.socket.Write(ws.AppendFrame(nil, ws.Client, true, ws.Binary, record)); err != nil {
		return fmt.Errorf("write the credential: %w", err)
	}
	return nil
}

// receiveAnswer waits for the first binary message. Before there is a seal, the
// door has no words but text for a refusal; the close frame behind has the reason
// too.
func receiveAnswer(socket net.Conn, unread []byte) (message, rest []byte, err error) {
	parser := ws.Parser{Role: ws.Client, MaxMessage: seal.MaxRecord}
	chunk := make([]byte, 4<<10)
	for {
		for len(unread) > 0 {
			ev, used, err := parser.Next(unread)
			unread = unread[used:]
			switch {
			case err != nil:
				return nil, nil, &seal.Error{Fault: seal.FaultHandshake, Cause: err}
			case ev.Kind == ws.CloseEvent:
				end := closedBy(ev.Code, string(ev.Data), nil)
				return nil, nil, &RefusedError{Status: http.StatusSwitchingProtocols, Reason: end.Reason, Code: end.Door, Close: end}
			case ev.Kind == ws.PingEvent:
				if _, err := socket.Write(ws.AppendFrame(nil, ws.Client, true, ws.Pong, ev.Data)); err != nil {
					return nil, nil, err
				}
			case ev.Kind == ws.Data && ev.Op == ws.Binary:
				if message = append(message, ev.Data...); ev.Last {
					return message, unread, nil
				}
			}
		}
		n, err := socket.Read(chunk)
		if n == 0 && err != nil {
			return nil, nil, fmt.Errorf("read the answer of the seal: %w", noEOF(err))
		}
		unread = append([]byte(nil), chunk[:n]...)
	}
}

// signIn is the word of the endpoint of tickets, outside the seal, that somebody
// has to sign in. It may be true: it is not asked again without end.
type signIn struct{ error }

func (s signIn) Unwrap() error { return s.error }

// hearsay is what the endpoint of tickets says to a client with a Seal.
func hearsay(refused *RefusedError) error {
	refused.Outside = true
	if refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden {
		return signIn{refused}
	}
	return refused
}

// outside marks a refusal that came while there was no seal: whoever is in between
// may have said it.
func outside(err error) error {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		refused.Outside = true
	}
	return err
}
